"""What many tests of the loop begin with: a question, a graph with one tool node, a run of it."""

from collections.abc import Sequence
from typing import Any

from ropewalk import END, START, LLMMessage, Run, ScriptedModel, ToolGraph, ToolLoopOptions, ToolState
from ropewalk.contracts.conversation import conversation_problems


def said(text: str = "What now?") -> list[LLMMessage]:
    return [LLMMessage(role="user", content=text)]


def drawn(
    model: Any, tools: Sequence[Any] = (), *, state_class: Any = ToolState, store: Any = None, **node: Any
) -> ToolGraph[Any]:
    """Return a graph of one tool node, "agent"; ``model`` is a model, its name, or a script."""
    graph: ToolGraph[Any] = ToolGraph("scene", state_class=state_class, store=store)
    options = {name: node.pop(name) for name in list(node) if name in ToolLoopOptions.__dataclass_fields__}
    if options:
        node["options"] = ToolLoopOptions(**options)
    if not isinstance(model, str) and not hasattr(model, "answer"):
        model = ScriptedModel(model)
    graph.add_tool_node("agent", tools, model, **node)
    graph.add_edge(START, "agent").add_edge("agent", END)
    return graph


async def started(graph: ToolGraph[Any], state: Any = None, text: str = "What now?", **fields: Any) -> Run[Any]:
    """Start a run, wait until it stops, return it."""
    state_class = graph.drawing.state_class
    assert state_class is not None
    run = graph.start(state if state is not None else state_class(messages=said(text), **fields))
    await run.wait()
    return run


async def entries(run: Run[Any], *types: str) -> list[dict[str, Any]]:
    """Return the values that the run's journal has of these types."""
    return [entry.data["value"] for entry in await run.history() if entry.type in types]


async def types(run: Run[Any]) -> list[str]:
    return [entry.type for entry in await run.history()]


def results(messages: Sequence[LLMMessage]) -> list[tuple[str, bool]]:
    """Return what tools told the model."""
    return [(message.text, message.is_error) for message in messages if message.role == "tool"]


def check_requests(model: ScriptedModel) -> None:
    """Hold that no request could be refused by a provider for its conversation."""
    for request in model.requests:
        assert not conversation_problems(request.messages)
