"""The databases of one PostgreSQL server: one for each test, cloned from a template, dropped after it."""

import secrets
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import psycopg
from psycopg.sql import SQL, Identifier


class Databases:
    """What the tests need a connection of their own for; ``url`` is of a user who may create databases."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = psycopg.connect(url, autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._connection.close()

    def create(self, template: str = "template0") -> str:
        """Return the URL of a new database, a clone of the one that ``template`` names, by its name or URL."""
        name = f"ropewalk_test_{secrets.token_hex(6)}"
        clone = SQL("CREATE DATABASE {} TEMPLATE {}")
        self._connection.execute(clone.format(Identifier(name), Identifier(name_of(template))))
        return urlsplit(self.url)._replace(path=f"/{name}").geturl()

    def drop(self, url: str) -> None:
        """Drop it, whoever is still connected."""
        self._connection.execute(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name_of(url))))


def name_of(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")
