"""What can happen to a run: the closed set of facts that its log is made of, and their form as entries."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ropewalk.codec import RawJson, dump_entry, dump_json, dump_plain_entry, load_entry, to_plain
from ropewalk.core.state import Shape, Write
from ropewalk.events import Entry


class Route(NamedTuple):
    """One thing a router chose, or one item of a map edge (then ``name`` is empty)."""

    name: str
    item: RawJson | None = None
    """None: chosen without an item."""


class Choice(NamedTuple):
    """What one router or map edge of a departing place chose."""

    departure: str
    """Id of the firing that departs."""
    way: int
    """Position among the place's routers, then its map edges."""
    routes: tuple[Route, ...]


_ORIGIN = ("request", "behind", "webhook", "turn", "note")
_NO_ORIGIN = (None,) * 5


class RunStarted(NamedTuple):
    graph: str
    plan: str
    writes: list[Write]
    choices: tuple[Choice, ...] = ()
    fork_of: str | None = None
    fork_at: int = 0
    limit: int = 100
    """max_node_iterations: part of the log, because what is ready depends on it."""
    request: str | None = None
    """Digest of the request that started it, where one may come twice."""
    behind: str | None = None
    """The run that must have stopped before this one may begin."""
    webhook: str | None = None
    """Who wants to be told when it stops."""
    turn: int | None = None
    """Which of its session's runs it is."""
    note: Mapping[str, Any] | None = None
    """What the door that admitted it wants to find again."""

    def is_plain(self) -> bool:
        """Tell whether `data` holds no JSON that is encoded already."""
        return not self.choices and all(write.raw is None for write in self.writes)

    def data(self) -> dict[str, Any]:
        state = {field: value if raw is None else raw for field, _, value, raw in self.writes}
        data: dict[str, Any] = {"graph": self.graph, "plan": self.plan, "state": state}
        data["max_node_iterations"] = self.limit
        origin = (self.request, self.behind, self.webhook, self.turn, self.note)
        if origin != _NO_ORIGIN:
            data |= {name: value for name, value in zip(_ORIGIN, origin, strict=True) if value is not None}
        if self.fork_of is not None:
            data |= {"fork_of": self.fork_of, "fork_at": self.fork_at}
        return _with_choices(data, self.choices)


class StepFinished(NamedTuple):
    step: str
    node: str
    attempt: int
    writes: list[Write]
    routes: tuple[Route, ...] | None = None
    """What a node that is itself a router returned."""
    choices: tuple[Choice, ...] = ()
    text: str | None = None
    """All tokens that the step emitted, joined."""

    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"step": self.step, "attempt": self.attempt}
        if self.writes:
            data["writes"] = _writes(self.writes)
        if self.routes is not None:
            data["routes"] = [route_data(route) for route in self.routes]
        if self.text is not None:
            data["text"] = self.text
        return _with_choices(data, self.choices)


class StepRecorded(NamedTuple):
    step: str
    node: str
    name: str
    nth: int
    value: RawJson
    kind: str = "step_recorded"
    usage: Mapping[str, float | None] | None = None
    """What it used up, by name; a run's records sum up."""

    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"step": self.step, "name": self.name, "nth": self.nth, "value": self.value}
        if self.usage is not None:
            data["usage"] = dict(self.usage)
        return data


class StepFailed(NamedTuple):
    step: str
    node: str
    attempt: int
    code: str
    message: str
    error: str
    """Name of the exception's class."""
    trace: str | None = None
    retry_at: float | None = None
    """When the next attempt is due; None: no further one."""

    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"step": self.step, "attempt": self.attempt, "code": self.code}
        data |= {"message": self.message, "error": self.error, "trace": self.trace, "retry_at": self.retry_at}
        return data


class Paused(NamedTuple):
    pause: str
    kind: str
    node: str
    step: str
    """Id of the step that asks, or of the firing that a breakpoint holds."""
    payload: RawJson
    name: str = ""
    nth: int = 0
    expires_at: float | None = None
    """From when on the next resume answers it with ``otherwise``, and nobody else may."""
    otherwise: RawJson | None = None

    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"pause": self.pause, "kind": self.kind, "step": self.step, "payload": self.payload}
        if self.nth:
            data |= {"name": self.name, "nth": self.nth}
        if self.expires_at is not None:
            data |= {"expires_at": self.expires_at, "otherwise": self.otherwise}
        return data


class Answered(NamedTuple):
    pause: str
    node: str
    value: RawJson
    by: str | None = None
    choices: tuple[Choice, ...] = ()

    def data(self) -> dict[str, Any]:
        return _with_choices({"pause": self.pause, "value": self.value, "by": self.by}, self.choices)


class StateEdited(NamedTuple):
    writes: list[Write]
    by: str | None = None
    at_rest: bool = False
    """True: nothing was in flight, so that steps which were ready but had not begun see it too."""

    def data(self) -> dict[str, Any]:
        return {"writes": _writes(self.writes), "by": self.by, "at_rest": self.at_rest}


class Reset(NamedTuple):
    """All that was in flight starts over."""

    reason: str
    """taken_over: its owner died or was relieved; resumed: a failed run goes on; interrupted: its driver was stopped.
    """
    epoch: int
    explicit: bool
    choices: tuple[Choice, ...] = ()
    limit: int | None = None
    """max_node_iterations from here on; None: as before."""

    def data(self) -> dict[str, Any]:
        data: dict[str, Any] = {"reason": self.reason, "epoch": self.epoch, "explicit": self.explicit}
        data["max_node_iterations"] = self.limit
        return _with_choices(data, self.choices)


