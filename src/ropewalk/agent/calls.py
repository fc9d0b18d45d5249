"""One tool call from its proposal to its end, each stage of it an entry, so that it can be gone on with at any of them.

1. What cannot be called is refused, in the entry's words.
2. A tool that pauses before it runs asks; the answer is bound to the arguments.
3. A call that had started when its process died is settled by the tool's declared effects.
4. It is written down that it starts; it runs; it is written down how it ended.
5. A tool that pauses after it ran asks whether its result may count.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic_core import from_json

from ropewalk.agent.approvals import EXPIRED, Decision, hash_of, question_name, read_decision
from ropewalk.agent.callbacks import of_use, tell
from ropewalk.agent.journal import FINISHED_USAGE, TOOL_CALL, TOOL_RESULT, TOOL_STOPPED
from ropewalk.agent.outcomes import Status, ToolOutcome, failure_of, plain, rejection
from ropewalk.agent.telling import ToolContext
from ropewalk.agent.tools import Tool
from ropewalk.contracts.messages import ToolCall
from ropewalk.core.context import Asking, Record, is_async
from ropewalk.core.step import stop_tasks
from ropewalk.errors import (
    RopewalkError,
    ToolArgumentsInvalid,
    ToolOutcomeUnknown,
    ToolProblem,
    ToolTimeout,
    ToolUnknown,
)

if TYPE_CHECKING:
    from ropewalk.agent.loop import Loop


class Ended(NamedTuple):
    """A call that has ended, and what a person said about its result, if one was asked."""

    outcome: ToolOutcome
    review: Decision | None

    @property
    def counts(self) -> bool:
        """Tell whether there is a result that the loop may use."""
        return self.outcome.is_done and (self.review is None or self.review.approve)


class OneCall:
    """A call that the model proposed: the ``index``-th of the reply of ``turn``."""

    def __init__(self, loop: "Loop", turn: int, index: int, call: ToolCall, *, objection: str | None = None) -> None:
        self._loop = loop
        self._ctx = loop.ctx
        self._turn = turn
        self.key = f"{turn}.{index}"
        self.call = call
        self.tool: Tool[..., Any] | None = loop.toolbox.get(call.name)
        self._objection = objection
        self._begun = False
        """It stands in the log that it starts, and this attempt is the one that starts it."""
        self._read: tuple[Mapping[str, Any], dict[str, Any]] | None = None

    # -- what can be said at once -------------------------------------------------------------------------------------

    def at_once(self) -> Record | None:
        """Return what goes into the log together with the reply that proposes the call, if anything can be said yet."""
        problem = self._problem(self.call.arguments)
        if problem is not None:
            return None if self._raises else self._record(self._ending("refused", error=str(problem)))
        assert self.tool is not None
        if self.tool.pause_before_execution or not self._starts:
            return None
        self._begun = True
        return self._start_record(self.call.arguments, 1)

    @property
    def _starts(self) -> bool:
        """Tell whether there is anything to be run."""
        return self.tool is not None and self.tool.handoff is None and self.tool is not self._loop.toolbox.final

    @property
    def _raises(self) -> bool:
        own = self.tool.on_error if self.tool is not None else None
        return own == "raise" or (own is None and self._loop.agent.options.raises)

    def _problem(self, arguments: Mapping[str, Any]) -> ToolProblem | None:
        """Return why the call cannot be made with these arguments."""
        if self.tool is None:
            return ToolUnknown(self.call.name, self._loop.toolbox.by_name)
        if self._objection is not None:
            return ToolArgumentsInvalid(self.call.name, self._objection)
        if self.call.invalid is not None and arguments is self.call.arguments:
            return ToolArgumentsInvalid(self.call.name, f"they are not a JSON object: {self.call.invalid[:200]!r}")
        try:
            if self.tool is self._loop.toolbox.final and self._loop.agent.output is not None:
                self._loop.agent.output.read(arguments)
            self._read = (arguments, self.tool.takes.read(arguments))
        except ValueError as why:
            return ToolArgumentsInvalid(self.call.name, str(why))
        return None

    # -- from where it stands to its end ------------------------------------------------------------------------------

    async def end(self) -> Ended:
        """Bring the call to its end, or find it in the log; unwinds where a person has to be asked."""
        raw = self._ctx.kept(f"tool {self.key}")
        outcome = await self._go() if raw is None else ToolOutcome.read(raw)
        review = None
        if self.tool is not None and self.tool.pause_after_execution and outcome.is_done:
            payload = self._payload(outcome.arguments, "after") | {"result": outcome.result}
            review = await self._decision("review", payload)
        return Ended(outcome, review)

    async def _go(self) -> ToolOutcome:
        problem = self._problem(self.call.arguments)
        if problem is not None:
            return await self._refused(problem)
        assert self.tool is not None
        arguments: Mapping[str, Any] = self.call.arguments
        if self.tool.pause_before_execution and self._kept_starts == 0:
            decision = await self._decision("approve", self._payload(arguments, "before"), hash_of(arguments)[:16])
            if not decision.approve:
                status, error = rejection(self.tool.name, decision)
                return await self._keep(self._ending(status, error=error))
            arguments = arguments if decision.arguments is None else decision.arguments
            if decision.hash != hash_of(arguments):
                return await self._refused(ToolArgumentsInvalid(self.tool.name, "they are not those of the approval."))
        elif self._kept_starts:
            arguments = self._started_with()
        if self._is_unknown:
            settled = await self._settled(arguments)
            if isinstance(settled, ToolOutcome):
                return settled
            arguments = settled
        if arguments is not self.call.arguments and (problem := self._problem(arguments)) is not None:
            return await self._refused(problem)
        return await self._made(arguments)

    async def _refused(self, problem: ToolProblem) -> ToolOutcome:
        if self._raises:
            raise problem
        return await self._keep(self._ending("refused", error=str(problem)))

    async def _settled(self, arguments: Mapping[str, Any]) -> ToolOutcome | Mapping[str, Any]:
        """Ask what became of a call that had started and must not happen twice; return its end, or with which
        arguments it may run again.
        """
        payload = self._payload(arguments, "before") | {"outcome": "unknown"}
        decision = await self._decision("outcome", payload, str(self._kept_starts))
        if decision.happened:
            return await self._keep(self._ending("ok", arguments, result=decision.result))
        if not decision.approve:
            why = f" {decision.reason}" if decision.reason else ""
            error = f"{self.call.name} was interrupted; whether it took effect is not known. It is not run again.{why}"
            return await self._keep(self._ending("unknown", arguments, error=error))
        return arguments if decision.arguments is None else decision.arguments

    async def _made(self, arguments: Mapping[str, Any]) -> ToolOutcome:
        tool = self.tool
        assert tool is not None
        if not self._starts:
            result = f"{tool.handoff.name} goes on." if tool.handoff is not None else dict(arguments)
            return await self._keep(self._ending("ok", arguments, result=result))
        if not self._begun and (self._kept_starts == 0 or tool.effects == "once"):
            await self._ctx.keep(self._start_record(arguments, self._kept_starts + 1))
        self._begun = True
        async with self._loop.slots:
            outcome = await self._run(tool, arguments)
        return await self._keep(outcome)

    # -- running it ---------------------------------------------------------------------------------------------------

    async def _run(self, tool: Tool[..., Any], arguments: Mapping[str, Any]) -> ToolOutcome:
        began, tries = time.time(), 0
        while True:
            ctx = ToolContext(self._ctx, self.call, f"call {self.key}")  # a new one finds what the last one has kept
            view = self._loop.state.view() if self._loop.state is not None else None
            tries += 1
            try:
                result = plain(await self._called(tool, arguments, ctx, view))
                changes = self._loop.state.changes(view, tool.name) if self._loop.state is not None else []
                return self._ending("ok", arguments, result=result, writes=changes, began=began)
            except Asking:
                await self._stopped("asked")
                raise
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                failure: Exception = RuntimeError(f"cancelled from inside{f' ({error})' if str(error) else ''}")
            except (ToolTimeout, ToolOutcomeUnknown) as error:
                if tool.effects == "once":  # it may have happened, and nobody can tell
                    settled = await self._settled(arguments)
                    if isinstance(settled, ToolOutcome):
                        return settled
                failure = error
            except Exception as error:  # noqa: BLE001  part of door one: a tool's failure is told to the model
                failure = error
            delay = tool.retry.delay(tries, ctx.idempotency_key) if isinstance(failure, tool.retry.on) else None
            if delay is None:
                return await self._failed(failure, arguments, began)
            await asyncio.sleep(delay)

    async def _failed(self, failure: Exception, arguments: Mapping[str, Any], began: float) -> ToolOutcome:
        if self._raises or (self.tool is not None and self.tool.agent is not None):
            await self._stopped("raised")
            raise failure
        return self._ending("error", arguments, error=failure_of(self.call.name, failure), began=began)

    async def _called(self, tool: Tool[..., Any], arguments: Mapping[str, Any], ctx: ToolContext, view: Any) -> Any:
        read = self._read[1] if self._read is not None and self._read[0] is arguments else tool.takes.read(arguments)
        hidden = {name: value for name, value in self._loop.hidden.items() if name in tool.takes.hidden}
        filled = {name: view if what == "state" else ctx for name, what in tool.takes.injected.items()}
        if tool.agent is not None:
            work = self._loop.asked_agent(tool.agent, read["task"], ctx, view)
        elif is_async(tool.fn):
            work = tool.fn(**read, **hidden, **filled)
        else:
            work = ctx.in_thread(tool.fn, **read, **hidden, **filled)
        result = await (work if tool.timeout is None else _within(tool.timeout, tool.name, work))
        return await result if hasattr(result, "__await__") else result

    # -- what the log knows -------------------------------------------------------------------------------------------

    @property
    def _kept_starts(self) -> int:
        return self._count("start")

    @property
    def _is_unknown(self) -> bool:
        """Tell whether the call had started, must not happen twice, and did not come back to tell."""
        if self._begun or self.tool is None or self.tool.effects != "once":
            return False
        return self._kept_starts > self._count("stop")

    def _count(self, what: str) -> int:
        nth = 1
        while self._ctx.kept(f"{what} {self.key}", nth) is not None:
            nth += 1
        return nth - 1

    def _started_with(self) -> Mapping[str, Any]:
        """Return the arguments of the last start: a person may have changed those of the call."""
        raw = self._ctx.kept(f"start {self.key}", self._kept_starts)
        assert raw is not None
        started: dict[str, Any] = from_json(raw)["arguments"]
        return self.call.arguments if started == self.call.arguments else started

    def _start_record(self, arguments: Mapping[str, Any], nth: int) -> Record:
        value = {"tool": self.call.name, "call_id": self.call.id, "arguments": dict(arguments)}
        return Record(TOOL_CALL, f"start {self.key}", value | {"hash": hash_of(arguments)}, nth)

    async def _stopped(self, why: str) -> None:
        """Write down that a call which must not happen twice has not ended, and did not happen unseen either."""
        if self.tool is not None and self.tool.effects == "once":
            value = {"tool": self.call.name, "call_id": self.call.id, "why": why}
            await self._ctx.keep(Record(TOOL_STOPPED, f"stop {self.key}", value, self._count("stop") + 1))

    async def _keep(self, outcome: ToolOutcome) -> ToolOutcome:
        try:
            await self._ctx.keep(self._record(outcome))
        except RopewalkError as error:
            if error.code != "too_large":
                raise
            outcome = self._ending("ok", outcome.arguments, result=f"It succeeded. Its result was not kept: {error}")
            await self._ctx.keep(self._record(outcome))
        await tell(self._loop.host.on_tool_use, of_use(outcome, self._turn, now=time.time()))
        return outcome

    def _record(self, outcome: ToolOutcome) -> Record:
        ran = self._starts and outcome.status in ("ok", "error", "unknown")
        return Record(TOOL_RESULT, f"tool {self.key}", outcome.data(), 1, FINISHED_USAGE if ran else None)

    def _ending(
        self, status: Status, arguments: Mapping[str, Any] | None = None, *, began: float | None = None, **more: Any
    ) -> ToolOutcome:
        now = time.time()
        began = now if began is None else began
        arguments = self.call.arguments if arguments is None else arguments
        return ToolOutcome(
            call_id=self.call.id,
            tool=self.call.name,
            status=status,
            arguments=arguments,
            edited=arguments is not self.call.arguments and dict(arguments) != self.call.arguments,
            at=began,
            seconds=now - began,
            **more,
        )

    # -- asking -------------------------------------------------------------------------------------------------------

    def _payload(self, arguments: Mapping[str, Any], when: str) -> dict[str, Any]:
        return {"tool": self.call.name, "arguments": dict(arguments), "call_id": self.call.id, "when": when}

    async def _decision(self, what: str, payload: dict[str, Any], more: str = "") -> Decision:
        own = self.tool.approval_seconds if self.tool is not None else None
        seconds = own if own is not None else self._loop.agent.options.approval_seconds
        name = question_name(what, self.key, more)
        expires_in = None if what == "outcome" else seconds
        answer = await self._ctx.ask(payload, name=name, kind="approval", expires_in=expires_in, otherwise=EXPIRED)
        return read_decision(answer)


async def _within(seconds: float, tool: str, work: Any) -> Any:
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        await stop_tasks([(tool, task)])
        raise
    if done:
        return task.result()
    await stop_tasks([(tool, task)])
    raise ToolTimeout(tool, seconds)
