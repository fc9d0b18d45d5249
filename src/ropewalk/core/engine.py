"""Drives one run on this machine: decide (schedule), write it down (store), say it (feed), then do it (steps).

One turn: what is ready starts; when something has finished, its facts go into the schedule, which decides what they
make ready and where a breakpoint lies; routers choose; all of it is one append; readers are told; then what became
ready starts.

It is one file because it is one object's life: committing and driving share the same few fields, and every promise
about death, cancelling and order is kept between them.
"""

import asyncio
import contextlib
import contextvars
import functools
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

from ropewalk.codec import ANY, RawJson, legible, stored_form
from ropewalk.contracts import RunStore
from ropewalk.core.choosing import ask, routes_by
from ropewalk.core.facts import (
    Answered,
    Choice,
    Fact,
    Paused,
    Reset,
    RunStarted,
    RunStopped,
    StateEdited,
    StepFailed,
    StepFinished,
    StepRecorded,
    encode,
    node_of,
    type_of,
)
from ropewalk.core.feed import Feed, Logged
from ropewalk.core.places import Firing, Step
from ropewalk.core.plan import Router
from ropewalk.core.schedule import DEATHS_ALLOWED, Schedule, pause_id
from ropewalk.core.snapshot import dump_snapshot
from ropewalk.core.state import Shape
from ropewalk.core.step import GONE, GRACE_SECONDS, Asked, Failed, Gone, Outcome, attempt, stop_tasks, trace_of
from ropewalk.errors import RopewalkError, RouterCancelled, RunFinished, RunInterrupted

log = logging.getLogger("ropewalk")

Facts = Sequence[Fact] | Callable[[], Sequence[Fact]]
Folding = Generator[Awaitable[Any], Any, None]
"""Folds facts; yields what has to be awaited on the way and is sent its result."""

KEPT_WITHOUT_STORE = 10_000
"""Entries that a run without a store keeps."""
KEPT_WITH_STORE = 1_024
_SNAPSHOT_BYTES = 256 * 1024
_TURN_SECONDS = 0.005
"""How long nodes that never wait may hold the loop before others get a turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a run is driven."""

    timeout: float | None
    """Seconds the run may be under way, pauses left out."""
    max_concurrency: int | None
    threads: Executor
    verbose: bool = False
    """Log every entry."""
    clock: Callable[[], float] = time.time


