"""The public names of models, tools and agents: `ropewalk` hands them out when they are asked for, so that a graph
without them does not wait for them to load.
"""

from ropewalk.agent.agents import Agent
from ropewalk.agent.approvals import Approve, Happened, Reject
from ropewalk.agent.options import ToolLoopOptions
from ropewalk.agent.streaming import StreamingConfig, StreamingEventType
from ropewalk.agent.summary import Summary
from ropewalk.agent.telling import ToolContext
from ropewalk.agent.tool_state import ToolCallLog, ToolState
from ropewalk.agent.tools import Tool, tool
from ropewalk.agent.window import Window
from ropewalk.contracts.limits import Limits
from ropewalk.contracts.messages import LLMMessage, ToolCall
from ropewalk.contracts.model import Model, ModelRequest, Reply, Usage
from ropewalk.llm import (
    AnthropicClient,
    CircuitBreaker,
    Fallback,
    Metered,
    OpenAIClient,
    Paced,
    Price,
    Prices,
    Retrying,
    RetryPolicy,
    ScriptedModel,
    ScriptedReply,
)
from ropewalk.runtime import open_model
from ropewalk.tool_graph import ToolGraph
from ropewalk.tool_host import ToolNode
from ropewalk.toolservers.mcp_server import McpServer

__all__ = [
    "Agent",
    "AnthropicClient",
    "Approve",
    "CircuitBreaker",
    "Fallback",
    "Happened",
    "LLMMessage",
    "Limits",
    "McpServer",
    "Metered",
    "Model",
    "ModelRequest",
    "OpenAIClient",
    "Paced",
    "Price",
    "Prices",
    "Reject",
    "Reply",
    "RetryPolicy",
    "Retrying",
    "ScriptedModel",
    "ScriptedReply",
    "StreamingConfig",
    "StreamingEventType",
    "Summary",
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
    "open_model",
    "tool",
]
