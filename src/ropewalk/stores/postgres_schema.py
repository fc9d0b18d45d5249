"""The tables of a PostgreSQL store: created, and brought up to date by numbered steps, while older programs go on.

1. The table `ropewalk.migration` says which steps of `sql/postgres/` the database has seen, and the oldest version a
   program must know to use it.
2. Each step and its row are one transaction under an advisory lock, so that any number of processes may begin at once.
3. Who only looks makes no tables where there are none: that is for the first who writes.
"""

from typing import Any

from psycopg import AsyncConnection

from ropewalk.errors import StoreTooNew, StoreUnavailable
from ropewalk.stores.postgres_sql import Step, steps

LOCKS = 0x526F7065  # "Rope": the first number of every advisory lock of this store
_MIGRATING = 0

_SEEN = b"SELECT max(number), max(least) FROM ropewalk.migration"
# A look into the catalogue itself: to_regclass() may answer from a cache that waiting for the lock does not renew.
_IS_THERE = b"""
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = 'ropewalk' AND relname = 'migration'
)
"""
_LOCK = b"SELECT pg_advisory_xact_lock(%s, %s)"
_BEGINNING = b"""
CREATE SCHEMA IF NOT EXISTS ropewalk;
CREATE TABLE IF NOT EXISTS ropewalk.migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    least integer NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_NOTE = b"INSERT INTO ropewalk.migration (number, name, least) VALUES (%s, %s, %s)"


class NoTables(Exception):
    """Nobody has written to this database yet, and who asks only looks."""


async def bring_up_to_date(
    connection: AsyncConnection[Any], shown: str, *, migrate: bool, writes: bool = True
) -> tuple[int, int]:
    """Apply the steps that are missing; return the version before and after.

    Raises `StoreTooNew` when a newer program's tables can no longer be used by this one, `StoreUnavailable` when steps
    are missing and ``migrate`` is false, `NoTables` when there are none and the caller does not write.
    """
    before = await _seen(connection, shown)
    missing = [step for step in steps() if step.number > before]
    if missing and not migrate:
        raise StoreUnavailable(
            f"{shown} has tables of version {before} and this program needs {missing[-1].number}, but it was told not "
            "to change them (migrate=no). Run `ropewalk db upgrade --store URL` as a user who may."
        )
    if before == 0 and not writes:
        raise NoTables
    for step in missing:
        await _apply(connection, shown, step)
    return before, max(before, len(steps()))


async def _seen(connection: AsyncConnection[Any], shown: str) -> int:
    there = await (await connection.execute(_IS_THERE)).fetchone()
    if there is None or not there[0]:
        return 0
    row = await (await connection.execute(_SEEN)).fetchone()
    number, least = row if row is not None and row[0] is not None else (0, 0)
    known = steps()[-1].number
    if least > known:
        raise StoreTooNew(
            f"{shown} was upgraded by a newer Ropewalk (its tables are of version {number} and ask for a program that "
            f"knows {least}; this one knows {known}), so it was not touched. Upgrade Ropewalk, or use another database."
        )
    return number


async def _apply(connection: AsyncConnection[Any], shown: str, step: Step) -> None:
    async with connection.transaction():
        await connection.execute(_LOCK, (LOCKS, _MIGRATING))
        if await _seen(connection, shown) < step.number:  # else another process was first
            await connection.execute(_BEGINNING)
            await connection.execute(step.script)
            await connection.execute(_NOTE, (step.number, step.name, step.least))