class Engine:
    """One run under way in this process; holds all that changes."""

    def __init__(
        self, schedule: Schedule, *, store: RunStore | None, epoch: int, settings: Settings, feed: Feed | None = None
    ) -> None:
        self.schedule = schedule
        self.shape: Shape = schedule.shape
        self.run_id = schedule.run_id
        self.epoch = epoch
        self.feed = feed or Feed(KEPT_WITH_STORE if store else KEPT_WITHOUT_STORE, schedule.number)
        self.cause: BaseException | None = None
        """The exception behind the run's failure, when it happened in this process."""
        self.lost: BaseException | None = None
        """Why this process may not or could not go on: the run was taken, the store failed, the driver was stopped."""
        self._store = store
        self.settings = settings
        self._lock = asyncio.Lock()
        self._flying: dict[str, asyncio.Task[None] | None] = {}
        """Steps in flight; None for the one the driver itself awaits."""
        self._queue: deque[Step] = deque()
        """Steps that the next free worker task takes."""
        self._landed: list[tuple[Step, Outcome]] = []
        self._unwritten = 0
        """Commits of what steps did that still wait for their turn: until then those steps count as in flight."""
        self._delayed: dict[str, asyncio.TimerHandle] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._driver: asyncio.Task[None] | None = None
        self._awaits_step = False
        self._deadline: asyncio.TimerHandle | None = None
        self._stopping: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._turn_started = 0.0
        self._router: asyncio.Future[Any] | None = None
        """The async router that a commit waits for."""
        self.is_ahead = False
        """True while the fold holds what the store may not have: an append is under way or has failed."""
        self._grown = 0
        """Bytes appended since the last snapshot."""
        self._snapshot_at = _SNAPSHOT_BYTES

    # -- for the run's handle -----------------------------------------------------------------------------------------

    @property
    def at_rest(self) -> bool:
        """True while nothing is in flight."""
        return not self._flying and not self._queue and not self._landed

    @property
    def driving(self) -> bool:
        return self._driver is not None and not self._driver.done()

    def set_timeout(self, timeout: float | None) -> None:
        if timeout is not None:
            self.settings = replace(self.settings, timeout=timeout)

    async def rests(self) -> None:
        """Return when the driver is not at work."""
        if self._driver is not None and not self._driver.done():
            await asyncio.wait({self._driver})

    def drive(self) -> "asyncio.Task[None]":
        """Start the driver, if it is not at work already."""
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive(), name=f"ropewalk {self.run_id}")
            self._driver.add_done_callback(lambda _: self.feed.wake())
        self._wake.set()
        return self._driver

    async def commit(self, facts: Facts) -> None:
        """Fold, decide, append and say ``facts``; raises what the store raises, after which this engine is `lost`.

        ``facts`` may be a function: it is asked when no other commit can come between, and may still refuse.
        """
        batch: list[Logged] = []
        folding = self._folding(facts, batch)
        if self._store is None and not self._lock.locked() and self.lost is None and not self._is_over():
            waits = next(folding, None)
            if waits is None:  # no router to await: nothing came between, so there was nothing to lock
                self._say(batch)
                return
        else:
            waits = None
        async with self._lock:
            if self.lost is not None:
                raise self.lost
            if waits is None and (callable(facts) or self._is_over()):
                wanted = facts() if callable(facts) else facts
                allowed = self._allowed(wanted)
                if wanted and not allowed:
                    return
                folding = self._folding(allowed, batch)
            self.is_ahead = self._store is not None
            try:
                await self._fold_through(folding, waits)
                if self._store is not None and batch:
                    await self._append(self._store, batch)
                    if self._grown > self._snapshot_at:
                        await self._snapshot(self._store)
            except BaseException as error:
                self.lose(error)  # the fold is ahead of the log now: only a fresh one, read from the store, may go on
                raise
            self.is_ahead = False
            self._say(batch)

    def _is_over(self) -> bool:
        return self.schedule.status not in ("RUNNING", "IDLE")

    def _allowed(self, facts: Sequence[Fact]) -> list[Fact]:
        """Return the facts that may still follow, now that no other commit can come between.

        What a step did that was in flight when the run ended counts for nothing. Raises `RunFinished`, `TooLate`.
        """
        status = self.schedule.status
        if not self._is_over():
            return list(facts)
        for fact in facts:
            if isinstance(fact, StepRecorded):
                raise TooLate
            if status in ("DONE", "CANCELLED") and isinstance(fact, RunStopped | StateEdited):
                what = "ending it" if isinstance(fact, RunStopped) else "editing its state"
                raise RunFinished(self.run_id, status, what)
        return [fact for fact in facts if not isinstance(fact, StepFinished | StepFailed | Paused)]

    async def settled(self) -> None:
        """Return when nothing is on its way into the log; raise what kept it from getting there."""
        async with self._lock:
            if self.lost is not None:
                raise self.lost

    async def _append(self, store: RunStore, batch: list[Logged]) -> None:
        bodies = [encode(logged.fact, logged.at) for logged in batch]
        last = batch[-1]
        await store.append(
            self.run_id,
            epoch=self.epoch,
            after=batch[0].number - 1,
            bodies=bodies,
            status=self.schedule.status,
            at=last.at,
        )
        self._grown += sum(map(len, bodies))

    async def _snapshot(self, store: RunStore) -> None:
        """Keep the fold; the larger it is, the more must be appended before the next one."""
        body = dump_snapshot(self.schedule)
        self._grown, self._snapshot_at = 0, max(_SNAPSHOT_BYTES, 4 * len(body))
        await store.save_snapshot(self.run_id, epoch=self.epoch, number=self.schedule.number, body=body)

    def _say(self, batch: list[Logged]) -> None:
        if batch:
            self.feed.say(batch)
            if self.settings.verbose:
                for number, _, fact in batch:
                    log.info("run %s: %d %s %s", self.run_id, number, type_of(fact), node_of(fact) or "")

    async def commit_whole(self, facts: Facts) -> None:
        """Commit for a caller who may be cancelled meanwhile: the facts are committed all the same."""
        task = asyncio.create_task(self.commit(facts))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
        await asyncio.shield(task)

    async def admit(self, admit: Callable[[list[bytes], str], Any], facts: Sequence[Fact]) -> None:
        """Commit the first facts by ``admit``, which hands the bodies to the store's `create`."""
        batch: list[Logged] = []
        self.is_ahead = self._store is not None
        try:
            await self._fold_through(self._folding(facts, batch), None)
            if self._store is not None:
                bodies = [encode(logged.fact, logged.at) for logged in batch]
                self.epoch = await admit(bodies, self.schedule.status)
        except BaseException as error:
            self.lose(error)
            raise
        self.is_ahead = False
        self._say(batch)

    async def stop(self, fact: RunStopped) -> None:
        """End the run with ``fact``: first in the log, then in the code that is in flight. Raises `RunFinished`."""
        if self._router is not None:
            self._router.cancel()  # a commit waits for it, and this one for that
        await self.commit_whole([fact])
        await self.abandon()

    async def stop_driving(self) -> None:
        """Cancel the driver and what is in flight, without a word in the log."""
        driver = self._driver
        if driver is not None and not driver.done():
            driver.cancel()
            await asyncio.wait({driver})

    async def abandon(self) -> None:
        """Cancel what is in flight, let it clean up, and wait until nothing of it is left."""
        for handle in self._delayed.values():
            handle.cancel()
        self._delayed.clear()
        tasks = [(step_id, task) for step_id, task in self._flying.items() if task is not None]
        me = asyncio.current_task()
        if self._driver is not None and self._driver is not me and not self._driver.done():
            if self._awaits_step:
                tasks.append((next(iter(self._flying), "?"), self._driver))
            else:
                self._wake.set()
        await stop_tasks([pair for pair in tasks if pair[1] is not me])

    def lose(self, error: BaseException) -> None:
        """Note that this engine may not go on; wakes whoever waits for the run."""
        if self.lost is None:
            self.lost = RunInterrupted(self.run_id) if isinstance(error, asyncio.CancelledError) else error
        self._wake.set()
        self.feed.wake()
        if self._awaits_step and self._driver is not None and self._driver is not asyncio.current_task():
            self._driver.cancel()

    # -- what contexts use --------------------------------------------------------------------------------------------

    async def record(self, step: Step, name: str, nth: int, value: RawJson, kind: str) -> None:
        try:
            if self.schedule.steps.get(step.id) is not step:
                raise TooLate
            await self.commit_whole([StepRecorded(step.id, step.path, name, nth, value, kind)])
        except TooLate:  # the run has ended; the cancellation of this step is on its way
            await asyncio.sleep(GRACE_SECONDS)
            raise asyncio.CancelledError from None

    def emit(self, step: Step, kind: str, data: Any) -> None:
        if step.id in self._flying:
            self.feed.live(step.id, step.path, kind, data)

    async def in_thread(self, node: str, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a plain function where it cannot block the loop; one that goes on though cancelled is reported."""
        call = functools.partial(contextvars.copy_context().run, fn, *args, **kwargs)
        future = self.settings.threads.submit(call)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.done():
                log.warning("node %r goes on in its thread, which cannot be stopped; what it does is discarded", node)
            raise

    # -- deciding -----------------------------------------------------------------------------------------------------

    async def _fold_through(self, folding: "Folding", waits: Awaitable[Any] | None) -> None:
        """Drive `_folding` to its end, awaiting the async routers it meets."""
        try:
            if waits is None:
                waits = next(folding)
            while True:
                self._router = asyncio.ensure_future(waits)
                try:
                    chosen = await self._router
                except asyncio.CancelledError:
                    if not self._router.cancelled():
                        raise
                    waits = folding.throw(RouterCancelled())
                except Exception as error:  # noqa: BLE001  the router's, handed to where its result was wanted
                    waits = folding.throw(error)
                else:
                    waits = folding.send(chosen)
                finally:
                    self._router = None
        except StopIteration:
            return

    def _folding(self, facts: Facts, batch: list[Logged]) -> "Folding":
        """Fold ``facts`` and all that follows from them at once into ``batch``; yields what an async router wants
        awaited.
        """
        schedule = self.schedule
        at = self.settings.clock()
        for fact in facts() if callable(facts) else facts:
            number = schedule.number + 1
            schedule.apply(number, at, fact)
            if schedule.undecided and schedule.failure is None:
                fact, failed = yield from self._choosing(fact)  # noqa: PLW2901  the same fact, with what was chosen
                batch.append(Logged(number, at, fact))
                if failed is not None:
                    self._fold(batch, at, failed)
            else:
                batch.append(Logged(number, at, fact))
        while schedule.unannounced:
            firing = schedule.unannounced[0]
            pause = pause_id(self.run_id, firing.id, "breakpoint", str(firing.held))
            payload = RawJson(b'{"when":"%b"}' % str(firing.held).encode())
            self._fold(batch, at, Paused(pause, "breakpoint", firing.path, firing.id, payload))
        if not self._flying and schedule.status == "RUNNING" and (end := self._verdict()) is not None:
            self._fold(batch, at, end)
        elif (
            batch
            and schedule.failure is not None
            and schedule.status == "FAILED"
            and isinstance(batch[-1].fact, Answered)
        ):
            self._fold(batch, at, schedule.failure)  # the answer is kept, and the last entry still tells how it stands

    def _fold(self, batch: list[Logged], at: float, fact: Fact) -> None:
        number = self.schedule.number + 1
        self.schedule.apply(number, at, fact)
        batch.append(Logged(number, at, fact))

    def _verdict(self) -> RunStopped | None:
        """Say how the stretch ends, now that nothing is in flight; None when something can still start."""
        schedule = self.schedule
        if schedule.is_blocked() and self._queue:
            schedule.ready[:0] = self._queue
            self._queue.clear()
        if self._landed or self._queue or self._unwritten:
            return None
        if schedule.final is not None:
            return RunStopped("run_done")
        if schedule.failure is not None:
            return schedule.failure
        if schedule.held:
            return RunStopped("run_paused")
        if schedule.ready or self._delayed:
            return None
        return RunStopped("run_paused")

    def _choosing(self, fact: Fact) -> "Generator[Awaitable[Any], Any, tuple[Fact, StepFailed | None]]":
        """Ask the routers and map edges of everything that departs; return ``fact`` with the choices."""
        schedule = self.schedule
        choices: list[Choice] = []
        while schedule.undecided:
            departure, departing = next(iter(schedule.undecided.items()))
            if isinstance(departing, Firing):
                plan, path, version = departing.scope.plan, departing.path, departing.out
                ways = plan.ways[departing.place.index]
            else:
                plan, path = departing.plan, f"{departing.path}START"
                version = departing.parent.version if departing.parent else schedule.first
                ways = plan.ways[0]
            assert version is not None
            try:
                for index, way in enumerate(ways):
                    if isinstance(way.exit, Router) and way.exit.choose is None:
                        continue
                    value, view = ask(way, self.shape, version.values)
                    if not isinstance(value, str) and hasattr(value, "__await__"):
                        value = yield value
                    choice = Choice(
                        departure, index, routes_by(way, value, view, shape=self.shape, plan=plan, path=path)
                    )
                    choices.append(choice)
                    schedule.decide(choice)
            except Exception as error:  # noqa: BLE001  part of door one: a router is user code of the step that departs
                self.cause = error
                made = tuple(choice for choice in choices if choice.departure != departure)
                return _with(fact, made), _failed(departure, path, 1, error, None)
        return _with(fact, tuple(choices)), None

    # -- driving ------------------------------------------------------------------------------------------------------

    async def _drive(self) -> None:
        loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._arm(loop)
        self._turn_started = loop.time()
        try:
            while self.schedule.status == "RUNNING" and self.lost is None:
                if not await self._one_turn(loop):
                    break
        except asyncio.CancelledError as error:
            if self.schedule.status == "RUNNING" and self.lost is None:
                self.lose(error)
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
        except BaseException as error:
            self.lose(error)
            if not isinstance(error, RopewalkError):
                log.exception("run %s: the engine stopped", self.run_id)
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
            if self._flying or self._delayed:
                await self.abandon()
                self._flying.clear()
            self._queue.clear()
            self._landed.clear()
            # what was queued or waited for its retry starts at the next go
            self.schedule.ready = self.schedule.pending()
            self.feed.wake()

    async def _one_turn(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Start what is ready and commit what finished; return whether there is anything left to do."""
        schedule = self.schedule
        if self._lock.locked():  # what is being written down has not happened yet: nothing may start on it
            async with self._lock:
                return True
        if not schedule.is_blocked():
            ready = schedule.ready
            if len(ready) == 1 and not self._flying and not self._landed and self._is_calm(ready[0]):
                await self._await_step(ready.pop())
                if loop.time() - self._turn_started > _TURN_SECONDS:
                    await asyncio.sleep(0)
                    self._turn_started = loop.time()
                return True
            if ready:
                self._launch(loop)
        if not self._landed:
            if not self._flying and not self._delayed and not self._queue:
                if schedule.status == "RUNNING":
                    await self.commit([])
                return False
            self._wake.clear()
            await self._wake.wait()
            self._turn_started = loop.time()
        landed, self._landed = self._landed, []
        if landed and self.lost is None and schedule.status == "RUNNING":
            await self._commit_outcomes(landed)
        return True

    def _is_calm(self, step: Step) -> bool:
        """Tell whether nothing else of this run can happen before ``step`` ends."""
        return not self._queue and not self._delayed and not self.schedule.open_pauses and step.retry_at is None

    async def _await_step(self, step: Step) -> None:
        """Run the only step there is without a task of its own."""
        self._flying[step.id] = None
        self.feed.begin(step.id, step.path, step.attempt)
        self._awaits_step = True
        try:
            outcome = await attempt(step, self)
        finally:
            self._awaits_step = False
            self._flying.pop(step.id, None)
        if self.lost is not None or self.schedule.status != "RUNNING":
            return
        if isinstance(outcome, StepFinished):
            text = self.feed.text_of(step.id)
            self._unwritten += 1
            await self.commit(self._now_written((outcome if text is None else outcome._replace(text=text),)))
        else:
            await self._commit_outcomes([(step, outcome)])

    def _launch(self, loop: asyncio.AbstractEventLoop) -> None:
        schedule = self.schedule
        room = len(schedule.ready)
        if self.settings.max_concurrency is not None:
            room = max(0, min(room, self.settings.max_concurrency - len(self._flying) - len(self._queue)))
        starting = schedule.ready[:room]
        del schedule.ready[:room]
        for step in starting:
            if step.retry_at is not None and (wait := step.retry_at - self.settings.clock()) > 0:
                self._delayed[step.id] = loop.call_later(wait, self._due, step)
                continue
            step.retry_at = None
            self._queue.append(step)
        self._staff(loop, 1)

    def _staff(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        """Give the queue ``count`` tasks more; each takes steps until one makes it wait.

        Then, as long as steps are left, there are twice as many: nodes that never wait share one task, nodes that do
        have one each, a few turns of the loop later.
        """
        for _ in range(min(count, len(self._queue))):
            task = loop.create_task(self._work_off(loop))
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)
        if self.schedule.is_blocked() or self.lost is not None:
            self.schedule.ready[:0] = self._queue
            self._queue.clear()
        if self._queue:
            loop.call_soon(self._staff, loop, count * 2)

    async def _work_off(self, loop: asyncio.AbstractEventLoop) -> None:
        me = asyncio.current_task()
        started = loop.time()
        while self._queue and self.lost is None and not self.schedule.is_blocked():
            step = self._queue.popleft()
            self._flying[step.id] = me
            self.feed.begin(step.id, step.path, step.attempt)
            try:
                outcome = await attempt(step, self)
            except asyncio.CancelledError:
                outcome = GONE
            if self._flying.get(step.id) is not me:
                return  # left behind when its stretch ended: what it did since counts for nothing
            del self._flying[step.id]
            self._landed.append((step, outcome))
            self._wake.set()
            if outcome is GONE:
                return
            if loop.time() - started > _TURN_SECONDS:
                await asyncio.sleep(0)
                started = loop.time()

    def _due(self, step: Step) -> None:
        self._delayed.pop(step.id, None)
        step.retry_at = None
        self.schedule.ready.append(step)
        self._wake.set()

    async def _commit_outcomes(self, landed: list[tuple[Step, Outcome]]) -> None:
        facts: list[Fact] = []
        for step, outcome in landed:
            match outcome:
                case StepFinished():
                    text = self.feed.text_of(step.id)
                    facts.append(outcome if text is None else outcome._replace(text=text))
                case Failed():
                    facts.append(self._failure(step, outcome))
                case Asked():
                    facts += self._questions(step, outcome)
                case Gone():
                    self.feed.forget(step.id)
        if facts:
            self._unwritten += 1
            await self.commit(self._now_written(facts))

    def _now_written(self, facts: Sequence[Fact]) -> Callable[[], Sequence[Fact]]:
        def take() -> Sequence[Fact]:
            self._unwritten -= 1
            return facts

        return take

    def _failure(self, step: Step, outcome: Failed) -> StepFailed:
        delay = None if outcome.permanent else step.place.retry.delay(step.spent + 1, f"{self.run_id}/{step.id}")
        if delay is None:
            self.cause = self.cause or outcome.error
        retry_at = None if delay is None else self.settings.clock() + delay
        return _failed(step.id, step.path, step.attempt, outcome.error, retry_at)

    def _questions(self, step: Step, outcome: Asked) -> list[Paused]:
        """Return what the step asks for the first time; a question that was answered meanwhile lets it run again."""
        self.feed.forget(step.id)
        new: list[Paused] = []
        answered = not outcome.questions
        for name, nth, payload, kind in outcome.questions:
            if (name, nth) in step.answers:
                answered = True
            elif (name, nth) not in step.asked:
                pause = pause_id(self.run_id, step.id, name, nth)
                new.append(Paused(pause, kind, step.path, step.id, payload, name, nth))
        if answered:
            self.schedule.ready.append(step)
        elif not new:
            step.status = "waiting"
        return new

    # -- time ---------------------------------------------------------------------------------------------------------

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.settings.timeout is not None:
            left = max(0.0, self.settings.timeout - self.schedule.active_seconds)
            self._deadline = loop.call_later(left, self._overdue)

    def _overdue(self) -> None:
        seconds = self.settings.timeout
        message = f"the run was under way for longer than its execution_timeout of {seconds:g} s (pauses do not count)"
        task = asyncio.create_task(self._end_overdue(RunStopped("run_failed", "run_timeout", message=message)))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _end_overdue(self, fact: RunStopped) -> None:
        if self.schedule.status == "RUNNING" and self.lost is None:
            with contextlib.suppress(RopewalkError):  # commit has noted it in `lost`, where waiters find it
                await self.stop(fact)


class TooLate(Exception):
    """What came to be recorded comes from a step whose run has ended."""


def reset_of(schedule: Schedule, epoch: int, *, reason: str, explicit: bool, limit: int | None = None) -> list[Fact]:
    """Return the facts with which a new owner begins: a reset, and the end of a run whose steps keep killing their
    worker.
    """
    facts: list[Fact] = [Reset(reason, epoch, explicit, limit=limit)]
    if not explicit and reason == "taken_over":
        for step in schedule.pending():
            if step.deaths + 1 >= DEATHS_ALLOWED:
                message = f"the worker died {step.deaths + 1} times while it was in flight; resume() tries again"
                facts.append(RunStopped("run_failed", "poisoned", step.path, step.attempt, message))
                break
    return facts


def answer_of(schedule: Schedule, pause: str, value: Any, by: str | None) -> Answered:
    """Return the answer as a fact. Raises `NotStorable` for a value that is not plain data."""
    fact = schedule.open_pauses[pause].fact
    raw, _ = stored_form(ANY, value, f"The answer to {fact.node!r}")
    return Answered(pause, fact.node, raw, by and legible(by))


def _with(fact: Fact, choices: tuple[Choice, ...]) -> Fact:
    if not choices:
        return fact
    if isinstance(fact, StepFinished):  # the one that happens often
        return StepFinished(*fact[:5], choices, fact.text)
    if isinstance(fact, RunStarted | Answered | Reset):
        return fact._replace(choices=choices)
    raise AssertionError(f"{fact!r} lets nothing depart")


def _failed(step: str, node: str, attempt_: int, error: Exception, retry_at: float | None) -> StepFailed:
    code = error.code if isinstance(error, RopewalkError) else "node_failed"
    message = legible(str(error)) or type(error).__name__
    return StepFailed(step, node, attempt_, code, message, type(error).__name__, legible(trace_of(error)), retry_at)
