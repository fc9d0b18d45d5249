"""What is ready: a pure function of the plan and the log (the rule is in docs/how-a-run-moves.md).

It is one file because it is one rule: each method below is a sentence of that page, and none makes sense without the
rest.

The log's facts go in one by one through `apply`; what has become ready, what must be chosen and where a breakpoint was
hit come out in `ready`, `undecided` and `unannounced`. Nothing here knows a clock, a loop or a store, so any log can be
replayed and any drawing tried with thousands of random orders.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ropewalk.codec import RawJson, legible
from ropewalk.core.facts import (
    Answered,
    Choice,
    Fact,
    Paused,
    Reset,
    Route,
    RunStarted,
    RunStopped,
    StateEdited,
    StepFailed,
    StepFinished,
    StepRecorded,
)
from ropewalk.core.places import Arrival, Firing, PauseState, Scope, Step, put
from ropewalk.core.plan import START, Plan, Router, Way
from ropewalk.core.state import Shape, Values
from ropewalk.core.versions import Version, Versions
from ropewalk.errors import TooManyIterations

DEATHS_ALLOWED = 5
"""How often a step may take its worker down before the run is set aside."""


class Misfit(KeyError):
    """The log tells of something that the plan does not have there."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        super().__init__(name)
        self.what = what
        self.name = name
        self.known = list(known)


