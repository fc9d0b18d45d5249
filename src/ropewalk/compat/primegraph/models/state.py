"""Seed 000's state class."""

from ropewalk import GraphState

__all__ = ["GraphState"]
