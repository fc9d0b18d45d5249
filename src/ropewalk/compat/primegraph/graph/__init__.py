"""Seed 000's graph."""

from ropewalk import Graph

__all__ = ["Graph"]
