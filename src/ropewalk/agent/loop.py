"""The tool loop: ask the model, run the tools it calls, until it answers. Every stage is in the log before the next.

It runs again from its first line after each answer, each takeover, each resume; what the log has is not done again.

1. The reply of this turn: from the log, or asked for. One that was cut off or refused is none.
2. Its calls, side by side, each to its end (`agent/calls.py`). Where people must be asked, all of them are, at once.
3. The results go back in the order of the calls. A call may end the loop, or hand the conversation over.
4. A reply without calls is the answer, when it fits the schema.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, aclosing
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, cast

from ropewalk.agent.agents import Agent, Toolbox
from ropewalk.agent.callbacks import of_reply, of_result, tell
from ropewalk.agent.calls import Ended, OneCall
from ropewalk.agent.hosting import Host
from ropewalk.agent.journal import SUMMARY_MADE, message_id, read_reply, reply_record, used
from ropewalk.agent.legible import Halves, whole_reply
from ropewalk.agent.limits import Missing, more_tool_calls, one_model_call
from ropewalk.agent.outcomes import ToolOutcome, log_of, message_of
from ropewalk.agent.output import complaint
from ropewalk.agent.state_of_tools import StateOfTools
from ropewalk.agent.summary import parted, request_to_sum_up, with_summary
from ropewalk.agent.telling import Teller, ToolContext
from ropewalk.agent.together import all_of
from ropewalk.agent.tool_state import ConversationSummary, ToolCallLog
from ropewalk.contracts.messages import LLMMessage, ToolCall
from ropewalk.contracts.model import Model, ModelRequest, Reply
from ropewalk.core.context import Context, Record
from ropewalk.errors import ModelLimitReached, OutputInvalid, ReplyCutOff, ReplyNotFinal, ReplyRefused, ToolErrors


@dataclass(kw_only=True, slots=True)
class Talk:
    """The conversation as the loop leaves it."""

    given: list[LLMMessage]
    """What was said before."""
    added: list[LLMMessage] = field(default_factory=list[LLMMessage])
    calls: list[ToolCallLog] = field(default_factory=list[ToolCallLog])
    summary: ConversationSummary | None = None
    turns: int = 0
    answer: Any = None
    """The final output: text, or the type that was asked for."""

    @property
    def whole(self) -> list[LLMMessage]:
        return [*self.given, *self.added]


class Loop:
    """One agent at work on one conversation."""

    def __init__(self, agent: Agent, ctx: Context, host: Host, talk: Talk, state: StateOfTools | None) -> None:
        self.agent = agent
        self.ctx = ctx
        self.host = host
        self.state = state
        self.toolbox: Toolbox = agent.fixed_toolbox()
        self.slots: Any = contextlib.nullcontext()
        self._first = agent
        self._talk = talk
        self._failed_rounds = 0
        self._misfits = 0
        self._summaries = 0

    @property
    def hidden(self) -> dict[str, Any]:
        return {**self.host.hidden_params, **self.agent.hidden_params}

    async def run(self) -> Talk:
        """Go on to the answer. Unwinds where a person has to be asked; raises what keeps it from an answer."""
        await self._take_over(self.agent)
        talk = self._talk
        for turn in count(1):
            talk.turns = turn
            reply, calls = await self._reply(turn)
            self._say(reply.message)
            if calls:
                if await self._round(turn, calls):
                    return talk
            elif reply.finish != "paused" and self._is_answer(reply, turn):
                return talk
        raise AssertionError("a count does not end")

    async def asked_agent(self, agent: Agent, task: str, ctx: ToolContext, view: Any) -> Any:
        """Let another agent work on a task, inside the call of a tool; return its answer."""
        state = None
        if self.state is not None and view is not None:
            state = StateOfTools(ctx.schedule.shape, view.rw_values)
        host = replace(self.host, on_message=None)
        talk = Talk(given=[LLMMessage(role="user", content=task, id=message_id(ctx.idempotency_key, "task"))])
        loop = Loop(agent, ctx, host, talk, state)
        talk = await loop.run()
        if state is not None:
            state.write_into(view)
        last = loop.agent.output
        return talk.answer if last is None or isinstance(talk.answer, str) else last.plain(talk.answer)

    # -- the reply of a turn ------------------------------------------------------------------------------------------

    async def _reply(self, turn: int) -> tuple[Reply, list[OneCall]]:
        raw = self.ctx.kept(f"model {turn}")
        if raw is not None:
            reply = read_reply(raw)
            return reply, self._calls_of(turn, reply)
        with ExitStack() as let_go:
            reply = _with_own_ids(await self._ask(turn, let_go), turn)
            await self._check_end(turn, reply)
            calls = self._calls_of(turn, reply)
            said_at_once = [record for call in calls if (record := call.at_once()) is not None]
            is_final = not calls and reply.finish != "paused"
            at_once = not (is_final and self._ends_the_node())
            await self.ctx.keep(reply_record(f"model {turn}", reply), *said_at_once, at_once=at_once)
        await tell(self.host.on_message, of_reply(reply, turn, is_final=is_final, now=time.time()))
        return reply, calls

    async def _ask(self, turn: int, let_go: ExitStack) -> Reply:
        options = self.agent.options
        model = self._model(self.agent.model)
        if turn > self._first.options.max_iterations:
            limit = self._first.options.max_iterations
            raise ModelLimitReached("max_iterations", limit, turn - 1, model=options.model or model.name)
        messages = await self._shown(model)
        max_tokens = let_go.enter_context(self._let_ask(model, options.max_tokens, self._reply_missing(turn)))
        request = ModelRequest(
            messages=tuple(messages),
            tools=self.toolbox.specs,
            model=options.model,
            max_tokens=max_tokens,
            temperature=options.temperature,
            tool_choice=options.tool_choice if turn == 1 or options.tool_choice in ("auto", "none") else None,
            output_schema=self.agent.output.native if self.agent.output is not None else None,
            idempotency_key=f"{self.ctx.idempotency_key}/model {turn}",
            extra=options.api_kwargs,
        )
        return await self._streamed(model, request)

    async def _streamed(self, model: Model, request: ModelRequest) -> Reply:
        options = self.agent.options
        to = options.stream_to
        publisher = self.host.open_publisher(to) if to is not None and to.publishes else None
        teller = Teller(self.ctx, to, publisher, request.model or model.name)
        if not options.streams:
            reply = whole_reply(await model.answer(request))
            await teller.take(reply)
            return reply
        halves = Halves()
        async with aclosing(cast("Any", model.stream(request))) as parts:
            async for part in parts:
                if isinstance(part, Reply):
                    reply = whole_reply(part)
                    await teller.take(reply)
                    return reply
                whole = halves.take(part)
                if whole is not None:
                    await teller.take(whole)
        raise AssertionError("a model's stream ends with its reply")

    async def _check_end(self, turn: int, reply: Reply) -> None:
        """Raise `ReplyNotFinal` for a reply that is no answer and no call; what it used is in the log all the same."""
        calls = reply.message.tool_calls
        if reply.finish in ("stop", "paused") or (reply.finish == "tool_calls" and calls):
            return
        await self.ctx.keep(reply_record(f"model {turn} unusable", reply, self._next_unusable(turn)))
        text = reply.message.text
        if reply.finish in ("length", "context"):
            raise ReplyCutOff(reply.model, reply.finish, text)
        if reply.finish in ("refusal", "filter"):
            raise ReplyRefused(reply.model, reply.finish, text)
        message = f"{reply.model!r} ended to call tools and called none. resume() asks again."
        raise ReplyNotFinal(reply.model, reply.finish, text, message)

    def _calls_of(self, turn: int, reply: Reply) -> list[OneCall]:
        calls: list[OneCall] = []
        handed_over = False
        for index, call in enumerate(reply.message.tool_calls or (), 1):
            tool = self.toolbox.get(call.name)
            is_handoff = tool is not None and tool.handoff is not None
            objection = "the conversation is handed over by another call." if is_handoff and handed_over else None
            handed_over = handed_over or is_handoff
            calls.append(OneCall(self, turn, index, call, objection=objection))
        return calls

    # -- what the model gets to see -----------------------------------------------------------------------------------

    async def _shown(self, model: Model) -> list[LLMMessage]:
        """Return the conversation as it is sent: with instructions, through the window, its beginning summed up."""
        options, talk = self.agent.options, self._talk
        messages = talk.whole
        if options.summary is not None:
            messages = await self._summed_up(model)
        if options.window is not None:
            messages = options.window.of(messages)
        instructions = self._instructions()
        return [LLMMessage(role="system", content=instructions, id=""), *messages] if instructions else messages

    def _instructions(self) -> str:
        given = self.agent.system_prompt
        if callable(given):
            given = given(self.state.view()) if self.state is not None else given(None)
        output = self.agent.output.instruction() if self.agent.output is not None else ""
        return "\n\n".join(filter(None, (given, output)))

    async def _summed_up(self, model: Model) -> list[LLMMessage]:
        how, talk = self.agent.options.summary, self._talk
        assert how is not None
        while (raw := self.ctx.kept(f"summary {self._summaries + 1}")) is not None:
            self._summaries += 1
            talk.summary = ConversationSummary.model_validate_json(raw)
        parts = parted(talk.whole, talk.summary)
        if not parts.old:
            talk.summary = None  # of a conversation that is no longer there
        sent = with_summary(parts, talk.summary) if talk.summary is not None else talk.whole
        if not how.is_due(sent):
            return sent
        cut = parted(talk.whole, talk.summary, how.keep)
        fresh = cut.old[len(parts.old) :]
        if not fresh:
            return sent
        asked = request_to_sum_up(how.prompt, fresh, talk.summary.text if talk.summary is not None else None)
        writer = model if how.model is None else self._model(how.model)
        record_name = f"summary {self._summaries + 1}"
        with self._let_ask(writer, None, lambda: int(self.ctx.kept(record_name) is None)) as max_tokens:
            name = self.agent.options.model if how.model is None else None
            reply = whole_reply(await writer.answer(ModelRequest(messages=asked, model=name, max_tokens=max_tokens)))
            if reply.finish != "stop":
                raise ReplyCutOff(reply.model, reply.finish, reply.message.text)
            talk.summary = ConversationSummary(text=reply.message.text, until=cut.old[-1].id)
            self._summaries += 1
            await self.ctx.keep(Record(SUMMARY_MADE, record_name, talk.summary.model_dump(), 1, used(reply)))
        return with_summary(cut, talk.summary)

    # -- the calls of a reply -----------------------------------------------------------------------------------------

    async def _round(self, turn: int, calls: list[OneCall]) -> bool:
        """Bring all calls to their end and tell the model; return whether that ends the loop."""
        if self.state is not None:
            self.state.begin_round(self._talk.whole)

        def missing() -> int:
            return sum(self.ctx.kept(f"tool {call.key}") is None for call in calls)

        new = missing()
        with more_tool_calls(self.agent.options.max_tool_calls, self.ctx.schedule, missing):
            ended = await all_of([call.end() for call in calls])
        await self._tell_results(turn, ended, is_new=new > 0)
        aborting = next((end for call, end in zip(calls, ended, strict=True) if end.counts and _aborts(call)), None)
        if aborting is not None:
            self._talk.answer = aborting.outcome.result
            return True
        if self._final_answer(calls, ended):
            return True
        self._count_failures([end.outcome for end in ended])
        for call, end in zip(calls, ended, strict=True):
            if end.counts and call.tool is not None and call.tool.handoff is not None:
                await self._take_over(call.tool.handoff)
        return False

    async def _tell_results(self, turn: int, ended: Sequence[Ended], *, is_new: bool) -> None:
        later: list[LLMMessage] = []
        for index, (outcome, review) in enumerate(ended, 1):
            message = message_of(outcome, review)
            message.id = message_id(self.ctx.idempotency_key, turn, index)
            self._say(message)
            self._talk.calls.append(log_of(outcome))
            if self.state is not None and outcome.writes:
                later += self.state.take_in(outcome.writes)
            if is_new:
                told = of_result(message, outcome.tool, turn, now=time.time())
                await tell(self.host.on_message, told)
        for message in later:
            self._say(message)

    def _count_failures(self, outcomes: Sequence[ToolOutcome]) -> None:
        failed = all(outcome.status in ("error", "refused") for outcome in outcomes)
        self._failed_rounds = self._failed_rounds + 1 if failed else 0
        if self._failed_rounds > self.agent.options.max_failed_rounds:
            last = outcomes[-1]
            raise ToolErrors(last.tool, self._failed_rounds, last.error or "")

    # -- the answer ---------------------------------------------------------------------------------------------------

    def _is_answer(self, reply: Reply, turn: int) -> bool:
        output, text = self.agent.output, reply.message.text
        if output is None:
            self._talk.answer = text
            return True
        try:
            if output.mode == "tool":
                raise ValueError("It is a text and not a call")
            self._talk.answer = output.read(text)
        except ValueError as why:
            self._misfit(str(why))
            message = complaint(output, str(why))
            message.id = message_id(self.ctx.idempotency_key, turn, "misfit")
            self._say(message)
            return False
        return True

    def _final_answer(self, calls: Sequence[OneCall], ended: Sequence[Ended]) -> bool:
        """Take the answer that was given by calling the tool for it; return whether there is one."""
        final, output = self.toolbox.final, self.agent.output
        if final is None or output is None:
            return False
        for call, end in zip(calls, ended, strict=True):
            if call.tool is final:
                if end.counts:
                    self._talk.answer = output.read(end.outcome.arguments)
                    return True
                self._misfit(end.outcome.error or "")
        return False

    def _ends_the_node(self) -> bool:
        """Tell whether nothing comes between a final reply and the end of the node: nobody who is told of the reply,
        nobody who counts what it used, no schema that it may not fit.
        """
        agent = self.agent
        silent = self.host.on_message is None and agent.output is None and agent.options.limits is None
        return silent and not isinstance(self.ctx, ToolContext)

    def _misfit(self, why: str) -> None:
        self._misfits += 1
        output = self.agent.output
        if output is not None and self._misfits > self.agent.options.output_retries:
            raise OutputInvalid(output.name, self._misfits, why)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _take_over(self, agent: Agent) -> None:
        """Let ``agent`` go on with the conversation."""
        self.agent = agent
        self.toolbox = await agent.toolbox()
        most = agent.options.max_parallel_tools
        self.slots = contextlib.nullcontext() if most is None else asyncio.Semaphore(most)

    def _model(self, model: Model | str | None) -> Model:
        if model is None:
            model = self._first.model
        if isinstance(model, str):
            return self.host.open_model(model)
        if model is None:
            raise TypeError(f"Agent {self.agent.name!r} has no model. Give it one: model=... or llm_client=...")
        return self.host.prepare(model)

    def _let_ask(self, model: Model, max_tokens: int | None, missing: Missing) -> AbstractContextManager[int | None]:
        options = self.agent.options
        return one_model_call(options.limits, self.ctx.schedule, options.model or model.name, max_tokens, missing)

    def _reply_missing(self, turn: int) -> Missing:
        """Return what tells whether the reply that is asked for now is in the log: as one, or as an unusable one."""
        nth = self._next_unusable(turn)
        return lambda: int(
            self.ctx.kept(f"model {turn}") is None and self.ctx.kept(f"model {turn} unusable", nth) is None
        )

    def _next_unusable(self, turn: int) -> int:
        nth = 1
        while self.ctx.kept(f"model {turn} unusable", nth) is not None:
            nth += 1
        return nth

    def _say(self, message: LLMMessage) -> None:
        self._talk.added.append(message)


def _aborts(call: OneCall) -> bool:
    return call.tool is not None and call.tool.abort_after_execution


def _with_own_ids(reply: Reply, turn: int) -> Reply:
    """Return the reply with an id for each call that is different from its siblings'; some servers repeat them."""
    calls = reply.message.tool_calls or []
    ids = [call.id for call in calls]
    if all(ids) and len(set(ids)) == len(ids):
        return reply
    own: list[ToolCall] = []
    for index, call in enumerate(calls, 1):
        clash = not call.id or call.id in {other.id for other in own}
        own.append(replace(call, id=f"{call.id or 'call'}_{turn}_{index}") if clash else call)
    return replace(reply, message=reply.message.model_copy(update={"tool_calls": own}))
