"""Puts the parts together: the one file that knows which URL means which part."""

from importlib import metadata
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel
from typing_extensions import TypeVar

from ropewalk.contracts import QueuesRuns, RunRecord, RunStore
from ropewalk.core.facts import read_entry
from ropewalk.core.graph import Graph as DrawnGraph
from ropewalk.core.picture import Picture
from ropewalk.core.plan import Place, Plan
from ropewalk.core.run import Pause, Run, RunStatus
from ropewalk.errors import PartUnknown
from ropewalk.events import Entry, Event
from ropewalk.workers import StuckRun, Worker, stuck_runs

__all__ = [
    "Entry",
    "Event",
    "Graph",
    "Pause",
    "Picture",
    "Place",
    "Plan",
    "QueuesRuns",
    "Run",
    "RunRecord",
    "RunStatus",
    "RunStore",
    "StuckRun",
    "Worker",
    "open_store",
    "read_log",
    "stuck_runs",
    "unfinished_steps",
]

S = TypeVar("S", bound=BaseModel, default=BaseModel)


class Graph(DrawnGraph[S]):
    """A typed graph of functions; ``store`` is a run store or its URL (``sqlite:///runs.db``), None keeps runs in this
    process alone.
    """

    def __init__(  # noqa: PLR0913  the names are the graph's settings
        self,
        state_or_class: S | type[S] | None = None,
        *,
        state: S | type[S] | None = None,
        store: RunStore | str | None = None,
        checkpoint_storage: RunStore | str | None = None,
        name: str | None = None,
        chain_id: str | None = None,
        execution_timeout: float | None = 300,
        max_node_iterations: int = 100,
        max_concurrency: int | None = None,
        verbose: bool = False,
    ) -> None:
        """``checkpoint_storage`` is the seeds' name of ``store``."""
        given = store if store is not None else checkpoint_storage
        super().__init__(
            state_or_class,
            state=state,
            store=open_store(given) if isinstance(given, str) else given,
            name=name,
            chain_id=chain_id,
            execution_timeout=execution_timeout,
            max_node_iterations=max_node_iterations,
            max_concurrency=max_concurrency,
            verbose=verbose,
        )

    def use_store(self, store: RunStore | str) -> None:
        """Keep every run that is started or opened from now on in ``store``, a run store or its URL."""
        self.store: RunStore | None = open_store(store) if isinstance(store, str) else store
        if self._desk is not None:
            self._desk.store = self.store


def open_store(url: str) -> RunStore:
    """Return the run store of ``url``: ``memory:``, ``sqlite:///file.db`` (relative), ``sqlite:////file.db``,
    ``postgresql://user@host/database``, or what a plug-in offers.

    ``?durability=normal`` on a SQLite URL trades safety against power loss for speed. Raises `PartUnknown`,
    `PartMissing` for a driver that is not installed, and ValueError for options that cannot be read.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        from ropewalk.stores.memory import MemoryRunStore  # noqa: PLC0415  loads what is used, no more

        return MemoryRunStore()
    if scheme == "sqlite":
        from ropewalk.stores.sqlite import SqliteRunStore  # noqa: PLC0415  loads the driver only when used

        return SqliteRunStore(_sqlite_path(url), durability=_durability(url))
    if scheme in ("postgresql", "postgres"):
        from ropewalk.stores.postgres import PostgresRunStore  # noqa: PLC0415  loads the driver only when used

        return PostgresRunStore(url)
    plugs = metadata.entry_points(group="ropewalk.stores")
    for plug in plugs:
        if plug.name == scheme:
            make: Any = plug.load()
            return make(url)
    known = ["memory:", "sqlite:///runs.db", "postgresql://user@host/database"]
    raise PartUnknown("store", url, [*known, *(f"{plug.name}://" for plug in plugs)])


def _sqlite_path(url: str) -> str:
    parts = urlsplit(url)
    path = unquote(parts.path).removeprefix("/")
    if parts.netloc or not path:
        raise PartUnknown("store", url, ["sqlite:///runs.db", "sqlite:////var/lib/runs.db"])
    return path


def _durability(url: str) -> Literal["full", "normal"]:
    given = parse_qs(urlsplit(url).query).get("durability", ["full"])[-1]
    if given not in ("full", "normal"):
        raise PartUnknown("durability", given, ["full", "normal"])
    return "full" if given == "full" else "normal"


async def read_log(store: RunStore, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Entry]:
    """Return a run's entries as readers see them; its graph is not needed. Raises `RunNotFound`."""
    return [read_entry(number, body) for number, body in await store.read(run_id, after=after, limit=limit)]


async def unfinished_steps(run: Run[Any]) -> dict[str, str]:
    """Return id -> status (ready, waiting, failed) of every step of a run that has begun and not finished."""
    return {step.id: step.status for step in (await run.read()).schedule.steps.values()}
