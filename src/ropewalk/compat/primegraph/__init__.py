"""Seed 000's top-level names."""

from ropewalk import END, START, Graph

__all__ = ["END", "START", "Graph"]
