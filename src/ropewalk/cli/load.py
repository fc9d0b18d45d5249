"""Finds the graph that FILE:graph names by executing the file, as `python FILE` would.

This is the one place where Ropewalk executes a file by its path, and the path is always one that the user gave.
"""

import contextlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from ropewalk.cli.trouble import Trouble
from ropewalk.errors import did_you_mean
from ropewalk.runtime import Graph


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A graph, compiled, and where it is drawn."""

    graph: Graph[Any]
    file: Path
    name: str

    @property
    def target(self) -> str:
        """FILE:graph with the file's whole path: the same from every folder."""
        return f"{self.file}:{self.name}"


def load_graph(target: str) -> Loaded:
    """Return the graph of ``FILE:graph``, or of ``FILE`` when it draws just one.

    Raises `Trouble` when there is none or the file fails, `GraphInvalid` when the graph cannot run as drawn.
    """
    return load_graphs([target])[0]


def load_graphs(targets: Sequence[str]) -> list[Loaded]:
    """Return the graphs of several ``FILE:graph``; each file is executed once. Raises what `load_graph` raises."""
    modules: dict[Path, ModuleType] = {}
    loaded: list[Loaded] = []
    for target in targets:
        path, name = _split(target)
        file = _existing(path)
        if file not in modules:
            with contextlib.redirect_stdout(sys.stderr):  # what it prints is not this command's output
                modules[file] = _executed(file)
        loaded.append(_graph_in(modules[file], file, name))
    return loaded


def load_all(file: Path) -> list[Loaded]:
    """Return every graph that a file draws or imports; one that has been imported before is not executed again.

    Raises what `load_graph` raises.
    """
    file = file.resolve()
    known = (one for one in [*sys.modules.values()] if getattr(one, "__file__", None) == str(file))
    module = next(known, None)
    if module is None:
        with contextlib.redirect_stdout(sys.stderr):
            module = _executed(file)
    names = {id(value): name for name, value in vars(module).items() if isinstance(value, Graph)}  # pyright: ignore[reportUnknownArgumentType]
    return [_graph_in(module, file, name) for name in names.values()]


def _graph_in(module: ModuleType, file: Path, name: str | None) -> Loaded:
    found: dict[str, Graph[Any]] = {key: value for key, value in vars(module).items() if isinstance(value, Graph)}
    if name is None:
        name = _only(found, file)
    if name not in found:
        raise _no_such_graph(module, file, name, list(found))
    graph = found[name]
    graph.compile()
    return Loaded(graph=graph, file=file, name=name)


def _split(target: str) -> tuple[str, str | None]:
    path, colon, name = target.rpartition(":")
    if colon and path and name.isidentifier():
        return path, name
    return target, None


def _existing(path: str) -> Path:
    file = Path(path).expanduser().resolve()
    if file.is_file() and file.suffix == ".py":
        return file
    if file.is_file():
        raise Trouble(f"{path} is no Python file.", do="Name the file that draws the graph: FILE.py:graph")
    if file.is_dir():
        names = sorted(one.name for one in file.glob("*.py"))
        do = (
            f"Name one of its files: {', '.join(names[:8])}"
            if names
            else "Name the file that draws the graph: FILE.py:graph"
        )
        raise Trouble(f"{path} is a folder.", do=do)
    near = get_close_matches(file.name, [one.name for one in file.parent.glob("*.py")], n=1)
    hint = (
        f"Did you mean {str(Path(path).with_name(near[0]))!r}?"
        if near
        else "Look at the path; it begins at this folder."
    )
    raise Trouble(f"There is no file {path!r}.", do=hint)


def _executed(file: Path) -> ModuleType:
    """Import the file under the name that its own imports expect: with its package, if it is in one."""
    root, parts = file.parent, [file.stem]
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    for place in (str(root), str(Path.cwd())):
        if place not in sys.path:
            sys.path.insert(0, place) if place == str(root) else sys.path.append(place)
    try:
        if len(parts) > 1:
            return importlib.import_module(".".join(parts))
        return _script(file)
    except (Exception, SystemExit) as error:
        raise _failed(file, error) from error


def _script(file: Path) -> ModuleType:
    taken = file.stem in sys.modules or file.stem in sys.stdlib_module_names
    name = f"_ropewalk_{file.stem}" if taken else file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _failed(file: Path, error: BaseException) -> Trouble:
    line: int | None = None
    if isinstance(error, SyntaxError):
        line = error.lineno
    else:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        line = own[-1].lineno if own else None
    at = f"{file}:{line}" if line else str(file)
    return Trouble(
        f"{file.name} could not be loaded: {type(error).__name__}: {error}",
        why=f"It happened at {at}",
        do="Mend the file. With --debug you see the whole traceback.",
        code="file_failed",
    )


def _only(found: dict[str, Graph[Any]], file: Path) -> str:
    different = {id(graph): name for name, graph in reversed(found.items())}
    if len(different) == 1:
        return next(iter(different.values()))
    if not found:
        raise Trouble(
            f"{file.name} draws no graph.",
            why="No name on the module's own level is a ropewalk.Graph.",
            do="Assign one there: graph = Graph(MyState). Or name the file that does.",
        )
    choices = ", ".join(f"{file.name}:{name}" for name in found)
    raise Trouble(f"{file.name} draws several graphs.", do=f"Say which one: {choices}")


def _no_such_graph(module: ModuleType, file: Path, name: str, known: list[str]) -> Trouble:
    if hasattr(module, name):
        kind = type(getattr(module, name)).__name__
        what = f"{name!r} in {file.name} is no Graph but a {kind}."
    else:
        what = f"{file.name} has no graph {name!r}."
    return Trouble(what, do=did_you_mean(name, known).strip() or "It draws none: assign one, graph = Graph(MyState).")
