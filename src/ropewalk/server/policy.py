"""Which hosts and origins a door answers: a web page must not drive a local agent.

A page can make a browser send requests here in two ways. Across sites, which the browser tells by the ``Origin``
header; and by a name of its own that it points at this machine (DNS rebinding), which the ``Host`` header tells. Both
are looked at before anything else. Pure: it sees headers and says yes or no.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from ropewalk.errors import HostRefused, OriginRefused

_HOSTS_KEPT = 100
_HEADS = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, kw_only=True, slots=True)
class DoorPolicy:
    """Names under which a server may be asked for, and pages that may ask."""

    hosts: frozenset[str] = frozenset()
    """Host names beside addresses and localhost, in lower case; ``*`` is any."""
    origins: frozenset[str] = frozenset()
    """Origins (``https://app.example``) beside the server's own; ``*`` is any."""
    checks_hosts: bool = True
    leaves_cors_to_the_app: bool = False
    """What a browser asks about before it sends it (JSON, PATCH, DELETE) is answered elsewhere; here counts only what a
    page of another site can send without asking."""

    def check(self, method: str, headers: Mapping[str, str], *, is_websocket: bool = False) -> None:
        """Raise `HostRefused` or `OriginRefused` for a request that may not come in; names of headers are lower
        case.
        """
        host = headers.get("host", "")
        if self.checks_hosts and not self.knows_host(host):
            raise HostRefused(host[:100])
        origin = headers.get("origin")
        if origin is None or self.allows_origin(origin, host):
            return
        if not is_websocket and (
            method in _HEADS or (self.leaves_cors_to_the_app and _is_asked_about(method, headers))
        ):
            return
        raise OriginRefused(origin[:100])

    def knows_host(self, host: str) -> bool:
        """Tell whether ``host`` (with or without a port) is an address, localhost, or a name that was allowed."""
        if "*" in self.hosts:
            return True
        name = _name_of(host)
        if name is None:
            return False
        return _is_address(name) or name == "localhost" or name.endswith(".localhost") or name in self.hosts

    def allows_origin(self, origin: str, host: str) -> bool:
        """Tell whether a page of ``origin`` is one of this server, or one that was allowed."""
        if "*" in self.origins or origin.lower() in self.origins:
            return True
        return urlsplit(origin).netloc.lower() == host.lower() != ""


def _is_asked_about(method: str, headers: Mapping[str, str]) -> bool:
    """Tell whether a browser sends this to another site only after that has allowed it."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return method != "POST" or kind == "application/json"


def policy_of(
    hosts: Iterable[str] = (),
    origins: Iterable[str] = (),
    *,
    checks_hosts: bool = True,
    leaves_cors_to_the_app: bool = False,
) -> DoorPolicy:
    """Return the policy with these names and pages allowed."""
    return DoorPolicy(
        hosts=frozenset(name.strip().lower() for name in hosts if name.strip()),
        origins=frozenset(origin.strip().lower().rstrip("/") for origin in origins if origin.strip()),
        checks_hosts=checks_hosts,
        leaves_cors_to_the_app=leaves_cors_to_the_app,
    )


@lru_cache(_HOSTS_KEPT)  # most requests name the same one or two
def _name_of(host: str) -> str | None:
    """Return the name of a Host header without its port; None for what is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    if parts.netloc != host or "@" in host or not parts.hostname:
        return None
    return parts.hostname.lower().rstrip(".")


@lru_cache(_HOSTS_KEPT)
def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
