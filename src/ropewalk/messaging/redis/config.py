"""Where the Redis server is, and how it is spoken to."""

import os
from dataclasses import dataclass, field, fields
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class RedisConfig:
    """A server's address. Read from REDIS_URL, or REDIS_HOST, REDIS_PORT and REDIS_PASSWORD, where nothing is given."""

    url: str | None = field(default=None, repr=False)
    """``redis://user:password@host:port/db``, ``rediss://`` for TLS, ``unix:///path``; outdoes host, port, db."""
    host: str | None = None
    port: int | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ssl: bool = False
    ssl_ca_certs: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_cert_reqs: str = "required"
    cluster: bool = False
    """The address is one node of a cluster."""
    sentinels: tuple[tuple[str, int], ...] = ()
    """Sentinels to ask for the master of ``sentinel_service``, instead of an address."""
    sentinel_service: str = "mymaster"
    sentinel_password: str | None = field(default=None, repr=False)
    socket_timeout: float = 5.0
    """Seconds after which a server that does not answer is `RedisUnavailable`."""
    socket_connect_timeout: float = 5.0
    socket_keepalive: bool = True
    max_connections: int = 1000
    decode_responses: bool = True
    """Whether the driver's own client, `RedisClient.client`, gives text."""

    def __post_init__(self) -> None:
        if self._says_nothing_of_a_server():
            url = os.environ.get("REDIS_URL") or None
            put(self, "url", url)
            put(self, "password", self.password or (None if url else os.environ.get("REDIS_PASSWORD") or None))
        from_environment = self.url is None and not self.sentinels
        host, port = (os.environ.get("REDIS_HOST"), os.environ.get("REDIS_PORT")) if from_environment else (None, None)
        put(self, "host", self.host or host or "localhost")
        put(self, "port", int(self.port or port or 6379))
        put(self, "sentinels", tuple((name, int(number)) for name, number in self.sentinels))
        if self.url is not None and urlsplit(self.url).scheme not in ("redis", "rediss", "unix"):
            raise ValueError("A Redis URL begins with redis://, rediss:// (TLS) or unix://.")

    @property
    def shown(self) -> str:
        """The address without what is secret."""
        if self.sentinels:
            return f"{self.sentinel_service!r} of the sentinels " + ", ".join(f"{h}:{p}" for h, p in self.sentinels)
        if self.url is None:
            return f"{self.host}:{self.port}/{self.db}"
        parts = urlsplit(self.url)
        if parts.scheme == "unix":
            return unquote(parts.path)
        return f"{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path.rstrip('/')}"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be in a message."""
        parts = urlsplit(self.url or "")
        found = (self.password, self.sentinel_password, parts.password, unquote(parts.password or ""))
        return tuple(secret for secret in found if secret)

    @property
    def slice_seconds(self) -> float:
        """How long one blocking call may last: the server must answer before ``socket_timeout``."""
        return min(1.0, self.socket_timeout / 2)

    def _says_nothing_of_a_server(self) -> bool:
        named = ("url", "host", "port", "sentinels")
        return not any(getattr(self, one.name) for one in fields(self) if one.name in named)


def put(config: RedisConfig, name: str, value: object) -> None:
    object.__setattr__(config, name, value)  # the class is frozen; this is still its making
