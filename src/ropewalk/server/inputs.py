"""What a run of a graph may begin with: the schema that is told to callers, and the state that their input makes."""

from collections.abc import Mapping
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from ropewalk.core.graph import Graph
from ropewalk.errors import InputInvalid, Problem, StateMissing, did_you_mean
from ropewalk.server.example import example_of


class Inputs:
    """The input of one graph; what it leaves out is as the graph's own state object had it when this was made."""

    def __init__(self, graph: Graph[Any]) -> None:
        self._graph = graph
        self._class: type[BaseModel] | None = graph.drawing.state_class
        own = graph.state if self._class is not None else None
        self._held: dict[str, Any] = {} if own is None else from_json(own.model_dump_json(warnings=False))
        self._schema: dict[str, Any] | None = None

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of the input."""
        if self._schema is None:
            self._schema = self._made_schema()
        return self._schema

    def _made_schema(self) -> dict[str, Any]:
        if self._class is None:
            return {"type": "object", "properties": {}, "additionalProperties": False}
        schema = self._class.model_json_schema()
        schema["additionalProperties"] = False
        needed = [name for name in schema.get("required", ()) if name not in self._held]
        schema.pop("required", None)
        return schema | ({"required": needed} if needed else {})

    def example(self) -> dict[str, Any]:
        """Return a whole input: the values that are used where it leaves them out, and made ones where it must not."""
        schema = self.schema()
        fields = schema.get("properties", {})
        usual = {name: field["default"] for name, field in fields.items() if "default" in field}
        return {**example_of(schema), **usual, **self._held}

    def state_of(self, given: Mapping[str, Any] | None) -> BaseModel | None:
        """Return the initial state, or None for a graph without one. Raises `InputInvalid`."""
        if self._class is None:
            if given:
                raise self._invalid(Problem(next(iter(given)), "this graph has no state, so it takes no input"))
            return None
        fields = self._class.model_fields
        unknown = [
            Problem(name, f"no such field.{did_you_mean(name, fields)}") for name in given or () if name not in fields
        ]
        if unknown:
            raise self._invalid(*unknown)
        try:
            return self._class.model_validate_json(to_json({**self._held, **(given or {})}))
        except ValidationError as error:
            raise self._invalid(*_problems(error)) from error
        except StateMissing as error:
            raise self._invalid(*(Problem(name, "is needed") for name in error.fields)) from error

    def _invalid(self, *problems: Problem) -> InputInvalid:
        return InputInvalid(self._graph.name, problems)


def _problems(error: ValidationError) -> list[Problem]:
    """Say where and why, and never what was sent: that is the caller's alone."""
    found = cast("list[dict[str, Any]]", error.errors(include_url=False, include_input=False, include_context=False))
    return [Problem(".".join(map(str, one["loc"])) or "input", str(one["msg"])) for one in found[:20]]
