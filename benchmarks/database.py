"""A PostgreSQL database of a contestant's own, and what is in it."""

import secrets
from urllib.parse import urlsplit

import psycopg
from psycopg.sql import SQL, Identifier

from benchmarks.measure import Costs


def fresh(url: str) -> str:
    """Make an empty database on the server and return its URL."""
    name = f"bench_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def drop(url: str) -> None:
    """Remove a database of `fresh`, whoever is still connected."""
    name = urlsplit(url).path.removeprefix("/")
    with psycopg.connect(urlsplit(url)._replace(path="/postgres").geturl(), autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def version(url: str) -> str:
    with psycopg.connect(url) as connection:
        return str(connection.info.parameter_status("server_version")).partition(" ")[0]


def stored_bytes(url: str) -> Costs:
    """What a database holds: ``logical``, the size of all rows as they are stored; ``file``, its tables and indexes;
    ``wal``, the server's write-ahead log up to here.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        query = """
            SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
        """
        tables = [Identifier(*names) for names in connection.execute(query).fetchall()]
        logical = file = 0
        for table in tables:
            rows = SQL("SELECT coalesce(sum(pg_column_size(t.*)), 0), pg_total_relation_size({}) FROM {} AS t")
            found = connection.execute(rows.format(table.as_string(connection), table)).fetchone()
            assert found is not None
            logical, file = logical + int(found[0]), file + int(found[1])
        wal = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
        assert wal is not None
    return {"logical": float(logical), "file": float(file), "wal": float(wal[0])}
