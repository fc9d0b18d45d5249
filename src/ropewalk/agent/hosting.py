"""What a loop needs of where it runs: the same for an agent and for those that it asks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ropewalk.agent.callbacks import Callback
from ropewalk.agent.streaming import StreamingConfig
from ropewalk.contracts.model import Model
from ropewalk.contracts.publisher import Publisher
from ropewalk.errors import PartUnknown

OpensModels = Callable[[str], Model]
Prepares = Callable[[Model], Model]
OpensPublishers = Callable[[StreamingConfig], Publisher]


def _no_model(name: str) -> Model:
    raise PartUnknown("model", name, ["a client, such as OpenAIClient()"])


def _as_it_is(model: Model) -> Model:
    return model


def _no_publisher(config: StreamingConfig) -> Publisher:
    raise PartUnknown("publisher", f"redis://{config.redis_host}", [])


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """How names become parts, and who is told what."""

    open_model: OpensModels = _no_model
    prepare: Prepares = _as_it_is
    """What is done with a model that was handed over as it is."""
    open_publisher: OpensPublishers = _no_publisher
    on_message: Callback | None = None
    on_tool_use: Callback | None = None
    hidden_params: Mapping[str, Any] = field(default_factory=dict[str, Any])
