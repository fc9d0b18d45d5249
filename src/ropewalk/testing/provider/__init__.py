"""A strict model provider on this machine, for tests and benches without a key or a network."""

from ropewalk.testing.provider.cues import Asked, Break, Refuse, Say
from ropewalk.testing.provider.scenarios import scenario
from ropewalk.testing.provider.server import LocalProvider

__all__ = ["Asked", "Break", "LocalProvider", "Refuse", "Say", "scenario"]
