"""Seed 000, "Streaming with Redis": the configuration, as it stands; only the import root is replaced."""
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
