"""What a model gets that is handed over as it is: to be asked again when that may help."""

from ropewalk.contracts.model import Model
from ropewalk.llm.anthropic import AnthropicClient
from ropewalk.llm.openai import OpenAIClient
from ropewalk.llm.retrying import Retrying


def with_default_retries(model: Model) -> Model:
    """Return a bare client in `Retrying`; whatever wraps one already, or is a stranger's or a script, as it is."""
    return Retrying(model) if isinstance(model, OpenAIClient | AnthropicClient) else model
