"""Examples of what a schema asks for."""

import datetime
import ipaddress
import uuid
from enum import Enum
from typing import Annotated, Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from ropewalk import Graph, GraphState, History
from ropewalk.server.example import example_of
from ropewalk.server.inputs import Inputs


class Colour(Enum):
    RED = "red"


class Place(BaseModel):
    name: str = Field(min_length=3, max_length=12)
    lat: float = Field(ge=-90, le=90)
    inside: "Place | None"


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Order(GraphState):
    log: History[str]
    note: str = "none"
    size: int
    even: Annotated[int, Field(multiple_of=2, gt=6)]
    share: Annotated[float, Field(gt=0, lt=0.5)]
    code: Annotated[str, Field(pattern="^[A-Z]{3}-[0-9]$", examples=["ABC-1"])]
    slug: Annotated[str, Field(pattern="^[a-z]+$", min_length=6)]
    colour: Colour
    place: Place
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    pair: tuple[int, str]
    three: Annotated[list[Place], Field(min_length=3)]
    some: Annotated[set[int], Field(min_length=2)]
    prices: Annotated[dict[str, float], Field(min_length=1)]
    day: datetime.date
    moment: datetime.datetime
    number: uuid.UUID
    host: ipaddress.IPv4Address
    maybe: int | None
    anything: Any


def test_an_example_of_a_graphs_input_has_every_field_it_needs_and_starts_a_run() -> None:
    graph = Graph(Order, name="order")
    graph.add_node(lambda: {"log": "done"}, name="do")
    graph.add_edge("__start__", "do").add_edge("do", "__end__")
    inputs = Inputs(graph)
    example, schema = inputs.example(), inputs.schema()
    jsonschema.validate(example, schema, format_checker=jsonschema.FormatChecker())
    assert {*schema["required"], "note"} <= {*example}
    assert inputs.state_of(example) is not None
    assert (example["note"], example["code"], example["share"]) == ("none", "ABC-1", 0.25)


def test_a_graphs_own_values_go_before_made_ones() -> None:
    class Talk(GraphState):
        topic: str
        words: int

    graph = Graph(Talk(topic="ropes", words=5), name="talk")
    assert Inputs(graph).example() == {"topic": "ropes", "words": 5}


@given(
    st.integers(-1000, 1000),
    st.integers(0, 50),
    st.integers(1, 7),
    st.sampled_from(["integer", "number"]),
    st.booleans(),
)
def test_a_number_is_within_its_bounds(low: int, room: int, step: int, kind: str, above: bool) -> None:
    names = ("exclusiveMinimum", "exclusiveMaximum") if above else ("minimum", "maximum")
    schema = {"type": kind, names[0]: low, names[1]: low + 2 * step + room, "multipleOf": step}
    jsonschema.validate(example_of(schema), schema)


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_text_is_as_long_as_is_asked(shortest: int, more: int) -> None:
    schema = {"type": "string", "minLength": shortest, "maxLength": shortest + more}
    jsonschema.validate(example_of(schema), schema)


@pytest.mark.parametrize("pattern", ["^[a-z]{8}$", r"^\d{5}$", "^[A-Z]{2}$", r"^\d{4}-\d{2}-\d{2}$", "^.+@.+$"])
def test_a_plain_pattern_is_met(pattern: str) -> None:
    schema = {"type": "string", "pattern": pattern}
    jsonschema.validate(example_of(schema), schema)


def test_a_schema_that_needs_itself_without_end_has_no_example() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}, "required": ["next"]}
    assert example_of({"$ref": "#/$defs/Node", "$defs": {"Node": node}}) is None
