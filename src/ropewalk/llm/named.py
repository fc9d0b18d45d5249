"""Reads the name of a model: ``provider:model``, with the address of another server behind it if there is one."""

import re
from dataclasses import dataclass

from ropewalk.errors import PartUnknown

NAME = re.compile(r"(?P<scheme>[a-z][\w.+-]*):(?P<model>.+?)(?:@(?P<base_url>https?://\S+))?")
EXAMPLES = ("openai:gpt-5.4-mini", "openai:llama3@http://localhost:11434/v1", "anthropic:claude-sonnet-5")

BY_KEY = {"OPENAI_API_KEY": "openai:gpt-5.4-mini", "ANTHROPIC_API_KEY": "anthropic:claude-sonnet-5"}
"""The model that is meant where only a key is given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelName:
    scheme: str
    """Whose model: ``openai``, ``openai-responses``, ``anthropic``, or what a plug-in offers."""
    model: str
    base_url: str | None


def read_model_name(text: str) -> ModelName:
    """Return the parts of a name. Raises `PartUnknown`."""
    found = NAME.fullmatch(text.strip())
    if found is None:
        raise PartUnknown("model", text, EXAMPLES)
    return ModelName(scheme=found["scheme"], model=found["model"], base_url=found["base_url"])
