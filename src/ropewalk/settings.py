"""What commands are told beside their arguments: the environment, then the project's file, then defaults."""

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from ropewalk.errors import did_you_mean

AUTH_VARIABLE = "ROPEWALK_AUTH"
BUS_VARIABLE = "NATS_URL"
KEYS_VARIABLE = "ROPEWALK_API_KEYS"
DEFAULT_PORT = 8000
DEFAULT_STORE = "sqlite:///.ropewalk/runs.db"
STORE_VARIABLE = "ROPEWALK_STORE"
_KEYS = ("store",)
_RELATIVE_SQLITE = "sqlite:///"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreChoice:
    """Which store, and who said so."""

    url: str
    origin: str
    """In words: the option, the variable, the file, or the default."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconnects:
    """How a lost connection to NATS is made again."""

    most: int = -1
    """NATS_MAX_RECONNECTS: tries at each server; -1: for ever."""
    wait_seconds: float = 0.25
    """NATS_RECONNECT_WAIT: between two of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DoorSettings:
    """How runs are served over HTTP."""

    api_keys: tuple[str, ...] = ()
    """``NAME:KEY`` or ``KEY``: who may ask. ROPEWALK_API_KEYS holds them with commas between."""
    jwks: str | None = None
    """File or URL of the keys that tokens (JWT) are signed with."""
    jwt_issuer: str | None = None
    """Who must have issued a token."""
    jwt_audience: str | None = None
    """For whom a token must have been issued."""
    no_auth: bool = False
    """Somebody said that nobody is to be asked who they are."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which the server may be asked for, beside addresses and localhost."""
    allowed_origins: tuple[str, ...] = ()
    """Pages of other sites that may use the server."""
    for_workers: bool = False
    """Runs are left to workers."""
    bus: str | None = None
    """``nats://host``: brings the live events of runs that workers drive. NATS_URL, where runs are left to them."""
    requests_per_second: float | None = None
    """Of one user; None is no limit."""
    limits: str | None = None
    """``redis://...``: where requests are counted for all servers; None: by each for itself. ROPEWALK_LIMITS."""
    streams_per_user: int = 200
    """Open at a time."""
    runs_per_user: int = 100
    """RUNNING at a time."""
    max_body_bytes: int = 16 * 1024 * 1024
    """Size of a request's body."""
    webhook_secrets: tuple[str, ...] = ()
    """What deliveries are signed with. ROPEWALK_WEBHOOK_SECRETS holds them with commas between: the new one first."""
    webhooks: tuple[str, ...] = ()
    """Addresses that are told of every run that paused or ended. ROPEWALK_WEBHOOKS."""
    webhook_hosts: tuple[str, ...] = ()
    """Hosts, ``name`` or ``name:port``, that may be told though they are not on the public internet, or by plain http.
    ROPEWALK_WEBHOOK_HOSTS."""

    @property
    def asks_who(self) -> bool:
        return bool(self.api_keys or self.jwks)


def chosen_doors(given: DoorSettings, *, host: str, environ: Mapping[str, str]) -> DoorSettings:
    """Return ``given`` with what the environment adds.

    Raises ValueError when the server would be open to other machines and nobody has said who may ask.
    """
    keys = given.api_keys or _listed(environ, KEYS_VARIABLE)
    said = environ.get(AUTH_VARIABLE, "").strip().lower()
    if said not in ("", "none"):
        raise ValueError(f"{AUTH_VARIABLE} is {said!r}. It is 'none', or not set: keys have settings of their own.")
    no_auth = given.no_auth or (said == "none" and not keys and not given.jwks)
    chosen = replace(
        given,
        api_keys=keys,
        no_auth=no_auth,
        bus=given.bus or (environ.get(BUS_VARIABLE) if given.for_workers else None) or None,
        webhook_secrets=given.webhook_secrets or _listed(environ, "ROPEWALK_WEBHOOK_SECRETS"),
        limits=given.limits or environ.get("ROPEWALK_LIMITS") or None,
        webhooks=given.webhooks or _listed(environ, "ROPEWALK_WEBHOOKS"),
        webhook_hosts=given.webhook_hosts or _listed(environ, "ROPEWALK_WEBHOOK_HOSTS"),
    )
    if no_auth and chosen.asks_who:
        raise ValueError("There are keys, and --auth none says that nobody is asked. Choose one.")
    if not chosen.asks_who and not no_auth and not is_loopback(host):
        raise ValueError(
            f"{host} can be reached from other machines, and nobody said who may use the graphs. Give keys: --api-key "
            f"NAME:KEY or {KEYS_VARIABLE}, or --jwks. Or say that anybody may: --auth none or {AUTH_VARIABLE}=none."
        )
    return chosen


def _listed(environ: Mapping[str, str], variable: str) -> tuple[str, ...]:
    """Return what a variable holds with commas between."""
    return tuple(one.strip() for one in environ.get(variable, "").split(",") if one.strip())


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server at ``host``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def chosen_store(given: str | None, *, environ: Mapping[str, str], folder: Path) -> StoreChoice:
    """Return the store of a command that was typed in ``folder`` with ``--store`` as ``given``.

    Raises ValueError, with what to do, for a ``[tool.ropewalk]`` table that cannot be read.
    """
    if given:
        return StoreChoice(url=given, origin="--store")
    if environ.get(STORE_VARIABLE):
        return StoreChoice(url=environ[STORE_VARIABLE], origin=STORE_VARIABLE)
    for file in (place / "pyproject.toml" for place in (folder, *folder.parents)):
        table = _table(file)
        if table is not None and "store" in table:
            return StoreChoice(url=_beside(file, table["store"]), origin=str(file))
        if table is not None:
            break
    return StoreChoice(url=DEFAULT_STORE, origin="the default")


def _table(file: Path) -> dict[str, str] | None:
    """Return ``[tool.ropewalk]`` of a project's file; None where there is none."""
    try:
        tool: Any = tomllib.loads(file.read_text(encoding="utf-8")).get("tool")
    except OSError:
        return None
    except ValueError as error:
        raise ValueError(f"{file} is no TOML: {error}. Mend it, or name the store with --store.") from error
    ours: Any = cast("dict[str, Any]", tool).get("ropewalk") if isinstance(tool, dict) else None
    if not isinstance(ours, dict):
        return None
    table = cast("dict[str, Any]", ours)
    for key, value in table.items():
        if key not in _KEYS:
            raise ValueError(
                f"{file} sets {key!r} in [tool.ropewalk].{did_you_mean(str(key), _KEYS)} Drop or rename it."
            )
        if not isinstance(value, str) or not value:
            raise ValueError(f'{file} sets {key} to {value!r}. Write a URL: {key} = "{DEFAULT_STORE}".')
    return table


def _beside(file: Path, url: str) -> str:
    """Read a relative SQLite path as relative to ``file``, so that it means the same in every subfolder."""
    path = url.removeprefix(_RELATIVE_SQLITE)
    if path == url or path.startswith("/"):
        return url
    return f"{_RELATIVE_SQLITE}{file.parent.resolve()}/{path}"
