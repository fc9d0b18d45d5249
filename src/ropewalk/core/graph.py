"""Where a user draws a graph and runs it.

It is one file because it is one class, the public one: its methods are short, most of what they say is their docstring.
"""

import asyncio
import weakref
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AnySet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Generic, Literal, Self, cast, overload

from pydantic import BaseModel
from typing_extensions import TypeVar

from ropewalk.contracts import RunStore
from ropewalk.core.arguments import check
from ropewalk.core.compiler import compile_drawing
from ropewalk.core.desk import Desk
from ropewalk.core.drawn import Drawing, EdgeDrawn, FanDrawn, NodeDrawn, RouterDrawn
from ropewalk.core.drive import Settings, Watch
from ropewalk.core.facts import StateEdited
from ropewalk.core.origin import NO_ORIGIN, Origin
from ropewalk.core.picture import Picture
from ropewalk.core.plan import Plan, Send
from ropewalk.core.retry import NO_RETRY, Retry
from ropewalk.core.run import Run
from ropewalk.core.standing import RunStatus
from ropewalk.core.state import Shape, default_state
from ropewalk.errors import GraphFrozen, RunNotFound, StateMissing
from ropewalk.ids import checked_run_id, new_run_id

S = TypeVar("S", bound=BaseModel, default=BaseModel)
F = TypeVar("F", bound=Callable[..., Any])
G = TypeVar("G", bound="Callable[[], Graph[Any]]")
R = TypeVar("R", default=Any)

Routes = str | Send | Sequence[str | Send] | AnySet[str | Send]
"""What a router may return."""
OfState = Callable[[S], R | Awaitable[R]] | Callable[[], R | Awaitable[R]]
"""A function on an edge: of the state or of nothing, async or not."""

_THREADS = 64


