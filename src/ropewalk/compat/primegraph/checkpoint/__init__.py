"""Seed 000's storages."""

from ropewalk.stores.memory import LocalStorage

__all__ = ["LocalStorage"]
