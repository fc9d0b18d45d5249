"""Agents: a model with instructions and tools, to be put into a graph, asked as a tool, or handed a conversation."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ropewalk.agent.options import ToolLoopOptions
from ropewalk.agent.output import OutputSchema
from ropewalk.agent.signatures import GivenSchema, signature_of
from ropewalk.agent.tools import OffersTools, Tool
from ropewalk.contracts.model import Model, ToolSpec
from ropewalk.errors import ToolInvalid

Instructions = str | Callable[..., str]
"""A system prompt, or a function of the state that gives one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Agent:
    """Who asks a model and runs its tools."""

    name: str
    model: Model | str | None = None
    """A client, or a name like ``openai:gpt-...``."""
    tools: Sequence["Tool[..., Any] | OffersTools"] = ()
    system_prompt: Instructions | None = None
    description: str = ""
    """What it is good for, for the models that may ask it or hand over to it."""
    options: ToolLoopOptions = field(default_factory=ToolLoopOptions)
    output_schema: Any = None
    """The type of its final answer; None is text."""
    handoffs: Sequence["Agent"] = ()
    """Agents to which it may hand the conversation over."""
    hidden_params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    output: OutputSchema | None = field(init=False)

    def __post_init__(self) -> None:
        schema = None if self.output_schema is None else OutputSchema(self.output_schema, self.options.output_mode)
        object.__setattr__(self, "output", schema)
        for given in self.tools:
            if isinstance(given, Tool):
                if given.missing(self.hidden_params):
                    first = given.missing(self.hidden_params)[0]
                    hint = f"Supply it where the tools are given: hidden_params={{{first!r}: ...}}."
                    raise ToolInvalid(given.name, f"nobody fills its hidden parameter {first!r}", hint)
            elif not isinstance(given, OffersTools):  # pyright: ignore[reportUnnecessaryIsInstance] it may be anything
                called = getattr(given, "__name__", repr(given))
                raise ToolInvalid(called, "it is a plain function or something else", "Put @tool above it.")
        self.fixed_toolbox()  # names that clash are found now

    def as_tool(self, name: str | None = None, description: str | None = None) -> "Tool[..., Any]":
        """Return a tool that asks this agent and returns its final answer.

        All that the agent does is part of the asking run, call by call: nothing of it is repeated, its approvals are
        the run's, its usage is counted there.
        """
        called = name or _word(self.name)
        return Tool(
            name=called,
            description=description or self.description or f"Ask the agent {self.name}.",
            fn=_asks,
            takes=signature_of(_asks, called),
            effects="none",
            agent=self,
        )

    def fixed_toolbox(self) -> "Toolbox":
        """Return the tools that are known without asking anybody."""
        return Toolbox([given for given in self.tools if isinstance(given, Tool)], self)

    async def toolbox(self) -> "Toolbox":
        """Return all tools."""
        found: list[Tool[..., Any]] = []
        for given in self.tools:
            found += [given] if isinstance(given, Tool) else await given.tools()
        return Toolbox(found, self)

    def family(self) -> list["Agent"]:
        """Return this agent and all that it may ask or hand over to."""
        found: list[Agent] = []
        pending: list[Agent] = [self]
        while pending:
            agent = pending.pop(0)
            if agent not in found:
                found.append(agent)
                pending += [*agent.handoffs, *(one.agent for one in agent.tools if isinstance(one, Tool) and one.agent)]
        return found


class Toolbox:
    """An agent's tools by name, those that end or hand over the conversation included."""

    def __init__(self, tools: Iterable[Tool[..., Any]], agent: Agent) -> None:
        self.by_name: dict[str, Tool[..., Any]] = {}
        ways_out = [_handoff_to(other) for other in agent.handoffs]
        self.final = agent.output.tool() if agent.output is not None and agent.output.mode == "tool" else None
        """The tool whose call is the final answer."""
        if self.final is not None:
            ways_out.append(self.final)
        for one in (*tools, *ways_out):
            if one.name in self.by_name:
                raise ToolInvalid(one.name, f"agent {agent.name!r} has two tools of this name", "Rename one: name=...")
            self.by_name[one.name] = one
        self.specs: tuple[ToolSpec, ...] = tuple(one.spec for one in self.by_name.values())

    def get(self, name: str) -> Tool[..., Any] | None:
        return self.by_name.get(name)


def _handoff_to(agent: Agent) -> "Tool[..., Any]":
    return Tool(
        name=f"transfer_to_{_word(agent.name)}",
        description=f"Hand the conversation over to {agent.name}. {agent.description}".strip(),
        fn=_transferred,
        takes=GivenSchema(schema={"type": "object", "properties": {}, "additionalProperties": False}),
        effects="none",
        handoff=agent,
    )


async def _asks(task: str) -> Any:
    """Ask the agent.

    Args:
        task: What it is to do, in full: it sees nothing of this conversation.
    """
    raise AssertionError(f"the loop asks the agent itself: {task}")


def _transferred(**_: Any) -> str:
    return "transferred"


def _word(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "agent"
