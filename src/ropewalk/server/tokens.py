"""Callers who bring signed tokens (JWT): the keys come from a file or a URL (OIDC), and may change meanwhile.

1. A token names its key. One that nobody knows makes the keys be read anew, at most every 30 seconds; keys that are
   older than an hour are read anew too. While they cannot be had, the old ones count.
2. Who asks is the token's ``sub``. Signature, times, issuer and audience are checked; the algorithms are those of
   public keys: a token cannot choose to be signed with a public key as if it were a secret, or not at all.
"""

import asyncio
import json
import logging
import time
import urllib.request
from pathlib import Path
from typing import Any

from ropewalk.errors import NotAuthenticated, PartMissing
from ropewalk.server.auth import Authenticate, Credentials
from ropewalk.server.owned import Caller

log = logging.getLogger("ropewalk")

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_OLD_SECONDS = 3_600.0
_AGAIN_SECONDS = 30.0
_FETCH_SECONDS = 10.0
_MOST_BYTES = 1024 * 1024
_LEEWAY_SECONDS = 30


class Tokens:
    """Knows callers by tokens that a trusted party has signed."""

    def __init__(
        self,
        source: str,
        *,
        issuer: str | None = None,
        audience: str | None = None,
        otherwise: Authenticate | None = None,
    ) -> None:
        """``source`` is a file or URL of a JWK set; ``otherwise`` is asked about what is no token.

        Raises `PartMissing` without the extra ``jwt``, ValueError for a URL that anybody on the way could change.
        """
        try:
            import jwt  # noqa: PLC0415  an optional driver
        except ImportError as error:
            raise PartMissing("Tokens (JWT)", "jwt") from error
        if source.startswith("http://") and not source.startswith(
            ("http://127.0.0.1", "http://localhost", "http://[::1]")
        ):
            raise ValueError(
                f"The keys of tokens come from {source}: whoever is on the way could change them. Use https."
            )
        self._jwt: Any = jwt
        self._source = source
        self._issuer = issuer
        self._audience = audience
        self._otherwise = otherwise
        self._keys: dict[str | None, Any] = {}
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._reading = asyncio.Lock()

    async def __call__(self, credentials: Credentials) -> Caller:
        token = credentials.token
        if token is None or token.count(".") != 2:
            if self._otherwise is not None:
                return await self._otherwise(credentials)
            raise NotAuthenticated("This server wants a token (JWT).")
        claims = await self._claims(token)
        owner = claims.get("sub")
        if not isinstance(owner, str) or not owner or len(owner) > 200:
            raise NotAuthenticated("The token does not say whose it is (sub).")
        return Caller(owner=owner)

    async def _claims(self, token: str) -> dict[str, Any]:
        jwt = self._jwt
        try:
            header = jwt.get_unverified_header(token)
            key = await self._key(header.get("kid"))
            return jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name] if key.algorithm_name in _ALGORITHMS else _ALGORITHMS,
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "sub"], "verify_aud": self._audience is not None},
            )
        except jwt.ExpiredSignatureError:
            raise NotAuthenticated("The token has expired.") from None
        except jwt.PyJWTError:
            raise NotAuthenticated("The token is not valid here.") from None

    async def _key(self, name: str | None) -> Any:
        now = time.monotonic()
        if name not in self._keys or now - self._read_at > _OLD_SECONDS:
            await self._read_keys(name)
        key = self._keys.get(name)
        if key is None:
            raise NotAuthenticated("The token is signed with a key that nobody knows here.")
        return key

    async def _read_keys(self, name: str | None) -> None:
        async with self._reading:
            now = time.monotonic()
            fresh = name in self._keys and now - self._read_at <= _OLD_SECONDS
            if fresh or now - self._tried_at < _AGAIN_SECONDS:
                return
            self._tried_at = now
            try:
                found = self._jwt.PyJWKSet.from_dict(json.loads(await asyncio.to_thread(_read, self._source)))
            except (OSError, ValueError, self._jwt.PyJWTError) as error:
                log.warning("the keys of tokens could not be read from %s: %s", self._source, error)
                return
            self._keys = {key.key_id: key for key in found.keys if key.key_type != "oct"}
            if len(self._keys) == 1:  # a set of one may leave its name out
                self._keys.setdefault(None, next(iter(self._keys.values())))
            self._read_at = now


def _read(source: str) -> bytes:
    if not source.startswith(("http://", "https://")):
        return Path(source).read_bytes()
    with urllib.request.urlopen(source, timeout=_FETCH_SECONDS) as answer:
        return answer.read(_MOST_BYTES)