class RunStopped(NamedTuple):
    """The last fact of a stretch. ``kind`` is run_paused, run_done, run_failed or run_cancelled."""

    kind: str
    code: str | None = None
    node: str | None = None
    attempt: int = 0
    message: str | None = None

    def data(self) -> dict[str, Any]:
        data = {"code": self.code, "attempt": self.attempt, "message": self.message}
        return {key: value for key, value in data.items() if value}


Fact = RunStarted | StepFinished | StepRecorded | StepFailed | Paused | Answered | StateEdited | Reset | RunStopped

_TYPES = {
    RunStarted: "run_started",
    StepFinished: "step_finished",
    StepFailed: "step_failed",
    Paused: "paused",
    Answered: "answered",
    StateEdited: "state_edited",
    Reset: "reset",
}


def type_of(fact: Fact) -> str:
    """Return the entry's type, which is also the event's."""
    if isinstance(fact, StepRecorded | RunStopped):
        return fact.kind
    return _TYPES[type(fact)]


def node_of(fact: Fact) -> str | None:
    return None if isinstance(fact, RunStarted | StateEdited | Reset) else fact.node


def encode(fact: Fact, at: float) -> bytes:
    """Return the body under which a store keeps the fact."""
    if type(fact) is StepFinished:  # the one that happens often
        return _encode_finished(fact, at)
    if type(fact) is RunStopped or (type(fact) is RunStarted and fact.is_plain()):
        return dump_plain_entry(type_of(fact), node_of(fact), fact.data(), at)
    return dump_entry(type_of(fact), node_of(fact), fact.data(), at)


def _encode_finished(fact: StepFinished, at: float) -> bytes:
    step, node, attempt, writes, routes, choices, text = fact
    if writes and routes is None and text is None and not choices:  # most steps
        plain: list[tuple[str, str, Any]] = []
        for field, op, value, raw in writes:
            if raw is not None:
                break
            plain.append((field, op, value))
        else:
            return dump_plain_entry("step_finished", node, {"step": step, "attempt": attempt, "writes": plain}, at)
    return dump_entry("step_finished", node, fact.data(), at)


def to_entry(number: int, fact: Fact, at: float) -> Entry:
    """Return the entry that a reader sees."""
    return Entry(number=number, type=type_of(fact), node=node_of(fact), data=to_plain(fact.data()), at=at)


def read_entry(number: int, body: bytes) -> Entry:
    """Return the stored entry as a reader sees it. Raises ValueError for a body that is none."""
    kind, node, data, at = load_entry(body)
    return Entry(number=number, type=kind, node=node, data=data, at=at)


def decode(entry: Entry, shape: Shape) -> Fact:
    """Return the fact of an entry. Raises KeyError naming a field or key that is missing, ValueError for what does not
    fit.
    """
    data, node = entry.data, entry.node or ""
    match entry.type:
        case "run_started":
            writes = shape.load([name, "set", value] for name, value in data["state"].items())
            fork = data.get("fork_of")
            writes += shape.defaults_beyond(data["state"]) * (fork is None)
            head = (data["graph"], data["plan"], writes, _choices(data), fork, data.get("fork_at", 0))
            origin = [data.get(name) for name in _ORIGIN]
            return RunStarted(*head, data["max_node_iterations"], *origin)
        case "step_finished":
            routes = tuple(map(route_of, data["routes"])) if "routes" in data else None
            writes = shape.load(data.get("writes", ()))
            return StepFinished(data["step"], node, data["attempt"], writes, routes, _choices(data), data.get("text"))
        case "step_failed":
            retry_at, trace = data.get("retry_at"), data.get("trace")
            head = (data["step"], node, data["attempt"], data["code"], data["message"], data["error"])
            return StepFailed(*head, trace, retry_at)
        case "paused":
            head = (data["pause"], data["kind"], node, data["step"], _raw(data["payload"]))
            otherwise = _raw(data["otherwise"]) if "otherwise" in data else None
            return Paused(*head, data.get("name", ""), data.get("nth", 0), data.get("expires_at"), otherwise)
        case "answered":
            return Answered(data["pause"], node, _raw(data["value"]), data.get("by"), _choices(data))
        case "state_edited":
            return StateEdited(shape.load(data["writes"]), data.get("by"), data["at_rest"])
        case "reset":
            return Reset(data["reason"], data["epoch"], data["explicit"], _choices(data), data["max_node_iterations"])
        case "run_paused" | "run_done" | "run_failed" | "run_cancelled":
            head = (entry.type, data.get("code"), entry.node, data.get("attempt", 0))
            return RunStopped(*head, data.get("message"))
        case _:
            if "step" in data and "name" in data:
                head = (data["step"], node, data["name"], data["nth"], _raw(data["value"]))
                return StepRecorded(*head, entry.type, data.get("usage"))
            raise ValueError(f"unknown type of entry {entry.type!r}")


def _writes(writes: list[Write]) -> list[list[Any]]:
    return [[field, op, value if raw is None else raw] for field, op, value, raw in writes]


def _with_choices(data: dict[str, Any], choices: tuple[Choice, ...]) -> dict[str, Any]:
    if choices:
        data["choices"] = [
            [departure, way, [route_data(route) for route in routes]] for departure, way, routes in choices
        ]
    return data


def route_data(route: Route) -> list[Any]:
    return [route.name] if route.item is None else [route.name, route.item]


def route_of(data: list[Any]) -> Route:
    return Route(data[0]) if len(data) == 1 else Route(data[0], _raw(data[1]))


def _choices(data: dict[str, Any]) -> tuple[Choice, ...]:
    return tuple(
        Choice(departure, way, tuple(map(route_of, routes))) for departure, way, routes in data.get("choices", ())
    )


def _raw(value: Any) -> RawJson:
    return RawJson(dump_json(value))
