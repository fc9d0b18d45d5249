"""Seed 000's storage in memory."""

from ropewalk.stores.memory import LocalStorage

__all__ = ["LocalStorage"]
