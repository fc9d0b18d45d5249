"""Seed 000, "LLM Message Callbacks".

Mended: it is an excerpt, so the tools, the graph and the client of the snippet before it stand above it, and the graph
is run below it.
"""
# ruff: noqa  (the seed's own layout)
# fmt: off

import asyncio
from typing import Dict, Any
from ropewalk.compat.primegraph import START, END
from ropewalk.compat.primegraph.graph.llm_tools import tool, ToolGraph, ToolState, ToolLoopOptions, LLMMessage
from ropewalk.compat.primegraph.graph.llm_clients import AnthropicClient


@tool("Search the web for information")
async def search_web(query: str, num_results: int = 5) -> Dict[str, Any]:
    return {"results": [query] * num_results}


@tool("Summarize information")
async def summarize(text: str) -> Dict[str, Any]:
    return {"summary": f"Summarized version of: {text[:30]}..."}


graph = ToolGraph("research_workflow", state_class=ToolState)
llm_client = AnthropicClient(api_key="your-api-key-here")

# Define callback functions for LLM messages and tool usage
def on_message(message_data):
    """Callback triggered whenever the LLM generates a message"""
    print(f"LLM MESSAGE: {message_data['content']}")
    print(f"Is final: {message_data['is_final']}")
    if message_data['has_tool_calls']:
        print(f"Contains {len(message_data['tool_calls'])} tool calls")

def on_tool_use(tool_data):
    """Callback triggered when a tool is executed"""
    print(f"TOOL EXECUTED: {tool_data['name']}")
    print(f"Arguments: {tool_data['arguments']}")
    print(f"Result: {tool_data['result']}")

# Register callbacks when creating the tool node
node = graph.add_tool_node(
    name="researcher",
    tools=[search_web, summarize],
    llm_client=llm_client,
    options=ToolLoopOptions(max_iterations=5),
    on_message=on_message,  # Register message callback
    on_tool_use=on_tool_use  # Register tool use callback
)

graph.add_edge(START, node.name)
graph.add_edge(node.name, END)
asyncio.run(graph.execute(ToolState(messages=[LLMMessage(role="user", content="Research ropes")])))
