"""Plugs for `ropewalk.contracts.RunStore`: memory, SQLite, PostgreSQL. Importing it loads no driver."""
