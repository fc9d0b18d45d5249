"""Puts the parts together: the one file that knows which URL means which part."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel
from typing_extensions import TypeVar

from ropewalk.contracts import QueuesRuns, RunRecord, RunStore
from ropewalk.core.facts import read_entry
from ropewalk.core.graph import Graph as DrawnGraph
from ropewalk.core.picture import Picture
from ropewalk.core.plan import Place, Plan
from ropewalk.core.run import Run
from ropewalk.core.standing import Pause, RunStatus
from ropewalk.errors import PartMissing, PartUnknown
from ropewalk.events import Entry, Event

if TYPE_CHECKING:  # slow to load, and most runs need none of it
    from importlib.metadata import EntryPoints

    from ropewalk.contracts.model import Model
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
    "default_model",
    "open_model",
    "open_queued_store",
    "open_store",
    "read_log",
    "stuck_runs",
    "unfinished_steps",
]

S = TypeVar("S", bound=BaseModel, default=BaseModel)


def __getattr__(name: str) -> Any:
    """Load what drives the runs of others when it is asked for."""
    if name not in ("StuckRun", "Worker", "stuck_runs"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ropewalk import workers  # noqa: PLC0415  loads what is used, no more

    return getattr(workers, name)


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
        self.schedules = ()

    def add_schedule(
        self,
        name: str,
        cron: str,
        *,
        input: Mapping[str, Any] | None = None,
        timezone: str = "UTC",
        owner: str | None = None,
        late_seconds: float = 300.0,
    ) -> Self:
        """Start a run, with ``input``, whenever ``cron`` says so, as long as some server serves this graph.

        Each tick starts one run, ``NAME@2026-11-21T03:00:00Z``, however many servers there are; one that all of them
        missed is made up for, up to ``late_seconds`` later. Raises ValueError, and `PartMissing` without the extra
        ``server``.
        """
        try:
            from ropewalk.server import schedules  # noqa: PLC0415  the extra is loaded by who uses it
        except ImportError as error:
            raise PartMissing("Starting runs by the clock", "server") from error
        schedule = schedules.Schedule(
            name=name,
            graph=self.name,
            cron=cron,
            input=dict(input or {}),
            timezone=timezone,
            owner=owner,
            late_seconds=late_seconds,
        )
        self.schedules: tuple[Any, ...] = (*self.schedules, schedules.checked(schedule))
        return self

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
    plugs = _plugs("ropewalk.stores")
    for plug in plugs:
        if plug.name == scheme:
            make: Any = plug.load()
            return make(url)
    known = ["memory:", "sqlite:///runs.db", "postgresql://user@host/database"]
    raise PartUnknown("store", url, [*known, *(f"{plug.name}://" for plug in plugs)])


def open_queued_store(url: str) -> QueuesRuns:
    """Return the run store of ``url`` as one that hands its runs to workers: PostgreSQL as it is, any other with a
    queue for the workers of this process alone. Raises what `open_store` raises.
    """
    store = open_store(url)
    if isinstance(store, QueuesRuns):
        return store
    from ropewalk.stores.queued_here import QueuedHere  # noqa: PLC0415  loads what is used, no more

    return QueuedHere(store)


def open_model(name: str) -> "Model":
    """Return the model of a name: ``openai:gpt-5.4-mini``, ``openai-responses:...``, ``anthropic:claude-sonnet-5``,
    with ``@http://host/v1`` behind it for another server, or what a plug-in offers.

    What may help is asked again. Raises `PartUnknown`, and `PartMissing` for an SDK that is not installed.
    """
    from ropewalk.llm.named import EXAMPLES, read_model_name  # noqa: PLC0415  loads what is used, no more
    from ropewalk.llm.retrying import Retrying  # noqa: PLC0415  as above

    asked = read_model_name(name)
    if asked.scheme in ("openai", "openai-responses"):
        from ropewalk.llm.openai import OpenAIClient  # noqa: PLC0415  as above

        api: Literal["chat", "responses"] = "chat" if asked.scheme == "openai" else "responses"
        key = _key_for(asked.base_url, "OPENAI_API_KEY")
        return Retrying(OpenAIClient(key, asked.base_url, api, model=asked.model))
    if asked.scheme == "anthropic":
        from ropewalk.llm.anthropic import AnthropicClient  # noqa: PLC0415  as above

        key = _key_for(asked.base_url, "ANTHROPIC_API_KEY")
        return Retrying(AnthropicClient(key, asked.base_url, model=asked.model))
    plugs = _plugs("ropewalk.models")
    for plug in plugs:
        if plug.name == asked.scheme:
            make: Any = plug.load()
            return make(name)
    raise PartUnknown("model", name, [*EXAMPLES, *(f"{plug.name}:" for plug in plugs)])


def _plugs(group: str) -> "EntryPoints":
    """Return what installed packages offer."""
    from importlib.metadata import entry_points  # noqa: PLC0415  slow to load, and most names are known

    return entry_points(group=group)


def _key_for(base_url: str | None, variable: str) -> str | None:
    """Return a key for a server that may want none: the SDKs refuse to ask without one."""
    return None if base_url is None else os.environ.get(variable) or "none"


def default_model(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the name of the model that the environment asks for: ``ROPEWALK_MODEL``, else one of the provider whose
    key is set; None without any.
    """
    if environ.get("ROPEWALK_MODEL"):
        return environ["ROPEWALK_MODEL"]
    from ropewalk.llm.named import BY_KEY  # noqa: PLC0415  loads what is used, no more

    return next((name for key, name in BY_KEY.items() if environ.get(key)), None)


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
