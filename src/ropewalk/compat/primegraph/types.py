"""Seed 000's status names; ``ChainStatus.PAUSE`` is `RunStatus.PAUSED`."""

from ropewalk import RunStatus as ChainStatus

__all__ = ["ChainStatus"]