class Schedule:
    """The fold of a run's log over its plan."""

    def __init__(self, plan: Plan, shape: Shape, run_id: str, *, max_iterations: int) -> None:
        self.plan = plan
        self.shape = shape
        self.run_id = run_id
        self.max_iterations = max_iterations
        self.versions = Versions(shape)
        self.root = Scope(plan, None, 0, "", "")
        self.number = 0
        """Number of the newest entry."""
        self.status = "IDLE"
        self.steps: dict[str, Step] = {}
        """Every step that has not finished, by id."""
        self.ready: list[Step] = []
        """Steps that have become ready since somebody last emptied the list."""
        self.undecided: dict[str, Firing | Scope] = {}
        """Departures that wait for what a router or a map edge chooses, by the id that `Choice.departure` names."""
        self.unannounced: list[Firing] = []
        """Firings that a breakpoint holds and whose pause is not in the log yet."""
        self.pauses: dict[str, PauseState] = {}
        self.open_pauses: dict[str, PauseState] = {}
        self.usage: dict[str, float | None] = {}
        """What the steps' records have used up, by name; None: it cannot be known."""
        self.held = 0
        """Firings that a breakpoint holds: nothing new starts while there are any."""
        self.failure: RunStopped | None = None
        """Why nothing new starts; the run is FAILED once what is in flight has ended."""
        self.stopped: RunStopped | None = None
        """How the last stretch ended."""
        self.final: Version | None = None
        self.active_seconds = 0.0
        """Time since it was started or resumed after a failure, pauses left out."""
        self.last_at = 0.0
        self.chosen: dict[str, dict[int, tuple[Route, ...]]] = {}
        self._work: list[tuple[Scope, int]] = []

    # -- facts in -----------------------------------------------------------------------------------------------------

    def apply(self, number: int, at: float, fact: Fact) -> None:
        """Take in the entry ``number``. Raises `Misfit` when it tells of what this plan does not have there."""
        if at > self.last_at and self.status == "RUNNING" and not isinstance(fact, Reset):
            self.active_seconds += at - self.last_at
        self.last_at = at
        self.number = number
        _HANDLERS[type(fact)](self, fact)

    def decide(self, choice: Choice) -> None:
        """Take in what a router or map edge of a departing place chose; once all of it is known the place departs."""
        departure, way, routes = choice
        departing = self.undecided.get(departure)
        if departing is None:
            raise Misfit("a router after", departure.rpartition("#")[0] or departure, self.undecided)
        chosen = self.chosen[departure]
        chosen[way] = routes
        if isinstance(departing, Firing):
            if len(chosen) < len(departing.scope.plan.ways[departing.place.index]):
                return
            assert departing.out is not None
            del self.undecided[departure], self.chosen[departure]
            self._depart(departing, departing.out, chosen)
        else:
            if len(chosen) < len(departing.plan.ways[0]):
                return
            del self.undecided[departure], self.chosen[departure]
            version = departing.parent.version if departing.parent else self.first
            self._leave(departing, 0, 1, version, chosen)
        if self._work:
            self._run()

    # -- what it tells ------------------------------------------------------------------------------------------------

    def union(self) -> Values:
        """Return the fold of everything committed: all live versions merged in declared order."""
        if self.final is not None:
            versions = [self.final]
        else:
            versions = list(dict.fromkeys(_live_versions(self.root))) or [self.first]
        versions += self.versions.unseen_edits(versions)
        try:
            return self.versions.values_of(versions)
        except Exception:  # noqa: BLE001  a user's reducer that cannot merge: `failure` tells it; show what there is
            return versions[0].values

    def pending(self) -> list[Step]:
        """Return every step that may run now, oldest first."""
        return [step for step in self.steps.values() if step.status == "ready"]

    def is_blocked(self) -> bool:
        """Tell whether a breakpoint or a failure keeps everything new from starting."""
        return self.held > 0 or self.failure is not None

    # -- one handler a fact -------------------------------------------------------------------------------------------

    def _started(self, fact: RunStarted) -> None:
        self.status = "RUNNING"
        self.max_iterations = fact.limit
        if fact.fork_of is not None:
            self._forked()
            return
        self.first = self.versions.first(fact.writes)
        self._enter(self.root, self.first)
        self._run()
        self._decide_all(fact.choices)

    def _finished(self, fact: StepFinished) -> None:
        step = self.steps.pop(fact.step, None)
        if step is None:
            raise Misfit("the step", fact.step, self.steps)
        firing = step.firing
        if fact.routes is not None:
            firing.routes = put(firing.routes, step.index or 0, fact.routes)
        version, plan, place = firing.version, firing.scope.plan, firing.place.index
        chosen = None
        if firing.items is None:
            if fact.writes:
                version = self.versions.after(version, fact.writes, only=True, values=firing.ahead)
            chosen = _NONE_CHOSEN if plan.straight[place] else _all_chosen(firing, fact.choices)
        else:
            version = self.versions.after(version, fact.writes, only=not firing.is_shared)
        if chosen is not None:
            self._depart(firing, version, chosen)
        else:
            self._instance_finished(firing, step.index or 0, version)
        if self._work:
            self._run()
        for choice in fact.choices:
            if not chosen or choice.departure != firing.id:
                self.decide(choice)

    def _recorded(self, fact: StepRecorded) -> None:
        step = self.steps.get(fact.step)
        if step is None:
            raise Misfit("the step", fact.step, self.steps)
        step.records = put(step.records, (fact.name, fact.nth), fact.value)
        step.deaths = 0
        for name, amount in (fact.usage or {}).items():
            so_far = self.usage.get(name, 0)
            self.usage[name] = None if amount is None or so_far is None else so_far + amount

    def _failed(self, fact: StepFailed) -> None:
        step = self.steps.get(fact.step)
        if step is not None:
            step.failures += 1
            step.spent += 1
            step.retry_at = fact.retry_at
            step.status = "failed" if fact.retry_at is None else "ready"
            if fact.retry_at is not None:
                self.ready.append(step)
        if fact.retry_at is None and self.failure is None:
            bare = fact.code != "node_failed" or fact.message == fact.error  # else a KeyError says nothing but a key
            message = fact.message if bare else f"{fact.error}: {fact.message}"
            self.failure = RunStopped("run_failed", fact.code, fact.node, fact.attempt, message)

    def _paused(self, fact: Paused) -> None:
        if fact.kind == "breakpoint":
            firing = next((firing for firing in self.unannounced if firing.id == fact.step), None)
            if firing is None:
                raise Misfit("the breakpoint at", fact.node, [firing.path for firing in self.unannounced])
            self.unannounced.remove(firing)
            firing.pause = fact.pause
            pause = PauseState(fact, firing, None)
        else:
            step = self.steps.get(fact.step)
            if step is None:
                raise Misfit("the step", fact.step, self.steps)
            step.status = "waiting"
            step.asked = put(step.asked, (fact.name, fact.nth), fact.pause)
            pause = PauseState(fact, None, step)
        self.pauses[fact.pause] = self.open_pauses[fact.pause] = pause

    def _answered(self, fact: Answered) -> None:
        if self.failure is None:  # a failed run takes the answer and stays failed until it is resumed
            self._go_on()
        pause = self.open_pauses.pop(fact.pause, None)
        if pause is None:
            raise Misfit("the pause", fact.pause, self.open_pauses)
        pause.answered_at = self.last_at
        pause.answered_by = fact.by
        if pause.step is not None:
            pause.step.answers = put(pause.step.answers, (pause.fact.name, pause.fact.nth), fact.value)
            if pause.step.status == "waiting":
                pause.step.status = "ready"
                if pause.step not in self.ready:  # it may wait there, held back when another answer came
                    self.ready.append(pause.step)
        elif pause.firing is not None:
            self._release(pause.firing)
        self._decide_all(fact.choices)

    def _edited(self, fact: StateEdited) -> None:
        self.versions.edit(fact.writes)
        if fact.at_rest:
            for step in self.steps.values():
                if step.status != "waiting" and not step.answers:  # a question's node keeps its original input
                    step.firing.version = self.versions.merged([step.firing.version])

    def _reset(self, fact: Reset) -> None:
        cut_off = fact.reason != "resumed" or (self.stopped is not None and self.stopped.code == "run_timeout")
        if fact.limit is not None:
            self.max_iterations = fact.limit
        for step in self.steps.values():
            if cut_off and step.status == "ready":
                step.takeovers += 1
                step.deaths += fact.reason == "taken_over"
            if fact.explicit:
                step.deaths = step.spent = 0
                step.retry_at = None
                if step.status == "failed":
                    step.status = "ready"
        if fact.explicit:
            self.active_seconds = 0.0
            self.failure = None
        self._go_on()
        self._resettle(self.root)
        self._decide_all(fact.choices)
        self.ready = self.pending()

    def _stopped(self, fact: RunStopped) -> None:
        self.stopped = fact
        self.status = _STATUSES[fact.kind]
        if fact.kind == "run_failed":
            self.failure = fact
        for pause in self.open_pauses.values():
            if pause.step is not None and pause.step.status == "ready":
                pause.step.status = "waiting"
        self.ready = [step for step in self.ready if step.status == "ready"]

    def _forked(self) -> None:
        """Begin another life at this entry: what was asked is asked again, what failed or was cancelled goes on."""
        self.failure = self.stopped = None
        self.active_seconds = 0.0
        for pause in self.open_pauses.values():
            if pause.firing is not None:
                pause.firing.pause = None
                self.unannounced.append(pause.firing)
        self.open_pauses.clear()
        self.pauses.clear()
        for step in self.steps.values():
            step.status = "ready"
            step.retry_at = None
            step.failures = step.spent = step.takeovers = step.deaths = 0
            step.asked = {key: pause for key, pause in step.asked.items() if key in step.answers}
        self._resettle(self.root)
        self.ready = self.pending()

    def _go_on(self) -> None:
        self.status = "RUNNING"
        self.stopped = None

    def _decide_all(self, choices: tuple[Choice, ...]) -> None:
        for choice in choices:
            self.decide(choice)

    # -- tokens -------------------------------------------------------------------------------------------------------

    def _enter(self, scope: Scope, version: Version) -> None:
        """Give START's tokens to a fresh scope."""
        if scope.plan.ways[0]:
            departure = f"{scope.prefix}{START}"
            self.undecided[departure] = scope
            self.chosen[departure] = {}
        else:
            self._leave(scope, 0, 1, version, _NONE_CHOSEN)

    def _leave(
        self, scope: Scope, place: int, number: int, version: Version, chosen: dict[int, tuple[Route, ...]]
    ) -> None:
        """Give a token to every target of ``place``; none at all ends the branch."""
        plan = scope.plan
        gone = False
        for arrow in plan.places[place].arrows:
            self._arrive(scope, arrow.target, Arrival(arrow.edge, number, version, None))
            gone = True
        for index, way in enumerate(plan.ways[place]):
            for target, items in _grouped(way, chosen.get(index, ())):
                self._arrive(scope, target, Arrival(way.edge, number, version, items))
                gone = True
        if not gone:
            self._arrive(scope, len(plan.places) - 1, Arrival(_LAST_EDGE + place, number, version, None))
        self._work.append((scope, place))

    def _arrive(self, scope: Scope, place: int, arrival: Arrival) -> None:
        arrival.version.refs += 1
        if place == len(scope.plan.places) - 1:
            scope.ended.append(arrival)
            return
        waiting = scope.waiting.get(place)
        if waiting is None:
            scope.waiting[place] = [arrival]
            scope.waiting_bits |= 1 << place
        else:
            waiting.append(arrival)

    def _run(self) -> None:
        """Start what nothing live can reach any more, until nothing moves."""
        work = self._work
        while work:
            scope, left = work.pop()
            waiting = scope.waiting
            if len(waiting) == 1 and not scope.active:
                self._fire(scope, next(iter(waiting)))
            elif waiting:
                candidates = scope.waiting_bits & scope.plan.after[left]
                while candidates:
                    lowest = candidates & -candidates
                    candidates ^= lowest
                    place = lowest.bit_length() - 1
                    if _can_start(scope, place):
                        self._fire(scope, place)
            if not scope.active and not scope.waiting and scope.ended and not any(item[0] is scope for item in work):
                self._scope_finished(scope)

    def _resettle(self, scope: Scope) -> None:
        for place in sorted(scope.waiting):
            if place in scope.waiting and _can_start(scope, place):
                self._fire(scope, place)
        for firing in list(scope.active.values()):
            for inner in list(firing.scopes.values()):
                self._resettle(inner)
            if firing.items and not firing.remaining and firing.out is None and not firing.held:
                self._merge_group(firing)
        if not scope.active and not scope.waiting and scope.ended:
            self._scope_finished(scope)
        self._run()

    def _fire(self, scope: Scope, index: int) -> None:
        """Start a place with everything that waits there."""
        arrivals = scope.waiting[index]
        items: tuple[RawJson | None, ...] | None = None
        if len(arrivals) == 1:
            version, items = arrivals[0].version, arrivals[0].items
        else:
            arrivals.sort(key=_order)
            merged = self._merged([arrival.version for arrival in arrivals], scope.path + scope.plan.places[index].node)
            if merged is None:
                return
            version = merged
            if any(arrival.items is not None for arrival in arrivals):
                items = tuple(
                    item for arrival in arrivals for item in (_ONE if arrival.items is None else arrival.items)
                )
        del scope.waiting[index]
        scope.waiting_bits ^= 1 << index
        if not self._begin(scope, index, version, items):
            scope.waiting[index] = arrivals
            scope.waiting_bits |= 1 << index

    def _begin(self, scope: Scope, index: int, version: Version, items: tuple[RawJson | None, ...] | None) -> bool:
        """Start a place, unless it has run as often as it may."""
        number = scope.counts.get(index, 0) + 1
        place = scope.plan.places[index]
        if number > self.max_iterations:
            if self.failure is None:
                error = TooManyIterations(scope.path + place.node, self.max_iterations)
                self.failure = RunStopped("run_failed", error.code, error.node, 0, str(error))
            return False
        scope.counts[index] = number
        if version.edits != len(self.versions.edits):
            version = self.versions.merged([version])
        if (version.parents or version.writes) and not scope.active and not scope.waiting and _is_alone(scope):
            self.versions.cut(version)
        firing = Firing(place, scope, number, version)
        scope.active[index] = firing
        scope.active_bits |= scope.plan.bits[index]
        firing.items = items if place.fan is None or place.fan == "map" else place.repeats
        if place.interrupt == "before":
            self._hold(firing, "before")
        elif items is None and place.fan is None and place.plan is None:  # most places
            firing.remaining = 1
            step = self.steps[firing.id] = Step(firing, firing.id, None, None)
            self.ready.append(step)
        else:
            self._open(firing)
        return True

    def _open(self, firing: Firing) -> None:
        if firing.items is None:
            firing.remaining = 1
            self._open_instance(firing, 0)
            return
        count = len(firing.items)
        results: list[Version | None] = [None] * count
        firing.results = results
        firing.remaining = count
        if count == 0:
            self._close(firing, firing.version)
            return
        for index in range(1 if firing.place.fan == "sequence" else count):
            self._open_instance(firing, index)

    def _open_instance(self, firing: Firing, index: int) -> None:
        if firing.place.plan is not None:
            self._enter(firing.open_scope(firing.place.plan, index), firing.version)
            return
        if firing.items is None:
            step = Step(firing, firing.id, None, None)
        else:
            step = Step(firing, f"{firing.id}[{index}]", index, firing.items[index])
        self.steps[step.id] = step
        self.ready.append(step)

    def _instance_finished(self, firing: Firing, index: int, version: Version) -> None:
        if firing.items is None:
            firing.remaining = 0
            firing.close_scope(index)
            self._close(firing, version)
            return
        assert isinstance(firing.results, list)
        firing.results[index] = version
        firing.close_scope(index)
        firing.remaining -= 1
        if firing.place.fan == "sequence":
            firing.version = version
            if firing.remaining:
                firing.results[index] = None
                if version.edits != len(self.versions.edits):
                    firing.version = self.versions.merged([version])
                self._open_instance(firing, index + 1)
                return
            self._close(firing, version)
        elif not firing.remaining:
            self._merge_group(firing)

    def _merge_group(self, firing: Firing) -> None:
        version = self._merged([result for result in firing.results if result is not None], firing.path)
        if version is not None:
            firing.version.refs -= 1
            self._close(firing, version)

    def _merged(self, versions: list[Version], path: str) -> Version | None:
        """Merge what comes together at ``path``; None, and the run fails, when a user's reducer cannot."""
        try:
            return self.versions.merged(versions)
        except Exception as error:  # noqa: BLE001  a reducer is user code; it is asked again when the run is resumed
            if self.failure is None:
                message = f"the branches cannot be merged: {type(error).__name__}: {legible(str(error))}"
                self.failure = RunStopped("run_failed", "merge_failed", path, 0, message)
            return None

    def _close(self, firing: Firing, version: Version) -> None:
        firing.out = version
        if firing.place.interrupt == "after":
            self._hold(firing, "after")
        else:
            self._part(firing)

    def _part(self, firing: Firing) -> None:
        """Let a finished firing go on, at once or when its routers have chosen."""
        assert firing.out is not None
        ways = firing.scope.plan.ways[firing.place.index]
        if not ways:
            self._depart(firing, firing.out, _NONE_CHOSEN)
            return
        chosen: dict[int, tuple[Route, ...]] = {}
        for index, way in enumerate(ways):
            if isinstance(way.exit, Router) and way.exit.choose is None:
                returned = (firing.routes[instance] for instance in sorted(firing.routes))
                chosen[index] = tuple(dict.fromkeys(route for routes in returned for route in routes))
        if len(chosen) == len(ways):
            self._depart(firing, firing.out, chosen)
            return
        self.chosen[firing.id] = chosen
        self.undecided[firing.id] = firing

    def _depart(self, firing: Firing, version: Version, chosen: dict[int, tuple[Route, ...]]) -> None:
        scope, index = firing.scope, firing.place.index
        del scope.active[index]
        scope.active_bits ^= scope.plan.bits[index]
        if not scope.active and not scope.waiting and not scope.ended:  # the only token: it may go straight on
            target = scope.plan.sole[index] if not chosen else _sole_target(scope.plan, index, chosen)
            if 0 < target < len(scope.plan.places) - 1 and self._begin(scope, target, version, None):
                return
            if target < 0 and not chosen and (targets := scope.plan.forks[index]):
                if version.edits != len(self.versions.edits):  # once: all of them must descend from the same version
                    version = self.versions.merged([version])
                for edge, target in zip(scope.plan.places[index].arrows, targets, strict=True):
                    version.refs += 1
                    if not self._begin(scope, target, version, None):
                        self._arrive(scope, target, Arrival(edge.edge, firing.number, version, None))
                version.refs -= 1
                return
        join = scope.plan.sole[index]
        if join > 0 and scope.waiting_bits == scope.plan.bits[join] and scope.active_bits & scope.plan.before[join]:
            edge = scope.plan.places[index].arrows[0].edge  # nothing else waits, and the join has to wait for more
            scope.waiting[join].append(Arrival(edge, firing.number, version, None))
            return
        self._leave(scope, index, firing.number, version, chosen)
        version.refs -= 1

    def _scope_finished(self, scope: Scope) -> None:
        scope.ended.sort(key=_order)
        path = scope.path.rstrip("/") or "END"
        version = self._merged([arrival.version for arrival in scope.ended], path)
        if version is None:
            return
        scope.ended = []
        if scope.parent is None:
            self.final = version
        else:
            firing = scope.parent
            if not firing.is_shared:
                firing.version.refs -= 1
            self._instance_finished(firing, scope.index, version)

    # -- breakpoints --------------------------------------------------------------------------------------------------

    def _hold(self, firing: Firing, when: str) -> None:
        firing.held = when
        self.held += 1
        self.unannounced.append(firing)

    def _release(self, firing: Firing) -> None:
        when, firing.held, firing.pause = firing.held, None, None
        self.held -= 1
        if when == "before":
            if firing.version.edits != len(self.versions.edits):
                firing.version = self.versions.merged([firing.version])
            self._open(firing)
        else:
            assert firing.out is not None
            if firing.out.edits != len(self.versions.edits):
                firing.out = self.versions.merged([firing.out])
            self._part(firing)
        self._run()


