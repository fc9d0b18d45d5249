"""Lets other programs and people reach runs: what they may ask for (no HTTP), and the doors through which they ask."""
