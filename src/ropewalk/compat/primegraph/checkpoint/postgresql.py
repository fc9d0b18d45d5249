"""Seed 000's storage in PostgreSQL."""

from ropewalk.stores.postgres import PostgresRunStore as PostgreSQLStorage
from ropewalk.stores.postgres_place import PostgreSQLConfig

__all__ = ["PostgreSQLConfig", "PostgreSQLStorage"]