def pause_id(run_id: str, step: str, name: str, nth: int | str) -> str:
    """Return the id of a pause: the same for the same question of the same run, different in a fork."""
    return "p_" + hashlib.sha256(f"{run_id}\0{step}\0{name}\0{nth}".encode()).hexdigest()[:16]


_NONE_CHOSEN: dict[int, tuple[Route, ...]] = {}
_LAST_EDGE = 1 << 60
_ONE: tuple[RawJson | None, ...] = (None,)
_STATUSES = {"run_paused": "PAUSED", "run_done": "DONE", "run_failed": "FAILED", "run_cancelled": "CANCELLED"}
_HANDLERS: dict[type, Callable[[Schedule, Any], None]] = {
    RunStarted: Schedule._started,  # pyright: ignore[reportPrivateUsage] a table of this class's own methods
    StepFinished: Schedule._finished,  # pyright: ignore[reportPrivateUsage]
    StepRecorded: Schedule._recorded,  # pyright: ignore[reportPrivateUsage]
    StepFailed: Schedule._failed,  # pyright: ignore[reportPrivateUsage]
    Paused: Schedule._paused,  # pyright: ignore[reportPrivateUsage]
    Answered: Schedule._answered,  # pyright: ignore[reportPrivateUsage]
    StateEdited: Schedule._edited,  # pyright: ignore[reportPrivateUsage]
    Reset: Schedule._reset,  # pyright: ignore[reportPrivateUsage]
    RunStopped: Schedule._stopped,  # pyright: ignore[reportPrivateUsage]
}


