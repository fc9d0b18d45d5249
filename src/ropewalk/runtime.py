"""Puts the parts together: the one file that knows which URL means which part."""

import socket
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import BaseModel
from typing_extensions import TypeVar

from ropewalk.contracts import QueuesRuns, RunRecord, RunStore
from ropewalk.core.facts import read_entry
from ropewalk.core.graph import Graph as DrawnGraph
from ropewalk.core.picture import Picture
from ropewalk.core.plan import Place, Plan
from ropewalk.core.run import Pause, Run, RunStatus
from ropewalk.errors import PartMissing, PartUnknown
from ropewalk.events import Entry, Event
from ropewalk.settings import DoorSettings
from ropewalk.workers import StuckRun, Worker, stuck_runs

if TYPE_CHECKING:
    from ropewalk.server.listening import Listener

__all__ = [
    "Doors",
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
    "part_of_the_server",
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


class Doors:
    """Graphs behind HTTP on one socket: `serve` until `stop`."""

    def __init__(
        self, graphs: Sequence[DrawnGraph[Any]], settings: DoorSettings, *, aliases: Mapping[str, str]
    ) -> None:
        """Make the app; raises `PartMissing` without the extra, ValueError for graphs that do not go together."""
        self.service, self.app, self._more = _app_of(graphs, settings, aliases)
        self.grace_seconds = 10.0
        """How long a stop waits for steps in flight; what does not end by then is done again at the next start."""
        self.taken_over = 0
        """How many runs that a dead process left behind were taken over."""
        self._settings = settings
        self._listener: Listener | None = None

    def open_socket(self, host: str, port: int) -> socket.socket:
        """Bind the socket; port 0 is any free one. Raises OSError."""
        from ropewalk.server.listening import open_socket  # noqa: PLC0415  the extra is loaded by who serves

        return open_socket(host, port)

    async def serve(self, listening: socket.socket) -> None:
        """Answer until `stop`, or a signal to this process; then let streams and runs come to rest."""
        from ropewalk.server.listening import Listener  # noqa: PLC0415

        if not self._settings.for_workers:
            self.taken_over = await self.service.driving.take_over()
        await self._more.start()
        self._listener = Listener(self.app, before_end=self._before_end)
        await self._listener.serve(sockets=[listening])

    async def _before_end(self) -> None:
        await self._more.close()
        await self.service.close(grace_seconds=self.grace_seconds)

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.should_exit = True


def _app_of(
    graphs: Sequence[DrawnGraph[Any]], settings: DoorSettings, aliases: Mapping[str, str]
) -> tuple[Any, Any, Any]:
    try:  # the extra is loaded by who serves
        from ropewalk.server.gateway import create_app  # noqa: PLC0415
    except ImportError as error:
        raise PartMissing("The HTTP server", "server") from error
    from ropewalk.server.auth import ApiKeys, let_anybody_in  # noqa: PLC0415
    from ropewalk.server.bodies import BodyLimits  # noqa: PLC0415
    from ropewalk.server.limits import RequestLimits  # noqa: PLC0415
    from ropewalk.server.more_doors import MoreDoors  # noqa: PLC0415
    from ropewalk.server.policy import policy_of  # noqa: PLC0415
    from ropewalk.server.runs import RunLimits, RunService  # noqa: PLC0415

    limits = RunLimits(runs_per_user=settings.runs_per_user)
    service = RunService(graphs, aliases=aliases, for_workers=settings.for_workers, limits=limits)
    authenticate: Any = ApiKeys(settings.api_keys) if settings.api_keys else let_anybody_in
    if settings.jwks is not None:
        from ropewalk.server.tokens import Tokens  # noqa: PLC0415

        authenticate = Tokens(
            settings.jwks,
            issuer=settings.jwt_issuer,
            audience=settings.jwt_audience,
            otherwise=authenticate if settings.api_keys else None,
        )
    app = create_app(
        service,
        authenticate=authenticate,
        policy=policy_of(settings.allowed_hosts, settings.allowed_origins, checks_hosts=not settings.asks_who),
        request_limits=RequestLimits(
            requests_per_second=settings.requests_per_second, streams_per_user=settings.streams_per_user
        ),
        body_limits=BodyLimits(bytes=settings.max_body_bytes),
    )
    more = MoreDoors(
        app, service, settings, body_limits=BodyLimits(bytes=settings.max_body_bytes), worker_of=_worker_of_deliveries
    )
    return service, app, more


def _worker_of_deliveries(graph: DrawnGraph[Any]) -> Worker:
    return Worker(graph, concurrency=16, grace=1.0)


def part_of_the_server(name: str) -> Any:
    """Return a public name that needs the extra ``server``. Raises `PartMissing`."""
    try:
        from ropewalk.server import graph_service, seed_routes  # noqa: PLC0415  loaded when somebody asks for it
    except ImportError as error:
        raise PartMissing("Serving graphs", "server") from error
    return getattr(graph_service, name, None) or getattr(seed_routes, name)
