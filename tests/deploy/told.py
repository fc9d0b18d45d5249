"""Which environment variables the commands read: found by letting them read."""

from pathlib import Path

from ropewalk.chat_settings import read_chat_settings
from ropewalk.settings import DoorSettings, chosen_doors, chosen_store

OF_VENDORS = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"}
"""What the vendors' own SDKs read, for the models of graphs."""


class _Watched(dict[str, str]):
    """An environment that remembers what was asked for."""

    def __init__(self) -> None:
        super().__init__(DB_HOST="db")  # without a host the other names of the database are not looked at
        self.asked: set[str] = set()

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        self.asked.add(key)
        return super().get(key, default)


def names_read() -> set[str]:
    """Return every name that `ropewalk gateway` and `ropewalk worker` read."""
    environ = _Watched()
    read_chat_settings(environ)
    chosen_doors(DoorSettings(no_auth=True), host="127.0.0.1", environ=environ)
    chosen_store(None, environ=environ, folder=Path("/"))
    return environ.asked | OF_VENDORS