def _all_chosen(firing: Firing, choices: tuple[Choice, ...]) -> dict[int, tuple[Route, ...]] | None:
    """Return what was chosen behind a firing while its step was in flight; None unless that is all there is."""
    plan, place = firing.scope.plan, firing.place.index
    if not choices or plan.choosing[place] == "no":
        return None
    chosen = {way: routes for departure, way, routes in choices if departure == firing.id}
    return chosen if len(chosen) == len(plan.ways[place]) else None


def _order(arrival: Arrival) -> tuple[int, int]:
    return arrival.edge, arrival.source


def _can_start(scope: Scope, place: int) -> bool:
    before = scope.plan.before[place]
    if scope.active_bits & before:
        return False
    others = scope.waiting_bits & before & ~(1 << place)
    if not others:
        return True
    mutual = others & scope.plan.after[place]
    return mutual == others and not mutual & ((1 << place) - 1)


def _is_alone(scope: Scope) -> bool:
    """Tell whether the token about to leave this scope's waiting list is the only one of the whole run."""
    while not scope.ended:
        parent = scope.parent
        if parent is None:
            return True
        scope = parent.scope
        if len(scope.active) != 1 or scope.waiting or len(parent.results) > 1:
            return False
    return False


def _sole_target(plan: Plan, place: int, chosen: dict[int, tuple[Route, ...]]) -> int:
    """Return the one target of a place that has a single way and chose one node without an item; else -1."""
    ways = plan.ways[place]
    if len(ways) != 1 or plan.places[place].arrows:
        return -1
    routes = chosen[0]
    return ways[0].routes.get(routes[0].name, -1) if len(routes) == 1 and routes[0].item is None else -1


