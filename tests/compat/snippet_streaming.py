"""Seed 000, "Streaming with Redis": the configuration, as it stands; only the import root is replaced. Behind its last
line, which leaves the rest to the reader, stands a workflow.
"""
# ruff: noqa  (the seed's own layout)
# fmt: off

from ropewalk.compat.primegraph.graph.llm_clients import StreamingConfig, StreamingEventType

# Configure streaming with Redis
streaming_config = StreamingConfig(
    enabled=True,
    event_types={StreamingEventType.TEXT, StreamingEventType.CONTENT_BLOCK_STOP},
    redis_host="localhost",  # Docker-exposed Redis host
    redis_port=6379,         # Default Redis port
    redis_channel="my_stream_channel"  # Custom channel name
)

# Use the streaming config with your LLM-based workflows
# ...

import asyncio
import sys

from ropewalk.compat.primegraph import END, START
from ropewalk.compat.primegraph.graph.llm_clients import AnthropicClient, OpenAIClient
from ropewalk.compat.primegraph.graph.llm_tools import LLMMessage, ToolGraph, ToolLoopOptions, ToolState

client = {"openai": OpenAIClient, "anthropic": AnthropicClient}[sys.argv[1]](api_key="your-api-key-here")
graph = ToolGraph("streaming", state_class=ToolState)
node = graph.add_tool_node(
    "writer", tools=[], llm_client=client, options=ToolLoopOptions(streaming_config=streaming_config)
)
graph.add_edge(START, node.name)
graph.add_edge(node.name, END)

initial_state = ToolState()
initial_state.messages = [LLMMessage(role="user", content="Tell me of ropes.")]
asyncio.run(graph.execute(initial_state=initial_state))
print(graph.state.final_output)
