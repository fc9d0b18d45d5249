"""What pods and workers are told by their environment: the contract's names, and ours beside them."""

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from ropewalk.settings import Reconnects

OnBusy = Literal["reject", "queue", "interrupt", "parallel"]
DEFAULT_CHAT_PORT = 8080
DEFAULT_BUS = "nats://localhost:4222"
_POLICIES = ("reject", "queue", "interrupt", "parallel")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}
_LEAST_WAIT_SECONDS = 0.01
_MEANINGS = {
    "SERVER_READ_TIMEOUT": "a request has so long to be whole, headers and body; 0: as if it were not set",
    "SERVER_WRITE_TIMEOUT": "a client that takes nothing for so long is given up; it ends no stream that is read, "
    "which is what it did to the contract's pods; 0: as if it were not set",
    "NATS_MAX_RECONNECTS": "a connection that was lost is tried so often again, at each server; -1: for ever",
    "NATS_RECONNECT_WAIT": "the pause between two such tries",
    "BUFFER_CLEANUP_INTERVAL": "chunks that wait for a missing one are looked after so often, twice a second at most",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatSettings:
    """How chats are served."""

    bus: str = DEFAULT_BUS
    """NATS_URL."""
    sessions: str = "redis://localhost:6379/0"
    """REDIS_URL, or REDIS_HOST, REDIS_PORT, REDIS_PASSWORD, REDIS_DB."""
    store: str | None = None
    """ROPEWALK_STORE, or DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DB_NAME, DB_SSLMODE."""
    graphs: tuple[str, ...] = ()
    """ROPEWALK_GRAPHS: FILE:graph, with commas or spaces between."""
    host: str = "127.0.0.1"
    """SERVER_HOST."""
    port: int = DEFAULT_CHAT_PORT
    """SERVER_PORT."""
    pod_id: str = "pod"
    """POD_ID, else pod-{hostname}."""
    on_busy: OnBusy = "queue"
    """ROPEWALK_ON_BUSY."""
    models: tuple[str, ...] | None = None
    """ROPEWALK_CHAT_MODELS: provider:model, with commas between; what clients may ask for."""
    most_buffers: int = 10_000
    """BUFFER_MAX_BUFFERS."""
    most_chunks: int = 10_000
    """BUFFER_MAX_CHUNKS, of one message out of order."""
    buffer_seconds: float = 300.0
    """BUFFER_MAX_AGE."""
    missing_seconds: float = 30.0
    """BUFFER_MISSING_CHUNK_TIMEOUT."""
    cleanup_seconds: float = 0.0
    """BUFFER_CLEANUP_INTERVAL: how long apart buffers are looked after; at each of the pod's ticks at most."""
    read_seconds: float | None = None
    """SERVER_READ_TIMEOUT: for a whole request; None: as long as the doors give its headers and its body."""
    write_seconds: float | None = None
    """SERVER_WRITE_TIMEOUT: how long a client may take nothing; None: as long as the doors let it."""
    reconnects: Reconnects = field(default_factory=Reconnects)
    """NATS_MAX_RECONNECTS, NATS_RECONNECT_WAIT."""


def read_chat_settings(environ: Mapping[str, str]) -> ChatSettings:
    """Return what the environment says. Raises ValueError that names the variable."""
    on_busy = environ.get("ROPEWALK_ON_BUSY", "queue").strip().lower()
    if on_busy not in _POLICIES:
        raise ValueError(f"ROPEWALK_ON_BUSY is {on_busy!r}; it is one of {', '.join(_POLICIES)}.")
    models = environ.get("ROPEWALK_CHAT_MODELS")
    return ChatSettings(
        bus=environ.get("NATS_URL") or DEFAULT_BUS,
        sessions=environ.get("REDIS_URL") or _redis_url(environ),
        store=environ.get("ROPEWALK_STORE") or _database_url(environ),
        graphs=tuple(environ.get("ROPEWALK_GRAPHS", "").replace(",", " ").split()),
        host=environ.get("SERVER_HOST") or "127.0.0.1",
        port=_whole(environ, "SERVER_PORT", DEFAULT_CHAT_PORT),
        pod_id=pod_id_of(environ.get("POD_ID") or f"pod-{socket.gethostname()}"),
        on_busy=on_busy,
        models=None if models is None else tuple(filter(None, (one.strip() for one in models.split(",")))),
        most_buffers=_whole(environ, "BUFFER_MAX_BUFFERS", 10_000),
        most_chunks=_whole(environ, "BUFFER_MAX_CHUNKS", 10_000),
        buffer_seconds=_seconds(environ, "BUFFER_MAX_AGE", 300.0),
        missing_seconds=_seconds(environ, "BUFFER_MISSING_CHUNK_TIMEOUT", 30.0),
        cleanup_seconds=_seconds(environ, "BUFFER_CLEANUP_INTERVAL", 0.0),
        read_seconds=_seconds(environ, "SERVER_READ_TIMEOUT", 0.0) or None,
        write_seconds=_seconds(environ, "SERVER_WRITE_TIMEOUT", 0.0) or None,
        reconnects=_reconnects(environ),
    )


def told_settings(environ: Mapping[str, str]) -> list[str]:
    """Say what names of the contract mean here whose meaning is not plain, of those that are set."""
    given = {name: environ.get(name, "").strip() for name in _MEANINGS}
    return [f"{name}={given[name]}: {meaning}" for name, meaning in _MEANINGS.items() if given[name]]


def _reconnects(environ: Mapping[str, str]) -> Reconnects:
    given = environ.get("NATS_MAX_RECONNECTS", "").strip()
    if re.fullmatch(r"(-?[0-9]{1,9})?", given, re.ASCII) is None:
        raise ValueError(f"NATS_MAX_RECONNECTS is {given!r}; it is a whole number, or -1 for as often as it takes.")
    wait = _seconds(environ, "NATS_RECONNECT_WAIT", Reconnects().wait_seconds)
    if wait < _LEAST_WAIT_SECONDS:
        raise ValueError("NATS_RECONNECT_WAIT is shorter than 10ms; a server that starts would be flooded with tries.")
    return Reconnects(most=max(-1, int(given or -1)), wait_seconds=wait)


def pod_id_of(given: str) -> str:
    """Return a pod's name as a token of a subject: what cannot stand in one becomes ``-``."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", given)[:64] or "pod"


def _redis_url(environ: Mapping[str, str]) -> str:
    password = environ.get("REDIS_PASSWORD")
    user = f":{quote(password, safe='')}@" if password else ""
    host = environ.get("REDIS_HOST") or "localhost"
    return f"redis://{user}{host}:{_whole(environ, 'REDIS_PORT', 6379)}/{_whole(environ, 'REDIS_DB', 0)}"


def _database_url(environ: Mapping[str, str]) -> str | None:
    host = environ.get("DB_HOST")
    if not host:
        return None
    user, password = environ.get("DB_USER") or "postgres", environ.get("DB_PASSWORD")
    who = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
    mode = environ.get("DB_SSLMODE")
    name = quote(environ.get("DB_NAME") or "postgres", safe="")
    return f"postgresql://{who}@{host}:{_whole(environ, 'DB_PORT', 5432)}/{name}" + (f"?sslmode={mode}" if mode else "")


def _whole(environ: Mapping[str, str], name: str, otherwise: int) -> int:
    given = environ.get(name, "").strip()
    if not given:
        return otherwise
    if not given.isascii() or not given.isdecimal():
        raise ValueError(f"{name} is {given!r}; it is a whole number.")
    return int(given)


def _seconds(environ: Mapping[str, str], name: str, otherwise: float) -> float:
    given = environ.get(name, "").strip()
    if not given:
        return otherwise
    found = _DURATION.fullmatch(given)
    if found is None:
        raise ValueError(f"{name} is {given!r}; it is a time, such as 30s, 5m or 500ms.")
    return float(found[1]) * _UNITS[found[2]]
