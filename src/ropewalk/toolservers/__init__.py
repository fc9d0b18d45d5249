"""Where tools come from that others serve. Importing it loads no SDK."""
