"""Prolongs a worker's leases from a thread of the worker's own, over a connection of its own."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import Connection

from ropewalk.stores.postgres_place import PostgreSQLConfig
from ropewalk.stores.postgres_sql import named_statements
from ropewalk.stores.postgres_trouble import Verdict, in_our_words, verdict


class PostgresLeaseRenewer:
    """Connects when it is first used, and again after trouble. Belongs to one thread."""

    def __init__(self, config: PostgreSQLConfig, worker: str) -> None:
        self._config = config
        self._worker = worker
        self._connection: Connection[tuple[Any, ...]] | None = None

    def renew(self, claims: Mapping[str, int], *, ttl_seconds: float) -> set[str]:
        """Prolong the leases that nobody has taken; return their runs. Raises `StoreUnavailable`."""
        if not claims:
            return set()
        parameters = {
            "worker": self._worker,
            "run_ids": [*claims],
            "epochs": [*claims.values()],
            "ttl": float(ttl_seconds),
        }
        had_connection = self._connection is not None
        try:
            return self._renewed(parameters)
        except (psycopg.Error, OSError) as trouble:
            self.close()
            if not had_connection or verdict(trouble) is Verdict.FINAL:
                raise in_our_words(trouble, self._config, doubtful=True) from None
        try:  # the connection may have been broken for long: prolonging twice does no harm
            return self._renewed(parameters)
        except (psycopg.Error, OSError) as trouble:
            self.close()
            raise in_our_words(trouble, self._config, doubtful=True) from None

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _renewed(self, parameters: Mapping[str, Any]) -> set[str]:
        if self._connection is None:
            self._connection = Connection[tuple[Any, ...]].connect(self._config.conninfo, autocommit=True)
            # One that hangs behind a lock is worth less than the next try.
            limit = f"{parameters['ttl'] * 1000 / 3:.0f}ms"
            self._connection.execute(b"SELECT set_config('statement_timeout', %s, false)", (limit,))
        rows = self._connection.execute(named_statements()["renew"], parameters).fetchall()
        return {run_id for (run_id,) in rows}