def _grouped(way: Way, routes: tuple[Route, ...]) -> Iterable[tuple[int, tuple[RawJson | None, ...] | None]]:
    """Return what goes to each target: the items sent to it, or None where it was chosen without one."""
    if way.target >= 0:
        return [(way.target, tuple(route.item for route in routes))]
    sent: dict[int, list[RawJson | None]] = {}
    for name, item in routes:
        target = way.routes.get(name)
        if target is None:
            raise Misfit("the route", name, way.routes)
        sent.setdefault(target, []).append(item)
    return [(target, tuple(items) if any(items) else None) for target, items in sent.items()]


def _live_versions(scope: Scope) -> Iterator[Version]:
    for index in sorted({*scope.waiting, *scope.active}):
        if index in scope.active:
            firing = scope.active[index]
            if firing.out is not None:
                yield firing.out
                continue
            inner: list[Version] = []
            for instance in sorted({*range(len(firing.results)), *firing.scopes}):
                result = firing.results[instance] if instance < len(firing.results) else None
                if result is not None:
                    inner.append(result)
                elif instance in firing.scopes:
                    inner += _live_versions(firing.scopes[instance])
            if firing.place.plan is None or not inner:  # what is live inside a subgraph descends from it
                yield firing.version
            yield from inner
        for arrival in sorted(scope.waiting.get(index, ()), key=_order):
            yield arrival.version
    for arrival in sorted(scope.ended, key=_order):
        yield arrival.version
