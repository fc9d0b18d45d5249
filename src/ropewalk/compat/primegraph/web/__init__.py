"""The seeds' `primeGraph.web`."""

from ropewalk import (
    ExecutionRequest,
    ExecutionResponse,
    GraphService,
    GraphStatus,
    create_graph_service,
    wrap_graph_with_websocket,
)

__all__ = [
    "ExecutionRequest",
    "ExecutionResponse",
    "GraphService",
    "GraphStatus",
    "create_graph_service",
    "wrap_graph_with_websocket",
]
