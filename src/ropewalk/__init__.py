"""Typed graphs of functions, model tool loops and human decisions, run as a durable log."""

from ropewalk.core.buffers import History, Incremental, LastValue, Reduced, merge_by_id
from ropewalk.core.context import Context
from ropewalk.core.plan import END, START, Send
from ropewalk.core.retry import Retry
from ropewalk.core.run import Pause, Run, RunStatus
from ropewalk.core.state import GraphState
from ropewalk.events import Entry, Event, Token
from ropewalk.runtime import Graph

__version__ = "0.1.0"

__all__ = [
    "END",
    "START",
    "Context",
    "Entry",
    "Event",
    "Graph",
    "GraphState",
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
    "merge_by_id",
]
