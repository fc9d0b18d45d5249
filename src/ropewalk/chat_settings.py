"""What pods and workers are told by their environment: the contract's names, and ours beside them."""

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

OnBusy = Literal["reject", "queue", "interrupt", "parallel"]
DEFAULT_CHAT_PORT = 8080
DEFAULT_BUS = "nats://localhost:4222"
_POLICIES = ("reject", "queue", "interrupt", "parallel")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


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
    )


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
