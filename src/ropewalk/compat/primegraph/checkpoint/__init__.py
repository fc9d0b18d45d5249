"""Seed 000's storages."""

from ropewalk.stores.memory import MemoryRunStore as LocalStorage

__all__ = ["LocalStorage"]
