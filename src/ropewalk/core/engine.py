"""Drives one run on this machine: starts what is ready, commits what has finished, and starts what that made ready.

One turn: what is ready starts; when something has finished, its outcome is one commit (`core/ledger.py`), which tells
what became ready. A step that is the only one there is runs in the driver's own task; others share worker tasks.

It is one file because what is started, what has landed and what is stopped are told by the same few fields.
"""

import asyncio
import contextlib
import contextvars
import functools
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from ropewalk.contracts import RunStore
from ropewalk.core.drive import Settings
from ropewalk.core.facts import Fact, Paused, RunStopped, StateEdited, StepFailed, StepFinished, StepRecorded
from ropewalk.core.feed import Feed
from ropewalk.core.folding import failure_of
from ropewalk.core.ledger import Ledger, TooLate
from ropewalk.core.places import Step
from ropewalk.core.raised import called_in_thread
from ropewalk.core.schedule import Schedule, pause_id
from ropewalk.core.step import (
    GONE,
    GRACE_SECONDS,
    Asked,
    Failed,
    Gone,
    Outcome,
    attempt,
    forget_cancellations,
    stop_tasks,
)
from ropewalk.errors import RopewalkError, RunFinished

log = logging.getLogger("ropewalk")

_TURN_SECONDS = 0.005
"""How long nodes that never wait may hold the loop before others get a turn."""
_WAITED_SECONDS = 0.001
"""A commit that took longer has waited for its store, so that others have had their turn."""


