"""Typed graphs of functions, model tool loops and human decisions, run as a durable log."""

from typing import TYPE_CHECKING, Any

from ropewalk.core.buffers import History, Incremental, LastValue, Reduced, merge_by_id
from ropewalk.core.context import Context
from ropewalk.core.plan import END, START, Send
from ropewalk.core.retry import Retry
from ropewalk.core.run import Run
from ropewalk.core.standing import Pause, RunStatus
from ropewalk.core.state import GraphState
from ropewalk.events import Entry, Event, Token
from ropewalk.runtime import Graph

if TYPE_CHECKING:
    from ropewalk.later import (
        Agent,
        AnthropicClient,
        Approve,
        CircuitBreaker,
        Fallback,
        Happened,
        Limits,
        LLMMessage,
        McpServer,
        Metered,
        Model,
        ModelRequest,
        OpenAIClient,
        Paced,
        Price,
        Prices,
        Reject,
        Reply,
        Retrying,
        RetryPolicy,
        ScriptedModel,
        ScriptedReply,
        StreamingConfig,
        StreamingEventType,
        Summary,
        Tool,
        ToolCall,
        ToolCallLog,
        ToolContext,
        ToolGraph,
        ToolLoopOptions,
        ToolNode,
        ToolState,
        Usage,
        Window,
        open_model,
        tool,
    )
    from ropewalk.server.graph_service import GraphService, create_graph_service, wrap_graph_with_websocket
    from ropewalk.server.seed_routes import ExecutionRequest, ExecutionResponse, GraphStatus

__version__ = "0.1.0"

__all__ = [
    "END",
    "START",
    "Agent",
    "AnthropicClient",
    "Approve",
    "CircuitBreaker",
    "Context",
    "Entry",
    "Event",
    "ExecutionRequest",
    "ExecutionResponse",
    "Fallback",
    "Graph",
    "GraphService",
    "GraphState",
    "GraphStatus",
    "Happened",
    "History",
    "Incremental",
    "LLMMessage",
    "LastValue",
    "Limits",
    "McpServer",
    "Metered",
    "Model",
    "ModelRequest",
    "OpenAIClient",
    "Paced",
    "Pause",
    "Price",
    "Prices",
    "Reduced",
    "Reject",
    "Reply",
    "Retry",
    "RetryPolicy",
    "Retrying",
    "Run",
    "RunStatus",
    "ScriptedModel",
    "ScriptedReply",
    "Send",
    "StreamingConfig",
    "StreamingEventType",
    "Summary",
    "Token",
    "Tool",
    "ToolCall",
    "ToolCallLog",
    "ToolContext",
    "ToolGraph",
    "ToolLoopOptions",
    "ToolNode",
    "ToolState",
    "Usage",
    "Window",
    "create_graph_service",
    "merge_by_id",
    "open_model",
    "tool",
    "wrap_graph_with_websocket",
]


_OF_THE_SERVER = frozenset(
    (
        "ExecutionRequest",
        "ExecutionResponse",
        "GraphService",
        "GraphStatus",
        "create_graph_service",
        "wrap_graph_with_websocket",
    )
)


def __getattr__(name: str) -> Any:
    """Load the names of models, tools, agents and of the server when they are asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _OF_THE_SERVER:
        from ropewalk.doors import part_of_the_server  # noqa: PLC0415  most programs serve nothing

        found = part_of_the_server(name)
    else:
        from ropewalk import later  # noqa: PLC0415  a graph without models does not wait for what they need

        found = getattr(later, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
