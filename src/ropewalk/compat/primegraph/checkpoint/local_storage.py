"""Seed 000's storage in memory."""

from ropewalk.stores.memory import MemoryRunStore as LocalStorage

__all__ = ["LocalStorage"]
