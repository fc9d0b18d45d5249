"""A small world in which runs live: processes that die, a store that fails, nodes that fail and ask, people who answer.

1. `World` outlives its processes: it holds the store, the clock's reading, and what was seen in the world outside.
2. A `Process` is one loop's user of the store; its writes are delayed, lost, unacknowledged, or its death, as the
seed says.
3. Nodes are played as drawn, between what `Troubles` adds; whatever breaks a promise is noted in `World.wrongs`.
"""

import asyncio
import copy
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.properties import drawings
from tests.properties.drawings import Drawing, Node, Routed, State
from tests.properties.graphs import built
from tests.properties.reference import Reference
from tests.properties.virtual import VirtualLoop, on

from ropewalk import Context, Entry, Graph, Retry, Token
from ropewalk.contracts import RunStore
from ropewalk.core.facts import read_entry
from ropewalk.errors import StoreUnavailable
from ropewalk.stores.memory import MemoryRunStore


class Flaky(Exception):
    """What a node raises when its script says so."""


@dataclass(frozen=True, kw_only=True)
class Troubles:
    """How much of what goes wrong."""

    deaths: int = 0
    faults: int = 0
    failing: float = 0.0
    asking: float = 0.0
    breakpoints: float = 0.0
    recording: float = 0.3
    timeouts: float = 0.0


@dataclass
class Execution:
    """One call of a node's function."""

    log: int
    """How many entries the log had."""
    attempt: int
    user: str
    at: float
    abreast: bool
    """Whether it was begun on the log as it is: not in a process that had lost the run, nor a while ago in a thread."""


@dataclass
class World:
    drawing: Drawing
    seed: int
    troubles: Troubles
    expected: Reference
    settings: dict[str, Any] = field(default_factory=dict)
    inner: MemoryRunStore = field(default_factory=MemoryRunStore)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.now = 0.0
        self.wrongs: list[str] = []
        self.deaths_left, self.faults_left = self.troubles.deaths, self.troubles.faults
        self.executions: dict[tuple[str, str], list[Execution]] = defaultdict(list)
        self.running: dict[int, tuple[str, str, str]] = {}
        self.failures: Counter[tuple[str, str, int]] = Counter()
        self.effects: Counter[tuple[str, str, str, int]] = Counter()
        self.results: dict[tuple[str, str, str, int], set[int]] = defaultdict(set)
        self.committed_at: dict[str, list[float]] = defaultdict(list)
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        self.count = 0
        self.owner = ""
        """Who claimed last: anybody else may be wrong about what is committed."""

    # -- what can be seen from outside --------------------------------------------------------------------------------

    def entries(self, run_id: str = "r") -> list[Entry]:
        """Return the log as the store has it now."""
        known = self._entries[run_id]
        kept = self.inner._runs.get(run_id)
        for number, body in enumerate(kept.entries[len(known) :] if kept else (), len(known) + 1):
            known.append(read_entry(number, body))
        self.committed_at[run_id] += [self.now] * (len(known) - len(self.committed_at[run_id]))
        return known

    def wrong(self, what: str) -> None:
        self.wrongs.append(what)

    # -- what nodes do ------------------------------------------------------------------------------------------------

    def script(self, path: str, node: Node) -> list[str]:
        """Return what a node does before it does what is drawn."""
        dice = random.Random(f"{self.seed}{path}")
        acts: list[str] = []
        for _ in range(3):
            acts += ["sleep"] * (dice.random() < 0.4)
            acts += ["say"] * (dice.random() < 0.2)
            acts += ["record"] * (dice.random() < self.troubles.recording)
            acts += [dice.choice(("fail", "fail", "other"))] * (dice.random() < self.troubles.failing)
            acts += ["hang"] * (dice.random() < self.troubles.timeouts)
            if not node.ways:
                acts += [dice.choice(("ask", "ask", "ask both"))] * (dice.random() < self.troubles.asking)
        return ["fail"] * ("fail" in acts) if node.sync else acts

    def options(self, path: str, node: Node) -> Mapping[str, Any]:
        dice = random.Random(f"{self.seed}{path}options")
        extra: dict[str, Any] = {}
        if dice.random() < self.troubles.breakpoints:
            extra["interrupt"] = dice.choice(("before", "after"))
        if node.sub is None:
            if dice.random() < 0.7:
                extra["retry"] = Retry(
                    dice.randint(1, 4), backoff=dice.choice((0.0, 1.0, 30.0)), on=(Flaky, TimeoutError)
                )
            if "hang" in self.script(path, node):
                extra["timeout"] = 500.0
        return extra

    async def effect(self, key: tuple[str, str, str, int]) -> int:
        """Do something in the world outside, once more; its result is never the same twice."""
        self.effects[key] += 1
        if self.dice.random() < 0.5:
            await asyncio.sleep(self.dice.random() * 3)
        self.count += 1
        return self.count


