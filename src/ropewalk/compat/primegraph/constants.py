"""Seed 000's constants."""

from ropewalk import END, START

__all__ = ["END", "START"]
