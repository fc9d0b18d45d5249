"""Where a PostgreSQL store is: what its URL or its settings say, and how it is named without its secrets."""

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

_OURS = ("migrate", "max_connections", "patience")
_YES = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_DRIVERS_DEFAULTS = {
    "connect_timeout": "10",
    # A server that went away without a word is noticed in seconds, not in the quarter of an hour that TCP allows.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
    "application_name": "ropewalk",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgreSQLConfig:
    """A database and how to use it."""

    dsn: str = field(repr=False)
    """``postgresql://user:password@host:port/database?...``: whatever libpq understands, several hosts too."""
    max_connections: int = 10
    """Connections the store opens at most: one for appends, one for admissions, the rest for all else. A worker's queue
    opens two more.
    """
    connection_timeout: float = 30.0
    """Seconds for which a call waits for a free connection, or for a server that went away to come back."""
    migrate: bool = True
    """Bring the tables up to date at the first use. Else an operator does, with ``ropewalk db upgrade``."""

    def __post_init__(self) -> None:
        if self.max_connections < 3:
            raise ValueError(f"max_connections={self.max_connections} is too few. Allow 3 or more.")
        if self.connection_timeout <= 0:
            raise ValueError(f"connection_timeout={self.connection_timeout:g} leaves no time. Give seconds above 0.")

    @property
    def shown(self) -> str:
        """The URL without passwords or options, for errors and logs."""
        parts = urlsplit(self.dsn)
        user, _, hosts = parts.netloc.rpartition("@")
        user = user.partition(":")[0]
        return f"postgresql://{user}{user and '@'}{hosts}{parts.path}"

    @property
    def secrets(self) -> list[str]:
        """What no error may repeat."""
        parts = urlsplit(self.dsn)
        password = parts.netloc.rpartition("@")[0].partition(":")[2]
        told = [value for name, value in parse_qsl(parts.query) if "password" in name]
        return [text for text in {password, unquote(password), *told, *map(quote, told)} if text]

    @property
    def conninfo(self) -> str:
        """What the driver connects with."""
        return _with_query(self.dsn, _DRIVERS_DEFAULTS | dict(parse_qsl(urlsplit(self.dsn).query)))


def config_of_url(url: str) -> PostgreSQLConfig:
    """Return what a URL says. ``?migrate=no``, ``?max_connections=20``, ``?patience=10`` (seconds) are ours, the rest
    is libpq's. Raises ValueError.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError("A PostgreSQL store is named by postgresql://user:password@host:port/database.")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    ours = {name: query.pop(name) for name in _OURS if name in query}
    dsn = _with_query(url, query)
    try:
        return PostgreSQLConfig(
            dsn=dsn,
            migrate=_YES[ours.get("migrate", "yes").lower()],
            max_connections=int(ours.get("max_connections", 10)),
            connection_timeout=float(ours.get("patience", 30.0)),
        )
    except (KeyError, ValueError) as error:
        given = ", ".join(f"{name}={value!r}" for name, value in ours.items())
        raise ValueError(
            f"{PostgreSQLConfig(dsn=dsn).shown} was not opened: {given} cannot be read ({error}). Write migrate=yes or "
            "no, max_connections as a whole number from 3 on, patience in seconds."
        ) from None


def dsn_of(*, host: str, port: int, user: str, password: str, database: str) -> str:
    """Return a URL in which every character keeps its meaning."""
    where = f"[{host}]" if ":" in host else quote(host, safe="")
    who = f"{quote(user, safe='')}:{quote(password, safe='')}" if password else quote(user, safe="")
    return f"postgresql://{who}@{where}:{port}/{quote(database, safe='')}"


def _with_query(url: str, query: dict[str, str]) -> str:
    return urlsplit(url)._replace(query=urlencode(query, quote_via=quote)).geturl()