class Process(RunStore):  # pyright: ignore  [the reads are passed on by __getattr__]
    """The store as one process sees it, and the nodes as one graph object plays them."""

    def __init__(self, world: World, loop: VirtualLoop, user: str = "") -> None:
        self.world = world
        self.loop = loop
        self.user = user

    def graph(self) -> Graph[State]:
        settings = {"execution_timeout": None, **self.world.settings}
        graph = built(self.world.drawing, self, self.world.options, store=self, kind=on(self.loop), **settings)
        return graph.compile()

    # -- the store ----------------------------------------------------------------------------------------------------

    async def create(self, run: Any, bodies: Any) -> int:
        return await self._write("create", lambda: self.world.inner.create(run, bodies))

    async def append(self, run_id: str, **given: Any) -> None:
        await self._write("append", lambda: self.world.inner.append(run_id, **given))

    async def claim(self, run_id: str) -> Any:
        return await self._write("claim", lambda: self.world.inner.claim(run_id))

    async def save_snapshot(self, run_id: str, **given: Any) -> None:
        await self._write("save_snapshot", lambda: self.world.inner.save_snapshot(run_id, **given))

    async def look(self, run_id: str) -> Any:
        return await self.world.inner.look(run_id)

    async def read(self, run_id: str, **given: Any) -> Any:
        return await self.world.inner.read(run_id, **given)

    async def snapshot(self, run_id: str, **given: Any) -> Any:
        return await self.world.inner.snapshot(run_id, **given)

    async def _write(self, call: str, write: Callable[[], Awaitable[Any]]) -> Any:
        world = self.world
        fate = self._fate()
        await self._travel()
        if fate == "die before":
            await self.die()
        if fate == "fail before":
            raise StoreUnavailable(f"{call} failed before anything was written")
        result = await write()
        if call in ("create", "claim"):
            world.owner = self.user
        world.now = self.loop.now
        for run_id in list(world.inner._runs):
            world.entries(run_id)
        await self._travel()
        if fate == "die after":
            await self.die()
        if fate == "fail after":
            raise StoreUnavailable(f"{call} failed after everything was written")
        return result

    async def _travel(self) -> None:
        if self.world.dice.random() < 0.3:
            await asyncio.sleep(self.world.dice.choice((0.0, 0.01, 5.0)))
        if self.loop.dead:
            await self.loop.create_future()

    async def die(self) -> None:
        self.loop.kill()
        await self.loop.create_future()

    def _fate(self) -> str:
        world = self.world
        roll = world.dice.random()
        if world.deaths_left and roll < 0.15:
            world.deaths_left -= 1
            return world.dice.choice(("die before", "die after"))
        if world.faults_left and roll > 0.85:
            world.faults_left -= 1
            return world.dice.choice(("fail before", "fail after"))
        return "none"

    # -- the nodes ----------------------------------------------------------------------------------------------------

    async def choose(self, edge: Routed, state: State) -> Any:
        if self.world.dice.random() < 0.5:
            await asyncio.sleep(self.world.dice.random() * 4)
        return drawings.route(edge, state)

    async def play(self, drawing: Drawing, node: Node, state: State, ctx: Context) -> Any:
        world, (run_id, _, step) = self.world, ctx.idempotency_key.partition("/")
        token = self._begin(run_id, step, state, ctx)
        asked: Counter[str] = Counter()
        try:
            for place, act in enumerate(world.script(ctx.node, node)):
                if act == "sleep":
                    await asyncio.sleep(world.dice.choice((0.0, 1.0, 20.0)))
                elif act == "say":
                    ctx.emit(Token(f"{step}{place} "))
                    ctx.emit({"place": place})
                elif act == "record":
                    await self._record(run_id, step, place, ctx)
                elif act in ("ask", "ask both"):
                    await self._ask(step, place, act, ctx, asked)
                else:
                    await self._fail(run_id, step, place, act)
            returned = drawings.behave(drawing, node, step, ctx.item, state)
            if asked and isinstance(returned, dict):
                returned["answers"] = dict(asked)
            return returned
        except asyncio.CancelledError:
            try:
                await asyncio.sleep(1)  # cleaning up takes time, and whoever cancels waits for it
            except asyncio.CancelledError:
                world.wrong(f"promise 11: the cleanup of {step} is cut off")
            raise
        finally:
            world.running.pop(token, None)

    def play_now(self, drawing: Drawing, node: Node, state: State, ctx: Context) -> Any:
        run_id, _, step = ctx.idempotency_key.partition("/")
        token = self._begin(run_id, step, state, ctx, in_thread=True)
        try:
            for place, act in enumerate(self.world.script(ctx.node, node)):
                if act == "fail":
                    self._count_failure(run_id, step, place)
            return drawings.behave(drawing, node, step, ctx.item, state)
        finally:
            self.world.running.pop(token, None)

    def _begin(self, run_id: str, step: str, state: State, ctx: Context, *, in_thread: bool = False) -> int:
        """Note that a node's function was called, and whether it may be called now and with this."""
        world, log = self.world, self.world.entries(run_id)
        world.count += 1
        if self.loop.dead:
            return world.count
        world.running[world.count] = (self.user, run_id, step)
        abreast = self.user == world.owner and not in_thread
        execution = Execution(len(log), ctx.attempt, self.user, self.loop.now, abreast)
        called = world.executions[run_id, step]
        earlier = [one for one in called if one.user == self.user]
        at_most = world.settings.get("max_concurrency")
        others = [one for one in world.running.values() if one[:2] == (self.user, run_id)]
        if at_most is not None and len(others) > at_most:
            world.wrong(f"{others} run at once, and max_concurrency is {at_most}")
        rules = self.user == world.owner
        if rules and any(entry.type == "step_finished" and entry.data["step"] == step for entry in log):
            world.wrong(f"promise 3: {step} runs again though its entry is committed")
        if ctx.idempotency_key != f"{run_id}/{step}" or ctx.run_id != run_id:
            world.wrong(f"promise 4: {step} has the key {ctx.idempotency_key}")
        seen = world.expected.steps.get(step)
        if seen is None:
            world.wrong(f"promise 7: {step} must not run")
        else:
            shown = {name: getattr(state, name) for name in drawings.FIELDS if name not in drawings.UNSEEN}
            due = {name: seen.state[name] for name in shown}
            if shown != due:
                parts = {name: (shown[name], due[name]) for name in shown if shown[name] != due[name]}
                world.wrong(f"promise 6: {step} was shown {parts} (shown, due)")
            if (ctx.node, ctx.item, ctx.index) != (seen.path, seen.item, seen.index):
                world.wrong(f"{step} was told {ctx.node}, {ctx.item}, {ctx.index}")
            edits = sum(entry.type == "state_edited" for entry in log)
            before = [e.number for e in log if e.type == "step_finished" and e.data["step"] in seen.past]
            least = sum(entry.type == "state_edited" for entry in log[: max(before, default=0)])
            if not least <= state.edits <= edits:
                world.wrong(f"{step} was shown {state.edits} edits of {edits}; its past alone had {least}")
        self._judge_attempt(run_id, step, execution, earlier, log)
        stopped = None if in_thread or not rules else self._stopped(run_id, log)  # a thread may have been asked before
        if stopped is not None:
            world.wrong(f"{step} started at {self.loop.now:g} though {stopped}")
        called.append(execution)
        return world.count

    def _judge_attempt(
        self, run_id: str, step: str, now: Execution, earlier: list[Execution], log: list[Entry]
    ) -> None:
        begun = max((entry.number for entry in log if entry.type == "run_started"), default=0)
        since = log[earlier[-1].log :] if earlier else log[begun:]
        failures = sum(entry.type == "step_failed" and entry.data["step"] == step for entry in since)
        since = since if not earlier or earlier[-1].abreast else log[begun:]
        takeovers = sum(
            (entry.type == "reset" and entry.data["reason"] != "resumed")
            or (entry.type == "run_failed" and entry.data.get("code") == "run_timeout")
            for entry in since
        )
        before = earlier[-1].attempt if earlier else 1
        if self.user != self.world.owner:
            return
        if not before + failures <= now.attempt <= before + failures + takeovers:
            self.world.wrong(
                f"promise 4: {step} has attempt {now.attempt}; before {before}, failures {failures}, "
                f"takeovers {takeovers} since"
            )
        answers = sum(entry.type == "answered" for entry in since)
        if earlier and not failures + takeovers + answers:
            self.world.wrong(f"promise 4: {step} is called again at {now.at:g} without failure, takeover or answer")

    def _stopped(self, run_id: str, log: list[Entry]) -> str | None:
        """Say why nothing may start, if that was known before now."""
        failed: Entry | None = None
        held: dict[str, Entry] = {}
        for entry in log:
            if (entry.type == "step_failed" and entry.data["retry_at"] is None) or entry.type in (
                "run_failed",
                "run_cancelled",
                "run_done",
            ):
                failed = failed or entry
            elif (entry.type == "reset" and entry.data["explicit"]) or entry.data.get("fork_of"):
                failed = None
                held = {} if entry.data.get("fork_of") else held
            elif entry.type == "paused" and entry.data["kind"] == "breakpoint":
                held[entry.data["pause"]] = entry
            elif entry.type == "answered":
                held.pop(entry.data["pause"], None)
        for reason in (failed, *held.values()):
            if reason is not None and self.world.committed_at[run_id][reason.number - 1] < self.loop.now:
                return f"entry {reason.number} is {reason.type}: {reason.data}"
        return None

    async def _record(self, run_id: str, step: str, place: int, ctx: Context) -> None:
        both = place % 2
        calls = [self._recorded(run_id, step, f"s{number}", ctx) for number in range(1 + both)]
        await asyncio.gather(*calls)

    async def _recorded(self, run_id: str, step: str, name: str, ctx: Context) -> None:
        nth = ctx._calls.get(name, 0) + 1
        key = (run_id, step, name, nth)
        result = await ctx.step(name, self.world.effect, key)
        self.world.results[key].add(result)
        if len(self.world.results[key]) > 1:
            self.world.wrong(f"promise 4: ctx.step{key} gave {self.world.results[key]}")

    async def _ask(self, step: str, place: int, act: str, ctx: Context, asked: Counter[str]) -> None:
        async def one(name: str) -> None:
            payload = {"step": step, "place": place, "name": name}
            answer = await ctx.ask(payload, name=name)
            if answer != answer_to(payload):
                self.world.wrong(f"promise 9: {payload} was answered {answer}")
            asked[f"{step} {name} {place}"] += 1

        if act == "ask":
            await one("ask")
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(one("left"))
            group.create_task(one("right"))

    async def _fail(self, run_id: str, step: str, place: int, act: str) -> None:
        if act == "hang":
            self.world.failures[run_id, step, place] += 1
            if self.world.failures[run_id, step, place] <= 1:
                await asyncio.sleep(10_000)
            return
        self._count_failure(run_id, step, place, LookupError if act == "other" else Flaky)

    def _count_failure(self, run_id: str, step: str, place: int, kind: type[Exception] = Flaky) -> None:
        times = self.world.failures[run_id, step, place] = self.world.failures[run_id, step, place] + 1
        if times <= random.Random(f"{self.world.seed}{step}{place}").randint(1, 3):
            raise kind(f"{step} fails for the {times}. time")


def answer_to(payload: Any) -> Any:
    return f"yes, {payload['step']} {payload['place']}"


def plain(state: State) -> dict[str, Any]:
    return copy.deepcopy({name: getattr(state, name) for name in drawings.FIELDS})