class Engine(Ledger):
    """One run under way in this process; holds all that changes."""

    def __init__(
        self, schedule: Schedule, *, store: RunStore | None, epoch: int, settings: Settings, feed: Feed | None = None
    ) -> None:
        super().__init__(schedule, store=store, epoch=epoch, settings=settings, feed=feed)
        self._queue: deque[Step] = deque()
        """Steps that the next free worker task takes."""
        self._landed: list[tuple[Step, Outcome]] = []
        """Outcomes that wait for the next commit."""
        self._last_words: dict[str, list[StepRecorded]] = {}
        """Replies, by step, that are committed with what comes next of their step: as a rule its outcome."""
        self._delayed: dict[str, asyncio.TimerHandle] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._driver: asyncio.Task[None] | None = None
        self._awaits_step = False
        self._winds_down = False
        self._deadline: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._turn_started = 0.0

    # -- for the run's handle -----------------------------------------------------------------------------------------

    @property
    def at_rest(self) -> bool:
        """True while nothing is in flight."""
        return not self.in_flight and not self._queue

    @property
    def driving(self) -> bool:
        return self._driver is not None and not self._driver.done()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop it was last driven in."""
        return self._driver.get_loop() if self._driver is not None else None

    async def rests(self) -> None:
        """Return when the driver is not at work."""
        if self._driver is not None and not self._driver.done():
            await asyncio.wait({self._driver})

    def drive(self) -> "asyncio.Task[None]":
        """Start the driver, if it is not at work already."""
        driver = self._driver
        if driver is None or driver.done():
            driver = self._driver = asyncio.create_task(self._drive(), name=f"ropewalk {self.run_id}")
            driver.add_done_callback(self._ended)
        self._wake.set()
        return driver

    def _ended(self, _: "asyncio.Task[None]") -> None:
        self.feed.wake()

    async def stop(self, fact: RunStopped, *, first: StateEdited | None = None) -> None:
        """End the run with ``fact``, and ``first`` before it: in the log, then in the code that is in flight. Raises
        `RunFinished`.
        """
        if self._router is not None:
            self._router.cancel()  # a commit waits for it, and this one for that
        self.is_ending = True
        try:
            await self.commit_whole([fact] if first is None else lambda: self._conclusion(first, fact))
        finally:
            self.is_ending = False
        await self.abandon()

    def _conclusion(self, edited: StateEdited, end: RunStopped) -> list[Fact]:
        if self.schedule.status not in ("RUNNING", "PAUSED"):
            raise RunFinished(self.run_id, self.schedule.status, "concluding it")
        return [edited, end]

    async def stop_driving(self) -> None:
        """Cancel the driver and what is in flight, without a word in the log."""
        driver = self._driver
        if driver is not None and not driver.done():
            driver.cancel()
            await asyncio.wait({driver})

    def wind_down(self) -> None:
        """Start nothing more; the driver ends when what is in flight has been committed, and the run stays RUNNING."""
        self._winds_down = True
        self.schedule.ready[:0] = self._queue
        self._queue.clear()
        self._wake.set()

    async def abandon(self) -> None:
        """Cancel what is in flight, let it clean up, and wait until nothing of it is left."""
        for handle in self._delayed.values():
            handle.cancel()
        self._delayed.clear()
        tasks = [(step_id, task) for step_id, task in self.in_flight.items() if task is not None]
        me = asyncio.current_task()
        if self._driver is not None and self._driver is not me and not self._driver.done():
            if self._awaits_step:
                tasks.append((next(iter(self.in_flight), "?"), self._driver))
            else:
                self._wake.set()
        await stop_tasks([pair for pair in tasks if pair[1] is not me])

    def lose(self, error: BaseException) -> None:
        """Note that this engine may not go on; wakes whoever waits for the run."""
        is_first = self.lost is None
        super().lose(error)
        self._wake.set()
        self.feed.wake()
        if is_first and self._awaits_step and self._driver is not None and self._driver is not asyncio.current_task():
            self._driver.cancel()

    def verdict(self) -> RunStopped | None:
        """Say how the stretch ends, now that nothing is in flight; None when something can still start."""
        schedule = self.schedule
        if schedule.is_blocked() and self._queue:
            schedule.ready[:0] = self._queue
            self._queue.clear()
        if self._queue:
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

    # -- what contexts use --------------------------------------------------------------------------------------------

    async def record(self, step: Step, facts: Sequence[StepRecorded], *, at_once: bool = True) -> None:
        facts = [*self._last_words.pop(step.id, ()), *facts]
        try:
            if self.schedule.steps.get(step.id) is not step:
                raise TooLate
            if at_once or step.firing.scope.plan.choosing[step.place.index] == "awaited":  # its end may be far off
                await self.commit_whole(facts)
            else:
                self._last_words[step.id] = facts
        except TooLate:  # the run has ended; the cancellation of this step is on its way
            await asyncio.sleep(GRACE_SECONDS)
            raise asyncio.CancelledError from None

    def emit(self, step: Step, kind: str, data: Any) -> None:
        if step.id in self.in_flight:
            self.feed.live(step.id, step.path, kind, data)

    async def in_thread(self, node: str, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a plain function where it cannot block the loop; one that goes on though cancelled is reported."""
        call = functools.partial(contextvars.copy_context().run, called_in_thread, fn, *args, **kwargs)
        future = self.settings.threads.submit(call)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.done():
                log.warning("node %r goes on in its thread, which cannot be stopped; what it does is discarded", node)
            raise

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
            if self._driver is not None:
                self._driver.uncancel()
        except BaseException as error:
            self.lose(error)
            if not isinstance(error, RopewalkError):
                log.exception("run %s: the engine stopped", self.run_id)
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None
            if self.in_flight or self._delayed:
                await self.abandon()
                self.in_flight.clear()
            self._queue.clear()
            self._landed.clear()
            self._last_words.clear()
            self.schedule.ready = self.schedule.pending()  # what was queued or delayed starts at the next go
            self.feed.wake()

    async def _one_turn(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Start what is ready and commit what finished; return whether there is anything left to do."""
        schedule = self.schedule
        if self._lock.locked():  # what is being written down has not happened yet: nothing may start on it
            async with self._lock:
                return True
        if self._is_straight():
            await self._go_straight(schedule.ready.pop(), loop)
            return True
        if schedule.ready and not schedule.is_blocked() and not self._winds_down:
            self._launch(loop)
        if not self._landed:
            waits = self._delayed and not self._winds_down
            if not self.in_flight and not waits and not self._queue:
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

    async def _go_straight(self, step: Step, loop: asyncio.AbstractEventLoop) -> None:
        """Run the only step there is in this task, then the next one, as long as there is only one."""
        schedule, in_flight, feed, me = self.schedule, self.in_flight, self.feed, self._driver
        assert me is not None
        while True:
            in_flight[step.id] = None
            feed.begin(step.id, step.path, step.attempt)
            self._tell_began(step)
            self._awaits_step = True
            try:
                outcome = await attempt(step, self)
            finally:
                self._awaits_step = False
            if self.lost is not None or schedule.status != "RUNNING":
                return
            if me.cancelling():
                forget_cancellations(me)
            landed = loop.time()
            if type(outcome) is StepFinished and not feed.has_heard(step.id) and not self._last_words:
                later = self.commit_now((outcome,))
                if later is not None:
                    await later
            else:
                await self._commit_outcomes([(step, outcome)])
            now = loop.time()
            if now - landed > _WAITED_SECONDS:
                self._turn_started = now
            elif now - self._turn_started > _TURN_SECONDS:
                await asyncio.sleep(0)
                self._turn_started = loop.time()
            if self.lost is not None or not self._is_straight() or self._lock.locked():
                return
            step = schedule.ready.pop()

    def _tell_began(self, step: Step) -> None:
        for watch in self.settings.watches:
            watch.began(self.schedule.plan.name, self.run_id, step.id, step.path)

    def _is_straight(self) -> bool:
        """Tell whether one step is ready and nothing else of this run can happen before it ends."""
        schedule = self.schedule
        ready = schedule.ready
        return (
            len(ready) == 1
            and not self._winds_down
            and not self.in_flight
            and not schedule.held
            and schedule.failure is None
            and not self._queue
            and not self._delayed
            and not schedule.open_pauses
            and ready[0].retry_at is None
        )

    def _launch(self, loop: asyncio.AbstractEventLoop) -> None:
        schedule = self.schedule
        room = len(schedule.ready)
        if self.settings.max_concurrency is not None:
            room = max(0, min(room, self.settings.max_concurrency - len(self.in_flight) - len(self._queue)))
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
        assert me is not None
        started = loop.time()
        while self._queue and self.lost is None and not self.schedule.is_blocked():
            step = self._queue.popleft()
            self.in_flight[step.id] = me
            self.feed.begin(step.id, step.path, step.attempt)
            self._tell_began(step)
            try:
                outcome = await attempt(step, self)
            except asyncio.CancelledError:
                outcome = GONE
            if self.in_flight.get(step.id) is not me:
                return  # left behind when its stretch ended: what it did since counts for nothing
            if me.cancelling() and forget_cancellations(me):
                outcome = GONE
            if not self._landed:  # else it has been told
                self._wake.set()
            self._landed.append((step, outcome))
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
            said = self._last_words.pop(step.id, [])
            match outcome:
                case StepFinished():
                    text = None if said else self.feed.text_of(step.id)  # what was said is in the reply
                    facts += [*said, outcome if text is None else outcome._replace(text=text)]
                case Failed():
                    facts += [*said, self._failure(step, outcome)]
                case Asked():
                    facts += [*said, *self._questions(step, outcome)]
                case Gone():
                    self.feed.forget(step.id)
                    self.in_flight.pop(step.id, None)
        if facts:
            await self.commit(facts)

    def _failure(self, step: Step, outcome: Failed) -> StepFailed:
        delay = None if outcome.permanent else step.place.retry.delay(step.spent + 1, f"{self.run_id}/{step.id}")
        if delay is None:
            self.cause = self.cause or outcome.error
        retry_at = None if delay is None else self.settings.clock() + delay
        return failure_of(step.id, step.path, step.attempt, outcome.error, retry_at)

    def _questions(self, step: Step, outcome: Asked) -> list[Paused]:
        """Return what the step asks for the first time; a question that was answered meanwhile lets it run again."""
        self.feed.forget(step.id)
        new: list[Paused] = []
        answered = not outcome.questions
        for question in outcome.questions:
            name, nth = question.name, question.nth
            if (name, nth) in step.answers:
                answered = True
            elif (name, nth) not in step.asked:
                expires_at = None if question.expires_in is None else self.settings.clock() + question.expires_in
                pause = pause_id(self.run_id, step.id, name, nth)
                head = (pause, question.kind, step.path, step.id, question.payload, name, nth)
                new.append(Paused(*head, expires_at, question.otherwise))
        if not new:
            self.in_flight.pop(step.id, None)
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
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end_overdue(self, fact: RunStopped) -> None:
        if self.schedule.status == "RUNNING" and self.lost is None:
            with contextlib.suppress(RopewalkError):  # commit has noted it in `lost`, where waiters find it
                await self.stop(fact)
