"""Seed 000's buffers."""

from ropewalk import History, Incremental, LastValue

__all__ = ["History", "Incremental", "LastValue"]
