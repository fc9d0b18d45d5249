"""A final answer by a schema: how the model is made to give it, and how it is read."""

import json
from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import TypeAdapter, ValidationError

from ropewalk.agent.signatures import GivenSchema
from ropewalk.agent.tools import Tool
from ropewalk.contracts.messages import LLMMessage

OutputMode = Literal["native", "tool", "prompted"]
"""native: the provider holds the model to the schema; tool: the answer is the call of a tool; prompted: the model is
asked to keep to it."""
FINAL = "final_answer"


class OutputSchema:
    """The type that a final answer has."""

    def __init__(self, type_: Any, mode: OutputMode = "native") -> None:
        if mode not in ("native", "tool", "prompted"):
            raise ValueError(f"output_mode is 'native', 'tool' or 'prompted', not {mode!r}.")
        self.name = getattr(type_, "__name__", str(type_))
        self.mode = mode
        self._adapter: TypeAdapter[Any] = TypeAdapter(type_)
        self.schema: Mapping[str, Any] = _from_its_root(self._adapter.json_schema())
        if self.schema.get("type") != "object":
            raise TypeError(
                f"An output schema is an object: a pydantic model, a dataclass, a TypedDict; not {type_!r}."
            )

    @property
    def native(self) -> Mapping[str, Any] | None:
        """The schema as a request carries it, where the provider sees to it."""
        return self.schema if self.mode == "native" else None

    def instruction(self) -> str:
        """Return what the system prompt says about it; empty where it need not."""
        if self.mode == "native":
            return ""
        if self.mode == "tool":
            return f"When you have the answer, give it by calling {FINAL}; do not answer in text."
        schema = json.dumps(self.schema, ensure_ascii=False)
        return f"When you have the answer, give it as one JSON object by this schema, and nothing else:\n{schema}"

    def tool(self) -> "Tool[..., Any]":
        """Return the tool by which the answer is given."""
        return Tool(
            name=FINAL,
            description="Give the final answer. This ends the conversation.",
            fn=_never_called,
            takes=GivenSchema(schema=self.schema),
            effects="none",
        )

    def read(self, answer: str | Mapping[str, Any]) -> Any:
        """Return the answer as its type. Raises ValueError with the reason, in words for the model."""
        try:
            if isinstance(answer, str):
                return self._adapter.validate_json(_object_in(answer))
            return self._adapter.validate_json(json.dumps(answer))
        except ValidationError as error:
            told = [
                f"{'.'.join(map(str, one['loc'])) or 'answer'}: {one['msg']}"
                for one in error.errors(include_url=False, include_context=False, include_input=False)
            ]
            raise ValueError(". ".join(told)) from None

    def plain(self, value: Any) -> Any:
        """Return a read answer as plain data."""
        return self._adapter.dump_python(value, mode="json")

    def revive(self, data: Any) -> Any:
        """Return the answer that `plain` made plain; the data itself where it is none."""
        try:
            return self._adapter.validate_json(json.dumps(data))
        except (ValidationError, TypeError, ValueError):
            return data


def complaint(schema: OutputSchema, why: str) -> LLMMessage:
    """Return what a model is told whose answer does not fit."""
    how = f"Call {FINAL} with" if schema.mode == "tool" else "Answer again with"
    return LLMMessage(
        role="user",
        content=f"That answer does not fit the schema. {why}. {how} one JSON object that does, and nothing else.",
        should_show_to_user=False,
    )


def _from_its_root(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a type that contains itself as the object that it is; pydantic writes a mere reference."""
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    return {**schema["$defs"][name], "$defs": schema["$defs"]} if name in schema.get("$defs", {}) else schema


def _object_in(text: str) -> str:
    """Return the JSON object of a text that may wrap it in a fence or in words."""
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def _never_called(**arguments: Any) -> Any:
    return cast("Any", arguments)