class Graph(Generic[S]):
    """A typed graph of functions.

    Draw it (`node`, `add_edge`, ...), `compile` it, run it: `execute` and `resume` for one run at a time, kept by the
    graph itself; `start` and `open` for as many as you like.
    """

    def __init__(  # noqa: PLR0913  the names are the graph's settings
        self,
        state_or_class: S | type[S] | None = None,
        *,
        state: S | type[S] | None = None,
        store: RunStore | None = None,
        name: str | None = None,
        chain_id: str | None = None,
        execution_timeout: float | None = 300,
        max_node_iterations: int = 100,
        max_concurrency: int | None = None,
        verbose: bool = False,
    ) -> None:
        given = state_or_class if state_or_class is not None else state
        if given is not None and not _is_state(given):
            raise TypeError(
                f"Graph takes a GraphState (an instance or the class), not {given!r}. "
                "Declare one: class MyState(GraphState): ..."
            )
        if store is not None and not hasattr(store, "append"):
            raise TypeError(f"store is a run store or its URL, not {store!r}. For a file: store='sqlite:///runs.db'.")
        _check_above_zero("execution_timeout", execution_timeout, "seconds; None is no limit")
        _check_above_zero("max_node_iterations", max_node_iterations, "how often one node may run in a run", whole=True)
        _check_above_zero("max_concurrency", max_concurrency, "a number of steps; None is no limit", whole=True)
        self._own_state: S | None = given if isinstance(given, BaseModel) else None
        state_class = cast("type[S] | None", type(given) if isinstance(given, BaseModel) else given)
        self.name = name or (state_class.__name__ if state_class else "graph")
        self.store = store
        self.execution_timeout = execution_timeout
        self.max_node_iterations = max_node_iterations
        self.max_concurrency = max_concurrency
        self.verbose = verbose
        self.drawing = Drawing(self.name, state_class)
        self._first_id = checked_run_id(chain_id) if chain_id is not None else None
        self._desk: Desk | None = None
        self._watches: tuple[Watch, ...] = ()
        self._run: Run[S] | None = None
        self._resume_at: int | None = None
        """The entry that `load_from_checkpoint` went back to, until `resume` forks there."""
        self._fork_edits: list[StateEdited] = []
        """What the state was changed by since then."""
        self._is_edited = False
        """The own state was changed after its run had ended: it no longer shows that run."""

    # -- drawing ------------------------------------------------------------------------------------------------------

    @overload
    def node(self, name: F, /) -> F: ...
    @overload
    def node(
        self,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        interrupt: Literal["before", "after"] | None = None,
        *,
        retry: Retry | None = None,
        timeout: float | None = None,
    ) -> Callable[[F], F]: ...
    def node(
        self,
        name: Any = None,
        metadata: Mapping[str, Any] | None = None,
        interrupt: Literal["before", "after"] | None = None,
        *,
        retry: Retry | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Make a node of the function below; returns the function as it was.

        ``interrupt`` is a breakpoint; ``timeout`` is seconds for one attempt; there is no retry unless ``retry`` asks
        for it.
        """
        if callable(name):
            self.add_node(name)
            return name
        _check_name("node", name)

        def draw(fn: F) -> F:
            self.add_node(fn, name, metadata, interrupt, retry=retry, timeout=timeout)
            return fn

        return draw

    def add_node(
        self,
        fn: Callable[..., Any],
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        interrupt: Literal["before", "after"] | None = None,
        *,
        retry: Retry | None = None,
        timeout: float | None = None,
    ) -> Self:
        """Add ``fn`` as a node: the same as the decorator `node`."""
        if not callable(fn):
            raise TypeError(f"A node is a function, not {fn!r}. To name it: add_node(fn, name='...').")
        _check_retry(retry)
        called = name or getattr(fn, "__name__", None) or type(fn).__name__
        drawn = NodeDrawn(
            name=called, fn=fn, metadata=metadata or {}, interrupt=interrupt, retry=retry or NO_RETRY, timeout=timeout
        )
        return self._add(drawn)

    @overload
    def subgraph(self, name: G, /) -> G: ...
    @overload
    def subgraph(
        self,
        name: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        interrupt: Literal["before", "after"] | None = None,
    ) -> Callable[[G], G]: ...
    def subgraph(
        self,
        name: Any = None,
        metadata: Mapping[str, Any] | None = None,
        interrupt: Literal["before", "after"] | None = None,
    ) -> Any:
        """Make a node of the graph that the function below returns; it shares this graph's state and log."""
        if callable(name):
            return self.subgraph()(cast("Callable[[], Graph[Any]]", name))
        _check_name("subgraph", name)

        def draw(fn: G) -> G:
            graph: Any = fn()
            called: str = name or getattr(fn, "__name__", type(fn).__name__)
            if not isinstance(graph, Graph):
                raise TypeError(f"Subgraph {called!r} returned {graph!r}. Return the Graph that it draws.")
            drawn = NodeDrawn(
                name=called, inner=cast("Graph[Any]", graph).drawing, metadata=metadata or {}, interrupt=interrupt
            )
            self._add(drawn)
            return fn

        return draw

    def add_edge(self, start_node: str, end_node: str, edge_id: str | None = None) -> Self:
        """Let ``end_node`` follow ``start_node``; a node with several edges goes on along all of them at once."""
        self._unfrozen("an edge")
        _check_names("add_edge", start_node, end_node)
        self.drawing.edges.append(EdgeDrawn(start=start_node, end=end_node, name=edge_id))
        return self

    def add_router_edge(
        self, node: str, router: "OfState[S, Routes] | str", routes: Iterable[str] | None = None
    ) -> Self:
        """Let ``router`` choose what follows ``node``.

        It is a function of the state, called on the loop (keep it short, or make it async), or the name of a node. It
        returns a node's name, ``END``, `Send(name, item)`, or a list of these. ``routes`` declares what it may choose;
        else its ``Literal`` return type or its source tells; where neither can, the choice is checked when it is made.
        """
        self._unfrozen("a router edge")
        _check_names("add_router_edge", node)
        if not isinstance(router, str) and not callable(router):
            raise TypeError(f"A router is a function of the state or the name of a node, not {router!r}.")
        drawn = self.drawing.nodes.items()
        called = next((name for name, known in drawn if known.fn is not None and known.fn == router), router)
        declared = (routes,) if isinstance(routes, str) else tuple(routes) if routes is not None else None
        self.drawing.edges.append(RouterDrawn(start=node, router=called, routes=declared))
        return self

    def add_repeating_edge(  # noqa: PLR0917  the seeds' signature
        self,
        start_node: str,
        repeat_node: str,
        end_node: str,
        repeat: int = 1,
        parallel: bool = False,
        repeat_names: Iterable[str] | None = None,
    ) -> Self:
        """Run ``repeat_node`` (a subgraph too) ``repeat`` times between the two others, side by side or one after the
        other.
        """
        self._unfrozen("a repeating edge")
        _check_names("add_repeating_edge", start_node, repeat_node, end_node)
        labels = tuple(repeat_names or ())
        fan = FanDrawn(
            start=start_node, node=repeat_node, end=end_node, repeat=repeat, parallel=parallel, labels=labels
        )
        self.drawing.edges.append(fan)
        return self

    def add_map_edge(self, source: str, node: str, target: str, *, over: "OfState[S, Iterable[Any]]") -> Self:
        """Run ``node`` once for each item of ``over(state)``, side by side; then ``target``, with the results in item
        order.

        The node takes the item as its parameter ``item``.
        """
        self._unfrozen("a map edge")
        _check_names("add_map_edge", source, node, target)
        if not callable(over):
            raise TypeError(f"over= is a function of the state, not {over!r}. Write over=lambda state: [...].")
        self.drawing.edges.append(FanDrawn(start=source, node=node, end=target, over=over))
        return self

    def compile(self) -> Self:
        """Check the drawing and freeze it. Raises `GraphInvalid`, which lists every mistake with a hint."""
        self._ready()
        return self

    @property
    def is_compiled(self) -> bool:
        return self._desk is not None

    @property
    def plan(self) -> Plan:
        """The compiled graph."""
        return self._ready().plan

    @property
    def desk(self) -> Desk:
        """Where its runs are kept: what a worker drives them by."""
        return self._ready()

    # -- many runs ----------------------------------------------------------------------------------------------------

    def start(
        self,
        state: S | None = None,
        *,
        run_id: str | None = None,
        timeout: float | None = None,
        origin: Origin = NO_ORIGIN,
    ) -> Run[S]:
        """Start a run and return at once; call it inside a running loop.

        ``timeout`` replaces the graph's ``execution_timeout``: seconds under way, pauses left out. That the run is
        durable is told by `Run.admitted` and every other await on it; there, an existing ``run_id`` raises `RunExists`.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise RuntimeError("start() needs a running event loop. In plain code use graph.run_sync(state).") from None
        desk = self._ready()
        return desk.start(self._initial(state), run_id, self._settings(timeout), origin)

    async def admit(self, state: S | None = None, *, run_id: str | None = None, origin: Origin = NO_ORIGIN) -> Run[S]:
        """Start a run and return it when it is durable: the same as `start` and `Run.admitted`, for less.

        A caller that is cancelled meanwhile starts it all the same. Raises what these do.
        """
        return await self._ready().admit(self._initial(state), run_id, self._settings(None), origin)

    async def submit(self, state: S | None = None, *, run_id: str | None = None, origin: Origin = NO_ORIGIN) -> Run[S]:
        """Admit a run, leave it for a worker, and return it; it is durable then.

        The run can be followed, answered, edited and cancelled here like any other; workers drive it. Raises
        `RunExists`, and `QueueMissing` for a store that has no queue.
        """
        return await self._ready().submit(self._initial(state), run_id, origin)

    def open(self, run_id: str) -> Run[S]:
        """Return a run of this graph, wherever it was started. Raises `RunNotFound`."""
        return self._ready().open(run_id)

    def run_sync(self, state: S | None = None, *, run_id: str | None = None, timeout: float | None = None) -> S:
        """Run the graph to its end from plain code and return the final state; raises what ``await run`` raises."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError("run_sync() would block the running event loop. Await graph.start(state) instead.")

        async def main() -> S:
            return await self.start(state, run_id=run_id, timeout=timeout)

        return asyncio.run(main())

    # -- one run at a time, kept by the graph (the seeds' way) --------------------------------------------------------

    async def execute(
        self,
        initial_state: S | float | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  the seeds' name: a limit of the run, not of this call
        chain_id: str | None = None,
    ) -> str:
        """Run the graph until it ends or pauses; return the run's id. `chain_status` and `state` tell the rest.

        The initial values are those the graph's state object holds now, and it mirrors the run afterwards. Cancelling
        this call stops the run where it is; `resume` goes on. Raises `RunFailed`, `RunCancelled`, `RunExists`.
        """
        if isinstance(initial_state, int | float):  # the seeds' first positional parameter is the timeout
            initial_state, timeout = None, float(initial_state)
        if initial_state is not None:
            self._own_state = initial_state
        run_id, self._first_id = chain_id or self._first_id or new_run_id(), None
        if self._own_state is None:
            self._own_state = cast("S | None", self._initial(None))
        run = self.start(self._own_state, run_id=run_id, timeout=timeout)
        self._take(run)
        return await self._driven(run, run.wait())

    async def resume(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  the seeds' name: a limit of the run, not of this call
        max_node_iterations: int | None = None,
    ) -> str:
        """Release breakpoints, retry what failed, go on where a dead process stopped; return when the run stops
        again.
        """
        run = self._current()
        if self._resume_at is not None:
            run = await self._ready().fork(run, self._resume_at, self._fork_edits)
            self._take(run)
        run.set_limits(timeout, max_node_iterations)
        return await self._driven(run, run.resume())

    async def _driven(self, run: Run[S], going: Any) -> str:
        try:
            status: RunStatus = await going
        except asyncio.CancelledError:
            await run.let_go()
            raise
        if status in (RunStatus.FAILED, RunStatus.CANCELLED):
            error = run.error
            if error is not None:
                raise error
        return run.run_id

    @property
    def chain_id(self) -> str | None:
        """The id of the current run, or the one that the first `execute` will have."""
        return self._run.run_id if self._run else self._first_id

    @property
    def chain_status(self) -> RunStatus:
        return self._run.status if self._run else RunStatus.IDLE

    @property
    def run(self) -> Run[S] | None:
        """The current run of `execute` and `load_from_checkpoint`."""
        return self._run

    @property
    def state(self) -> S | None:
        """The graph's own state object, showing the current run as it stands."""
        if self._own_state is None:
            self._own_state = cast(
                "S | None", default_state(self.drawing.state_class) if self.drawing.state_class else None
            )
        if self._run is not None and self._own_state is not None and self._shows(self._run):
            self._run.mirror_into(self._own_state)
        return self._own_state

    @state.setter
    def state(self, state: S) -> None:
        self._own_state = state
        self._take(None)

    def load_from_checkpoint(self, chain_id: str, checkpoint_id: str | None = None) -> None:
        """Make an earlier run the current one; ``checkpoint_id`` is an entry's number: `resume` then forks there.

        Raises `RunNotFound`, `EntryNotFound`.
        """
        run = self.open(chain_id)
        self._take(run)
        if self._own_state is None and self.drawing.state_class is not None:
            self._own_state = cast("S", self.drawing.state_class.model_construct())
        if self._own_state is None:
            return
        if checkpoint_id is None:
            run.mirror_into(self._own_state)
        else:
            self._resume_at = _entry_number(checkpoint_id)
            desk = self._ready()
            desk.shape.mirror(desk.state_at_now(run, self._resume_at), self._own_state)

    def update_state_and_checkpoint(self, updates: Mapping[str, Any]) -> None:
        """Write to the current run's state through its buffers; the next await on the run commits it.

        At an earlier checkpoint it is the fork's first entry; after the run's end, and without a run, it changes the
        graph's own state object, with which `execute` begins. Raises `UnknownField`, `WrongType`.
        """
        self._edit(updates, replace=False)

    def set_state_and_checkpoint(self, new_state: S | Mapping[str, Any]) -> None:
        """Replace fields of the current run's state, past their buffers; the next await on the run commits it."""
        if isinstance(new_state, BaseModel):
            state_class = self.drawing.state_class
            if state_class is None or not isinstance(new_state, state_class):
                named = f"an instance of {state_class.__name__}" if state_class else "left out: this graph has none"
                raise TypeError(f"The new state must be {named}, not {new_state!r}.")
            new_state = {name: getattr(new_state, name) for name in type(new_state).model_fields}
        self._edit(new_state, replace=True)

    def _edit(self, updates: Mapping[str, Any], *, replace: bool) -> None:
        check("updates", updates, Mapping, "a dict of fields and values")
        run = self._run
        if run is not None and self._resume_at is None and run.status not in (RunStatus.DONE, RunStatus.CANCELLED):
            run.queue_edit(updates, replace=replace)
            run.commit_queued_now()
            _ = self.state
            return
        shape = self._ready().shape
        state = self._required_state()
        writes = shape.replaced(updates, "The update") if replace else shape.returned(updates, "The update")
        shape.mirror(shape.fold(shape.values(state), writes), state)
        if self._resume_at is not None:
            self._fork_edits.append(StateEdited(writes, at_rest=True))
        else:
            self._is_edited = True

    # -- looking ------------------------------------------------------------------------------------------------------

    def visualize(self, transparent: bool | None = None) -> Picture:
        """Return the picture of the graph: SVG, Mermaid and DOT; notebooks show it. Compiles the graph if need be.

        ``transparent`` leaves the background out (True) or draws one (False), in SVG and in what Graphviz makes of the
        DOT. None: Graphviz draws none, and our SVG brings its own, light or dark as its viewer likes it.
        """
        return Picture(self._ready().plan, transparent=transparent)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return self.visualize().mimebundle()

    def __repr__(self) -> str:
        nodes, edges = len(self.drawing.nodes), len(self.drawing.edges)
        return f"<Graph {self.name!r}: {nodes} nodes, {edges} edges{', compiled' if self._desk else ''}>"

    # -- inside -------------------------------------------------------------------------------------------------------

    def _add(self, drawn: NodeDrawn) -> Self:
        self._unfrozen(f"node {drawn.name!r}")
        if drawn.name in self.drawing.nodes:
            self.drawing.doubled.append(drawn.name)
        self.drawing.nodes[drawn.name] = drawn
        return self

    def _unfrozen(self, what: str) -> None:
        if self._desk is not None:
            raise GraphFrozen(self.name, what)

    def _ready(self) -> Desk:
        if self._desk is None:
            shape = Shape(self.drawing.state_class)
            plan = compile_drawing(self.drawing)
            threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"ropewalk-{self.name}")
            weakref.finalize(self, threads.shutdown, wait=False)
            self._threads = threads
            self._desk = Desk(
                plan,
                shape,
                self.store,
                self._settings(None),
                max_iterations=self.max_node_iterations,
                mirrored=lambda run: self._own_state if self._shows(run) else None,
            )
        return self._desk

    def _settings(self, timeout: float | None) -> Settings:
        _check_above_zero("timeout", timeout, "seconds")
        limit = timeout if timeout is not None else self.execution_timeout
        return Settings(
            timeout=limit,
            max_concurrency=self.max_concurrency,
            threads=self._threads,
            verbose=self.verbose,
            watches=self._watches,
        )

    def watch(self, watch: Watch) -> None:
        """Tell ``watch`` of every run of this graph that is driven in this process from now on."""
        self._watches = (*self._watches, watch)
        self.desk.settings = replace(self.desk.settings, watches=self._watches)

    def _initial(self, state: BaseModel | None) -> BaseModel | None:
        state_class = self.drawing.state_class
        if state_class is None:
            if state is not None:
                raise TypeError("This graph has no state, so it takes none. Give it one: Graph(MyState).")
            return None
        if state is None:
            state = self._own_state or default_state(state_class)
        if state is None:
            raise StateMissing(self.name, self._ready().shape.missing())
        if not isinstance(state, state_class):
            name = state_class.__name__
            raise TypeError(f"The initial state must be an instance of {name}, not {state!r}. Pass {name}(...).")
        return state

    def _required_state(self) -> BaseModel:
        state = self.state
        if state is None:
            raise StateMissing(self.name, self._ready().shape.missing())
        return state

    def _take(self, run: Run[S] | None) -> None:
        """Make ``run`` the current one."""
        self._run = run
        self._resume_at = None
        self._fork_edits = []
        self._is_edited = False

    def _shows(self, run: Run[Any]) -> bool:
        """Tell whether the own state shows ``run`` as it stands: not an earlier entry, nor what came after its end."""
        return run is self._run and self._resume_at is None and not self._is_edited

    def _current(self) -> Run[S]:
        if self._run is None:
            do = "execute() starts one, load_from_checkpoint() goes back to an earlier one"
            raise RunNotFound("(none yet)", f"Graph {self.name!r} has no run yet that it could resume: {do}.")
        return self._run


