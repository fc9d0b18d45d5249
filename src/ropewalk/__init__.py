"""Typed graphs of functions, model tool loops and human decisions, run as a durable log."""

from typing import TYPE_CHECKING, Any

from ropewalk.core.buffers import History, Incremental, LastValue, Reduced, merge_by_id
from ropewalk.core.context import Context
from ropewalk.core.plan import END, START, Send
from ropewalk.core.retry import Retry
from ropewalk.core.run import Pause, Run, RunStatus
from ropewalk.core.state import GraphState
from ropewalk.events import Entry, Event, Token
from ropewalk.runtime import Graph, part_of_the_server

if TYPE_CHECKING:
    from ropewalk.server.graph_service import GraphService, create_graph_service, wrap_graph_with_websocket
    from ropewalk.server.seed_routes import ExecutionRequest, ExecutionResponse, GraphStatus

__version__ = "0.1.0"

__all__ = [
    "END",
    "START",
    "Context",
    "Entry",
    "Event",
    "ExecutionRequest",
    "ExecutionResponse",
    "Graph",
    "GraphService",
    "GraphState",
    "GraphStatus",
    "History",
    "Incremental",
    "LastValue",
    "Pause",
    "Reduced",
    "Retry",
    "Run",
    "RunStatus",
    "Send",
    "Token",
    "create_graph_service",
    "merge_by_id",
    "wrap_graph_with_websocket",
]


def __getattr__(name: str) -> Any:
    """Load what needs the extra ``server`` when it is asked for: `import ropewalk` loads no web framework."""
    if name in __all__:
        return part_of_the_server(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
