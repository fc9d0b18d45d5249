"""Where runs are kept when a command does not say: the environment, then the project's file, then a folder here."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ropewalk.errors import did_you_mean

DEFAULT_STORE = "sqlite:///.ropewalk/runs.db"
STORE_VARIABLE = "ROPEWALK_STORE"
_KEYS = ("store",)
_RELATIVE_SQLITE = "sqlite:///"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreChoice:
    """Which store, and who said so."""

    url: str
    origin: str
    """In words: the option, the variable, the file, or the default."""


def chosen_store(given: str | None, *, environ: Mapping[str, str], folder: Path) -> StoreChoice:
    """Return the store of a command that was typed in ``folder`` with ``--store`` as ``given``.

    Raises ValueError, with what to do, for a ``[tool.ropewalk]`` table that cannot be read.
    """
    if given:
        return StoreChoice(url=given, origin="--store")
    if environ.get(STORE_VARIABLE):
        return StoreChoice(url=environ[STORE_VARIABLE], origin=STORE_VARIABLE)
    for file in (place / "pyproject.toml" for place in (folder, *folder.parents)):
        table = _table(file)
        if table is not None and "store" in table:
            return StoreChoice(url=_beside(file, table["store"]), origin=str(file))
        if table is not None:
            break
    return StoreChoice(url=DEFAULT_STORE, origin="the default")


def _table(file: Path) -> dict[str, str] | None:
    """Return ``[tool.ropewalk]`` of a project's file; None where there is none."""
    try:
        tool: Any = tomllib.loads(file.read_text(encoding="utf-8")).get("tool")
    except OSError:
        return None
    except ValueError as error:
        raise ValueError(f"{file} is no TOML: {error}. Mend it, or name the store with --store.") from error
    ours: Any = cast("dict[str, Any]", tool).get("ropewalk") if isinstance(tool, dict) else None
    if not isinstance(ours, dict):
        return None
    table = cast("dict[str, Any]", ours)
    for key, value in table.items():
        if key not in _KEYS:
            raise ValueError(
                f"{file} sets {key!r} in [tool.ropewalk].{did_you_mean(str(key), _KEYS)} Drop or rename it."
            )
        if not isinstance(value, str) or not value:
            raise ValueError(f'{file} sets {key} to {value!r}. Write a URL: {key} = "{DEFAULT_STORE}".')
    return table


def _beside(file: Path, url: str) -> str:
    """Read a relative SQLite path as relative to ``file``, so that it means the same in every subfolder."""
    path = url.removeprefix(_RELATIVE_SQLITE)
    if path == url or path.startswith("/"):
        return url
    return f"{_RELATIVE_SQLITE}{file.parent.resolve()}/{path}"
