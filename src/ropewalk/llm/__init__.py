"""Language models: plugs for `ropewalk.contracts.model`, and what wraps them. Importing it loads no SDK."""

from ropewalk.contracts.limits import Limits
from ropewalk.llm.anthropic import AnthropicClient
from ropewalk.llm.circuit import CircuitBreaker
from ropewalk.llm.defaults import with_default_retries
from ropewalk.llm.fallback import Fallback
from ropewalk.llm.metered import Metered
from ropewalk.llm.openai import OpenAIClient
from ropewalk.llm.paced import Paced
from ropewalk.llm.prices import Price, Prices
from ropewalk.llm.retrying import Retrying, RetryPolicy
from ropewalk.llm.scripted import ScriptedModel, ScriptedReply

__all__ = [
    "AnthropicClient",
    "CircuitBreaker",
    "Fallback",
    "Limits",
    "Metered",
    "OpenAIClient",
    "Paced",
    "Price",
    "Prices",
    "RetryPolicy",
    "Retrying",
    "ScriptedModel",
    "ScriptedReply",
    "with_default_retries",
]
