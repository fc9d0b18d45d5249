"""A tool loop as a node of a graph: what it takes from the state, what it leaves there, how its approvals are read."""

import inspect
import json
from collections.abc import Callable, Iterable
from typing import Any, cast

from pydantic_core import from_json

from ropewalk.agent.agents import Agent
from ropewalk.agent.approvals import Decision, asked_by, decision_of
from ropewalk.agent.hosting import Host
from ropewalk.agent.journal import message_id
from ropewalk.agent.loop import Loop, Talk
from ropewalk.agent.output import OutputSchema
from ropewalk.agent.reading import show_loops, so_far
from ropewalk.agent.state_of_tools import StateOfTools
from ropewalk.agent.tool_state import ToolState
from ropewalk.agent.tools import Tool
from ropewalk.contracts.messages import LLMMessage
from ropewalk.core.context import Context
from ropewalk.core.facts import Paused
from ropewalk.core.places import Step
from ropewalk.core.schedule import Schedule
from ropewalk.errors import WrongReturn

Said = str | LLMMessage | Iterable[LLMMessage] | None
GO_ON = "Go on."


class ToolNode:
    """What `Graph.add_node` takes to make an agent a node; `ToolGraph.add_tool_node` makes one by itself."""

    def __init__(
        self,
        agent: Agent,
        host: Host | None = None,
        *,
        prompt: Callable[..., Said] | None = None,
        output_field: str = "final_output",
    ) -> None:
        """``prompt`` makes of the state (and of the item, in a map) what the user is taken to say; without it an item
        is the user's message. ``output_field`` is where the answer goes.
        """
        self.name = agent.name
        self.agent = agent
        self.__name__ = agent.name
        self._host = host or Host()
        self._prompt = prompt
        self._output_field = output_field

    async def __call__(self, state: Any, ctx: Context, item: Any = None) -> dict[str, Any] | None:
        """Work on the conversation in ``state.messages``; leave the answer, and all that was said, in the state."""
        tools_state = StateOfTools(ctx.schedule.shape, ctx.unfinished.version.values)
        fields: dict[str, Any] = cast("Any", type(state)).model_fields
        talk = Talk(given=tools_state.given)
        talk.summary = getattr(state, "summary", None) if self.agent.options.summary is not None else None
        talk.added += self._said(state, item, ctx, talk.given)
        loop = Loop(self.agent, ctx, self._host, talk, tools_state)
        talk = await loop.run()
        tools_state.write_into(state)
        answer = self._stored(loop.agent.output, talk.answer, fields)
        if "messages" in fields:
            state.messages = talk.whole  # what was there is handed back as it is, so that only what is new is written
        if isinstance(state, ToolState):
            state.tool_calls = [*state.tool_calls, *talk.calls]
            state.current_iteration = talk.turns
            state.is_complete = True
            state.summary = talk.summary if self.agent.options.summary is not None else state.summary
        return {self._output_field: answer} if self._output_field in fields else None

    def check_answer(self, question: Paused, value: Any) -> Any:
        """Return an approval's answer as the log keeps it. Raises ValueError for one that cannot be read, or whose
        arguments do not fit the tool.
        """
        asked = asked_by(question.name) if question.kind == "approval" else None
        if asked is None:
            return value
        payload: dict[str, Any] = from_json(question.payload)
        decision = decision_of(value, asked.what, payload)
        self._check_arguments(decision, payload["tool"])
        return decision.data()

    def show(self, state: Any, steps: list[Step], schedule: Schedule) -> None:
        """Make a state show what the loop has done so far, and which call waits for a person."""
        if not isinstance(state, ToolState):
            return
        show_loops(state, [so_far(step, schedule.run_id) for step in steps], schedule)
        output = self.agent.output
        if output is not None and self._output_field == "final_output" and isinstance(state.final_output, dict):
            state.final_output = output.revive(cast("Any", state).final_output)
        if schedule.status == "FAILED" and schedule.failure is not None and state.error is None:
            state.error = schedule.failure.message

    def _said(self, state: Any, item: Any, ctx: Context, given: list[LLMMessage]) -> list[LLMMessage]:
        """Return what is said before the loop begins."""
        said: Any = item
        if self._prompt is not None:
            takes_item = len(inspect.signature(self._prompt).parameters) > 1
            said = self._prompt(state, item) if takes_item else self._prompt(state)
        messages = _messages_of(said, self.name)
        if not messages and given and given[-1].role == "assistant" and not given[-1].tool_calls:
            messages = [LLMMessage(role="user", content=GO_ON, should_show_to_user=False)]
        for index, message in enumerate(messages):
            if not isinstance(said, LLMMessage):
                message.id = message_id(ctx.idempotency_key, "said", index)
        return messages

    def _stored(self, output: OutputSchema | None, answer: Any, fields: Any) -> Any:
        """Return the answer as its field takes it: plain data for one of no particular type."""
        field = fields.get(self._output_field)
        if output is None or field is None or field.annotation not in (Any, str):
            return answer
        plain = output.plain(answer)
        return plain if field.annotation is Any else _text(plain)

    def _check_arguments(self, decision: Decision, tool: str) -> None:
        if decision.arguments is None:
            return
        known = [one for agent in self.agent.family() for one in agent.tools if isinstance(one, Tool)]
        problems: list[str] = []
        for one in known:
            if one.name == tool:
                try:
                    one.takes.read(decision.arguments)
                except ValueError as why:
                    problems.append(str(why))
                else:
                    return
        if problems:
            raise ValueError(f"the arguments do not fit {tool!r}: {problems[0]}")


def _messages_of(said: Any, node: str) -> list[LLMMessage]:
    match said:
        case None:
            return []
        case str():
            return [LLMMessage(role="user", content=said)]
        case LLMMessage():
            return [said.model_copy()]
        case list() | tuple() if all(isinstance(one, LLMMessage) for one in cast("list[Any]", said)):
            return [one.model_copy() for one in cast("list[LLMMessage]", said)]
        case _:
            who = f"The prompt of node {node!r}, or the item it works on,"
            raise WrongReturn(node, said, "a text, an LLMMessage or a list of them", who=who)


def _text(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=False)
