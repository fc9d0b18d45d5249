"""The statements of the PostgreSQL store, as they stand in `sql/postgres/`."""

from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Step(NamedTuple):
    """A numbered file that brings the tables one version further."""

    number: int
    name: str
    script: bytes
    least: int
    """The oldest version a program may know and still use tables that have seen this step."""


@cache
def named_statements() -> dict[str, bytes]:
    """Return the statements of queries.sql by name."""
    text = (files("ropewalk.stores") / "sql/postgres/queries.sql").read_text("utf-8")
    named = (part.split("\n", 1) for part in text.split("-- name: ")[1:])
    return {name.strip(): _without_comments(body).encode() for name, body in named}


@cache
def steps() -> tuple[Step, ...]:
    """Return the numbered files in order."""
    folder = files("ropewalk.stores") / "sql/postgres"
    numbered = {file.name: file for file in folder.iterdir() if file.name[:4].isdecimal()}
    found: list[Step] = []
    for name in sorted(numbered):
        script = numbered[name].read_text("utf-8")
        least = script.partition("\n")[0].removeprefix("-- least:")
        found.append(Step(int(name[:4]), name.removesuffix(".sql"), script.encode(), int(least)))
    return tuple(found)


def _without_comments(body: str) -> str:
    lines = (line.partition("  -- ")[0].rstrip() for line in body.splitlines() if not line.startswith("--"))
    return "\n".join(lines).strip()