def _is_state(given: object) -> bool:
    return isinstance(given, BaseModel) or (isinstance(given, type) and issubclass(given, BaseModel))


def _check_names(method: str, *names: object) -> None:
    for given in names:
        if not isinstance(given, str):
            called = getattr(given, "__name__", None)
            raise TypeError(
                f"{method} takes the names of nodes, not {given!r}. Write {called!r}."
                if called
                else f"{method} takes the names of nodes, START or END, not {given!r}."
            )


def _check_name(decorator: str, name: object) -> None:
    if name is not None and not isinstance(name, str):
        raise TypeError(f"@graph.{decorator} takes a name, not {name!r}. Write @graph.{decorator}(name='...').")


def _check_retry(retry: object) -> None:
    if retry is not None and not isinstance(retry, Retry):
        raise TypeError(f"retry takes a Retry, not {retry!r}. Write retry=Retry(attempts=3).")


def _check_above_zero(setting: str, value: Any, meaning: str, *, whole: bool = False) -> None:
    kinds = int if whole else (int, float)
    if value is not None and (isinstance(value, bool) or not isinstance(value, kinds) or not value > 0):
        raise ValueError(f"{setting} is {meaning}, above 0; not {value!r}.")


def _entry_number(checkpoint_id: str) -> int:
    try:
        return int(checkpoint_id)
    except ValueError:
        raise ValueError(f"checkpoint_id is the number of an entry ('12'), not {checkpoint_id!r}.") from None
