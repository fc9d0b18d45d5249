"""Finds what a command names: the store, the run in it, and the graph that can go on with it."""

import argparse
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from shutil import which
from typing import Any

from ropewalk.cli.load import Loaded, load_graph
from ropewalk.cli.remembered import FOLDER, Remembered, own_folder, recall, remember
from ropewalk.cli.screen import printable
from ropewalk.cli.shown import shown_url
from ropewalk.cli.trouble import FAILED, Trouble
from ropewalk.errors import InvalidId, RunNotFound
from ropewalk.runtime import Run, RunRecord, RunStore, open_store
from ropewalk.settings import StoreChoice, chosen_store

_PAGE = 500
_LOOKED_THROUGH = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenStore:
    """A store, and how to name it in the next command."""

    store: RunStore
    choice: StoreChoice


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundRun:
    """A run that a command names."""

    record: RunRecord
    where: OpenStore
    known: Remembered | None
    """What `ropewalk run` noted in this folder."""

    @property
    def run_id(self) -> str:
        return self.record.run_id


def store_choice(given: str | None) -> StoreChoice:
    """Return the store of this command. Raises `Trouble` for settings that cannot be read."""
    try:
        return chosen_store(given, environ=os.environ, folder=Path.cwd())
    except ValueError as error:
        raise Trouble(str(error), code="setting_invalid") from error


def opened(choice: StoreChoice, *, to_look: bool) -> RunStore:
    """Open a store. To look at one that is not there is a mistake: it would make an empty one."""
    if choice.url.startswith(f"sqlite:///{FOLDER}/") and not to_look:
        own_folder()
    try:
        store = open_store(choice.url)
    except ValueError as error:
        raise Trouble(str(error), why=f"It was named by {choice.origin}.", code="part_unknown") from error
    path: Any = getattr(store, "path", None)
    if to_look and isinstance(path, Path) and not path.exists():
        raise Trouble(
            f"There is no store {shown_url(choice.url)!r} ({choice.origin}).",
            why="No run was started with it yet, or it is in another folder.",
            do="Start one: ropewalk run FILE:graph. Or name the store that has it: --store URL",
            status=FAILED,
            code="store_missing",
        )
    return store


@asynccontextmanager
async def looking(options: argparse.Namespace) -> AsyncGenerator[OpenStore, None]:
    """Hold the store of a command that looks."""
    choice = store_choice(options.store)
    store = opened(choice, to_look=True)
    try:
        yield OpenStore(store=store, choice=choice)
    finally:
        await store.close()


@asynccontextmanager
async def finding(options: argparse.Namespace) -> AsyncGenerator[FoundRun, None]:
    """Hold the run that ``options`` name, in the store they name or in the one it was started with."""
    choice = store_choice(options.store)
    known = recall(options.run_id)
    if known and known.store and not options.store:
        choice = StoreChoice(url=known.store, origin="the store it was started with")
    store = opened(choice, to_look=True)
    try:
        record = await _found(store, options.run_id, choice)
        known = known or recall(record.run_id)
        yield FoundRun(record=record, where=OpenStore(store=store, choice=choice), known=known)
    finally:
        await store.close()


def graph_of(found: FoundRun, given: str | None) -> Loaded | None:
    """Load the run's graph: the one given, or the one remembered in this folder; None when neither is."""
    target = given or (found.known.graph if found.known else None)
    if target is None:
        return None
    loaded = load_graph(target)
    graph, record = loaded.graph, found.record
    if graph.name != record.graph and graph.plan.digest != record.plan:
        raise Trouble(
            f"Run {record.run_id} is not one of this graph: {loaded.file.name}:{loaded.name} is {graph.name!r}.",
            why=f"The run was started with a graph named {record.graph!r}.",
            do="Name the file that draws that one: --graph FILE:graph",
            code="another_graph",
        )
    graph.use_store(found.where.store)
    return loaded


def run_to_go_on_with(found: FoundRun, options: argparse.Namespace) -> tuple[Loaded, Run[Any]]:
    """Load the graph and open the run. Raises `Trouble` where no graph is known."""
    loaded = graph_of(found, options.graph)
    if loaded is not None and options.graph:
        remember(found.run_id, loaded.target, found.where.choice.url)
    if loaded is None:
        raise Trouble(
            f"Which file draws the graph of run {found.run_id}?",
            why=f"To go on with it the file must be executed, and {FOLDER}/graphs.jsonl here does not know it.",
            do="Name it, --graph FILE:graph, or go to the folder where the run was started.",
            code="graph_unknown",
        )
    return loaded, loaded.graph.open(found.run_id)


async def _found(store: RunStore, given: str, choice: StoreChoice) -> RunRecord:
    try:
        return await store.look(given)
    except (RunNotFound, InvalidId):
        pass
    near: list[RunRecord] = []
    after: str | None = None
    for _ in range(_LOOKED_THROUGH):
        page = await store.runs(after=after, limit=_PAGE)
        near += [record for record in page if record.run_id.startswith(given)]
        if len(page) < _PAGE:
            break
        after = page[-1].run_id
    if len(near) == 1:
        return near[0]
    if near:
        ids = ", ".join(record.run_id for record in near[:6]) + (", ..." if len(near) > 6 else "")
        raise Trouble(f"{len(near)} runs begin with {given!r}.", do=f"Type more of it: {ids}", code="run_not_found")
    raise Trouble(
        f"There is no run {given!r} in {shown_url(choice.url)} ({choice.origin}).",
        why="It was started with another store, or it was pruned.",
        do="Look at `ropewalk runs ls`, or name the store: --store URL",
        code="run_not_found",
    )


def next_command(verb: str, run_id: str, rest: str = "", *, choice: StoreChoice) -> str:
    """Return what to type next about a run. People copy it into a shell, so what a store says is quoted."""
    known = recall(run_id)
    store = (
        f" --store {quote(shown_url(choice.url))}" if choice.origin == "--store" and not (known and known.store) else ""
    )
    return f"{program()} runs {verb} {quote(printable(run_id))}{rest and ' '}{rest}{store}"


def program() -> str:
    """Return how this program is called in the commands that it suggests: as it was called itself."""
    called = Path(sys.argv[0])
    if called.name != "ropewalk":
        return "python -m ropewalk.cli"
    found = which("ropewalk")
    if found and os.path.samefile(found, called):
        return "ropewalk"
    return quote(os.path.relpath(called))
