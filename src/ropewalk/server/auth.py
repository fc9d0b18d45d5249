"""Who is on the other side of a door: API keys, or whatever callable is put in their place."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from ropewalk.errors import NotAuthenticated
from ropewalk.server.owned import ANYBODY, Caller


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """What a request brings to prove who sent it."""

    token: str | None
    """What stands behind ``Authorization: Bearer``; at the WebSocket also in a subprotocol ``bearer.TOKEN``."""
    headers: Mapping[str, str]
    """All headers, their names in lower case."""


Authenticate = Callable[[Credentials], Awaitable[Caller]]
"""Returns who asks, or raises `NotAuthenticated`."""


async def let_anybody_in(_: Credentials) -> Caller:
    """Ask nobody: all callers see all runs."""
    return ANYBODY


class ApiKeys:
    """Knows callers by their keys, ``NAME:KEY`` or just ``KEY``; who shares a name shares runs."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._owners: dict[bytes, str] = {}
        """Digest of each key -> whose it is."""
        for given in keys:
            name, colon, key = given.strip().partition(":")
            name, key = (name, key) if colon else ("", name)
            if len(key) < 8:
                raise ValueError(
                    "An API key is 8 characters at least, NAME:KEY or KEY. Make one: openssl rand -hex 24."
                )
            digest = hashlib.sha256(key.encode()).digest()
            self._owners[digest] = name or f"key_{digest.hex()[:12]}"
        if not self._owners:
            raise ValueError("No API key was given: ROPEWALK_API_KEYS=NAME:KEY,NAME:KEY.")

    async def __call__(self, credentials: Credentials) -> Caller:
        if credentials.token is None:
            raise NotAuthenticated("This server wants to know who asks.")
        given = hashlib.sha256(credentials.token.encode("utf-8", "replace")).digest()
        owner: str | None = None
        for digest, name in self._owners.items():  # all of them, whichever fits: how long it takes tells nothing
            if hmac.compare_digest(digest, given):
                owner = name
        if owner is None:
            raise NotAuthenticated("The key is none of this server's.")
        return Caller(owner=owner)
