"""What surrounds a tool loop: models by name, bare clients asked again when that may help, streams to the outside."""

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit

from ropewalk.agent.agents import Agent
from ropewalk.agent.callbacks import Callback
from ropewalk.agent.hosting import Host
from ropewalk.agent.node import Said
from ropewalk.agent.node import ToolNode as HostedNode
from ropewalk.agent.streaming import StreamingConfig
from ropewalk.contracts.publisher import Publisher
from ropewalk.errors import PartUnknown
from ropewalk.llm.defaults import with_default_retries
from ropewalk.runtime import open_model

_KNOWN = ["redis://localhost:6379", "rediss://localhost:6379", "unix:///run/redis.sock"]


class ToolNode(HostedNode):
    """What `Graph.add_node` takes to make an agent a node; `ToolGraph.add_tool_node` makes one by itself."""

    def __init__(
        self,
        agent: Agent,
        host: Host | None = None,
        *,
        prompt: Callable[..., Said] | None = None,
        output_field: str = "final_output",
    ) -> None:
        """``prompt`` makes of the state (and of the item, in a map) what the user is taken to say; without it an item
        is the user's message. ``output_field`` is where the answer goes. Raises `PartMissing` for a stream whose
        driver is not installed.
        """
        super().__init__(agent, host or host_of(), prompt=prompt, output_field=output_field)
        self.publishers = publishers_of(agent)
        """Where its streams go, beside callbacks."""


def host_of(
    on_message: Callback | None = None,
    on_tool_use: Callback | None = None,
    hidden_params: Mapping[str, Any] | None = None,
) -> Host:
    """Return what a loop needs, with every part that is installed."""
    return Host(
        open_model=cache(open_model),  # a client for each turn would be a connection for each turn
        prepare=with_default_retries,
        open_publisher=publisher_of,
        on_message=on_message,
        on_tool_use=on_tool_use,
        hidden_params=hidden_params or {},
    )


def publishers_of(agent: Agent) -> list[Publisher]:
    """Return what publishes the streams of an agent and of those it may ask: now, so that no first token waits for a
    driver to load.
    """
    configs = [one.options.stream_to for one in agent.family()]
    return list(dict.fromkeys(publisher_of(config) for config in configs if config is not None and config.publishes))


def publisher_of(config: StreamingConfig) -> Publisher:
    """Return what publishes a stream; raises what `open_publisher` raises."""
    host = config.redis_host or "localhost"
    if "://" in host:
        return open_publisher(host)
    return open_publisher(f"redis://{f'[{host}]' if ':' in host else host}:{config.redis_port}")


@lru_cache(maxsize=64)
def open_publisher(url: str) -> Publisher:
    """Return what publishes live events at ``url``, one for each URL and process: Redis, or what a plug-in offers.

    Raises `PartUnknown`, and `PartMissing` for a driver that is not installed.
    """
    scheme = urlsplit(url).scheme
    if scheme in ("redis", "rediss", "unix"):
        from ropewalk.messaging.redis.publisher import RedisPublisher  # noqa: PLC0415  loads the driver only when used

        return RedisPublisher(url)
    plugs = metadata.entry_points(group="ropewalk.publishers")
    for plug in plugs:
        if plug.name == scheme:
            make: Any = plug.load()
            return make(url)
    raise PartUnknown("publisher", url, [*_KNOWN, *(f"{plug.name}://" for plug in plugs)])
