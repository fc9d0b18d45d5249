"""Where the NATS servers are."""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

_SCHEMES = ("nats", "tls")
_DEFAULT_PORT = 4222


@dataclass(frozen=True)
class NatsConfig:
    """``nats://user:password@host:port`` or ``nats://token@host:port``, ``tls://`` for TLS; several with commas between
    them are servers of one cluster, with the same user.
    """

    url: str = field(repr=False)
    most_reconnects: int = -1
    """How often a connection that was lost is tried again, at each server; -1: for ever."""
    reconnect_seconds: float = 0.25
    """The pause between two tries."""

    def __post_init__(self) -> None:
        for parts in self._parts:
            if parts.scheme not in _SCHEMES or not parts.hostname:
                raise ValueError("A NATS URL begins with nats:// or tls:// and names a host: nats://localhost:4222.")
            _ = parts.port  # raises for what is no number

    @property
    def servers(self) -> list[str]:
        """The addresses, without what is secret."""
        return [f"{parts.scheme}://{_place(parts)}" for parts in self._parts]

    @property
    def shown(self) -> str:
        return ", ".join(_place(parts) for parts in self._parts)

    @property
    def needs_tls(self) -> bool:
        return any(parts.scheme == "tls" for parts in self._parts)

    @property
    def credentials(self) -> dict[str, str]:
        """As the driver takes them."""
        for parts in self._parts:
            if parts.username and parts.password is not None:
                return {"user": unquote(parts.username), "password": unquote(parts.password)}
            if parts.username:
                return {"token": unquote(parts.username)}
        return {}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be in a message."""
        given = self.credentials
        found = [given.get("password"), given.get("token")]
        for parts in self._parts:
            found += [parts.password, parts.username if parts.password is None else None]
        return tuple(secret for secret in found if secret)

    @property
    def _parts(self) -> list[SplitResult]:
        return [urlsplit(one.strip()) for one in self.url.split(",")]


def _place(parts: SplitResult) -> str:
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{host}:{parts.port or _DEFAULT_PORT}"
