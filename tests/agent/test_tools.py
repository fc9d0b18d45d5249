"""Tools: what a model is told of a function, and what becomes of the arguments it gives."""

import asyncio
import enum
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Optional

import pytest
from pydantic import BaseModel, Field

from ropewalk import Context, Retry, Tool, ToolContext, ToolLoopOptions, tool
from ropewalk.errors import ToolInvalid


class Address(BaseModel):
    street: str
    number: int = 1


class Order(BaseModel):
    """What somebody wants."""

    item: str = Field(description="what is wanted")
    to: Address
    gifts: list[Address] = []


class Size(enum.StrEnum):
    small = "s"
    large = "l"


@dataclass
class Point:
    x: float
    y: float = 0.0


def read(made: Tool[..., Any], **arguments: Any) -> dict[str, Any]:
    return made.takes.read(arguments)


def test_a_tool_is_still_its_function() -> None:
    @tool("Add two numbers")
    def add(a: int, b: int = 2) -> int:
        """What it says."""
        return a + b

    @tool("Add later")
    async def add_later(a: int) -> int:
        return a

    assert add(1) == 3
    assert asyncio.run(add_later(4)) == 4
    assert (add.__name__, add.__doc__) == ("add", "What it says.")
    assert list(inspect.signature(add).parameters) == ["a", "b"]


def test_a_tool_without_words_takes_its_docstring() -> None:
    @tool
    def look(where: str) -> str:
        """Look somewhere.

        And say what is there.
        """
        return where

    @tool(name="peek")
    def other(where: str) -> str:
        return where

    assert (look.name, look.description) == ("look", "Look somewhere.")
    assert (other.name, other.description) == ("peek", "")


def test_a_schema_tells_all_that_the_types_say() -> None:
    @tool("Everything")
    def everything(
        text: str,
        mode: Literal["fast", "slow"],
        order: Order,
        size: Size = Size.small,
        many: list[int] = [],  # noqa: B006
        maybe: Optional[float] = None,  # noqa: UP045
        either: int | str = 3,
        table: dict[str, list[bool]] | None = None,
        point: Point = Point(1.0),  # noqa: B008
        limited: Annotated[int, Field(ge=1, le=9)] = 5,
        anything: Any = None,
    ) -> None: ...

    schema = everything.spec.parameters
    properties = schema["properties"]
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["text", "mode", "order"]
    assert properties["mode"]["enum"] == ["fast", "slow"]
    assert properties["many"] == {"type": "array", "items": {"type": "integer"}, "default": []}
    assert properties["maybe"] == {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None}
    assert properties["limited"] == {"type": "integer", "minimum": 1, "maximum": 9, "default": 5}
    assert properties["size"]["default"] == "s"
    assert properties["point"]["default"] == {"x": 1.0, "y": 0.0}
    order = schema["$defs"]["Order"]
    assert order["description"] == "What somebody wants."
    assert order["properties"]["item"] == {"type": "string", "description": "what is wanted"}
    assert "title" not in order
    assert schema["$defs"]["Address"]["required"] == ["street"]


def test_one_of_several_is_told_in_a_word_that_every_provider_takes() -> None:
    class Cat(BaseModel):
        kind: Literal["cat"]
        discriminator: str = ""

    class Dog(BaseModel):
        kind: Literal["dog"]

    def pet(animal: Annotated[Cat | Dog, Field(discriminator="kind")]) -> None: ...

    schema = tool("Pet")(pet).spec.parameters
    assert schema["properties"]["animal"] == {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}
    assert "discriminator" in schema["$defs"]["Cat"]["properties"]


def test_a_property_called_title_stays() -> None:
    class Book(BaseModel):
        title: str

    @tool("Find")
    def find(title: str, book: Book) -> None: ...

    assert set(find.spec.parameters["properties"]) == {"title", "book"}
    assert find.spec.parameters["$defs"]["Book"]["properties"] == {"title": {"type": "string"}}


@pytest.mark.parametrize(
    "doc",
    [
        """Search.

        Args:
            query: What to look for,
                in plain words.
            limit (int): How many.
        """,
        """Search.

        :param query: What to look for,
            in plain words.
        :param int limit: How many.
        """,
        """Search.

        Parameters
        ----------
        query : str
            What to look for,
            in plain words.
        limit
            How many.

        Returns
        -------
        nothing
            at all
        """,
    ],
)
def test_a_docstring_describes_parameters_in_three_ways(doc: str) -> None:
    def search(query: str, limit: int = 5) -> None: ...

    search.__doc__ = doc
    properties = tool(search).spec.parameters["properties"]
    assert properties["query"]["description"] == "What to look for, in plain words."
    assert properties["limit"]["description"] == "How many."


def test_an_annotation_describes_before_the_docstring() -> None:
    @tool
    def search(query: Annotated[str, "the words"], limit: Annotated[int, Field(description="the most")] = 5) -> None:
        """Search.

        Args:
            query: not this
            limit: nor this
        """

    properties = search.spec.parameters["properties"]
    assert properties["query"] == {"type": "string", "description": "the words"}
    assert properties["limit"]["description"] == "the most"


def test_state_and_context_and_hidden_parameters_are_not_told() -> None:
    @tool("Book", hidden_params=["user_id"])
    async def book(day: str, user_id: int, state: Any = None, ctx: Any = None) -> None: ...

    @tool("Book")
    async def book_too(day: str, where: ToolContext, whence: Context) -> None: ...

    assert list(book.spec.parameters["properties"]) == ["day"]
    assert dict(book.takes.injected) == {"state": "state", "ctx": "ctx"}
    assert book.missing({}) == ["user_id"]
    assert book.missing({"user_id": 1}) == []
    assert dict(book_too.takes.injected) == {"where": "ctx", "whence": "ctx"}


def test_arguments_become_what_the_types_say() -> None:
    @tool("Take")
    def take(order: Order, size: Size, point: Point, when: Literal["now", "later"]) -> None: ...

    got = read(
        take,
        order={"item": "rope", "to": {"street": "Quay"}},
        size="l",
        point={"x": 1},
        when="now",
    )
    assert got["order"] == Order(item="rope", to=Address(street="Quay"))
    assert got["size"] is Size.large
    assert got["point"] == Point(1.0)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"count": "42"}, {"count": 42}),
        ({"count": "7.0"}, {"count": 7}),
        ({"count": 7.0}, {"count": 7}),
        ({"share": "0.5"}, {"share": 0.5}),
        ({"sure": "yes"}, {"sure": True}),
        ({"sure": "FALSE"}, {"sure": False}),
        ({"names": '["a", "b"]'}, {"names": ["a", "b"]}),
        ({"names": "['a', 'b']"}, {"names": ["a", "b"]}),
        ({"table": '{"a": 1}'}, {"table": {"a": 1}}),
        ({"table": "{'a': 1}"}, {"table": {"a": 1}}),
        ({"where": '{"street": "Quay", "number": "3"}'}, {"where": Address(street="Quay", number=3)}),
        ({"count": None}, {}),
        ({"maybe": None}, {"maybe": None}),
        ({"text": '"quoted"'}, {"text": '"quoted"'}),
        ({"text": "[1, 2]"}, {"text": "[1, 2]"}),
    ],
)
def test_what_models_often_get_slightly_wrong_is_understood(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    @tool("Lenient")
    def lenient(
        count: int = 1,
        share: float = 1.0,
        sure: bool = False,
        names: list[str] = [],  # noqa: B006
        table: dict[str, int] = {},  # noqa: B006
        where: Address | None = None,
        maybe: int | None = 1,
        text: str = "",
    ) -> None: ...

    assert read(lenient, **given) == wanted


def test_structures_as_text_are_understood_at_any_depth() -> None:
    @tool("Deep")
    def deep(orders: list[Order]) -> None: ...

    got = read(deep, orders=[{"item": "rope", "to": '{"street": "Quay"}', "gifts": "[]"}])
    assert got["orders"][0].to.street == "Quay"
    assert read(deep, orders='[{"item": "rope", "to": "{\\"street\\": \\"Quay\\"}"}]')["orders"][0].to.street == "Quay"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"count": 3.7}, "count: .*fractional"),
        ({"count": "many"}, "count: .*'many'"),
        ({}, "count: is missing"),
        ({"count": 1, "cuont": 2}, "cuont: there is no such argument.* Did you mean 'count'"),
        ({"count": None}, "count: .*None"),
        ({"count": 1, "names": "red, green"}, "names: .*'red, green'"),
        ({"count": 1, "where": {"street": 5}}, "where.street: .*5"),
        ({"count": 1, "names": [1, "[]"]}, "names.0"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(given: dict[str, Any], told: str) -> None:
    @tool("Strict")
    def strict(count: int, names: list[str] = [], where: Address | None = None) -> None: ...  # noqa: B006

    with pytest.raises(ValueError, match=told):
        read(strict, **given)


@pytest.mark.parametrize(
    ("fn", "why"),
    [
        (lambda *words: None, r"\*words"),
        (lambda **more: None, r"\*\*more"),
        (lambda a, /: None, "'a' has no name"),
    ],
)
def test_what_a_model_cannot_call_is_refused_when_it_is_made(fn: Any, why: str) -> None:
    with pytest.raises(ToolInvalid, match=why):
        tool(name="it")(fn)


def test_a_type_that_has_no_schema_is_refused() -> None:
    class Socket:
        pass

    def send(to: Socket) -> None: ...

    with pytest.raises(ToolInvalid, match="hide the parameter"):
        tool(send)
    assert tool("Send", hidden_params="to")(send).spec.parameters["properties"] == {}


def test_a_type_that_can_be_checked_and_not_be_told_is_refused_too() -> None:
    def send(done: Callable[[], None]) -> None: ...

    with pytest.raises(ToolInvalid, match="hide the parameter"):
        tool(send)


def test_settings_that_make_no_sense_are_refused() -> None:
    def send() -> None: ...

    with pytest.raises(ToolInvalid, match="timeout"):
        tool("x", timeout=0)(send)
    with pytest.raises(ToolInvalid, match="'twice'"):
        tool("x", effects="twice")(send)  # type: ignore[call-overload]  the mistake
    with pytest.raises(ToolInvalid, match="'nobody', which it does not take"):
        tool("x", hidden_params=["nobody"])(send)
    with pytest.raises(ToolInvalid, match="letters"):
        tool("x", name="send it")(send)
    with pytest.raises(ToolInvalid, match="'tell' or 'raise'"):
        tool("x", on_error="rise")(send)  # type: ignore[call-overload]  the mistake


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("max_iterations", 0),
        ("max_iterations", "5"),
        ("max_iterations", None),
        ("max_tokens", -1),
        ("max_parallel_tools", 0),
        ("max_tool_calls", 1.5),
        ("max_failed_rounds", -1),
        ("output_retries", True),
        ("timeout_seconds", 0),
        ("approval_seconds", "soon"),
        ("on_error", "rise"),
    ],
)
def test_options_that_make_no_sense_are_refused_where_they_are_given(option: str, value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=option):
        ToolLoopOptions(**{option: value})


def test_effects_left_out_depend_on_whether_a_person_guards_the_tool() -> None:
    def send() -> None: ...

    assert tool("x")(send).effects == "idempotent"
    assert tool("x", pause_before_execution=True)(send).effects == "once"
    assert tool("x", pause_before_execution=True, effects="none")(send).effects == "none"
    assert tool("x", retry=Retry(2))(send).retry.attempts == 2


def test_a_method_is_a_tool_of_its_object() -> None:
    class Shop:
        def __init__(self, name: str) -> None:
            self.name = name

        @tool("Buy something")
        async def buy(self, what: str) -> str:
            return f"{what} from {self.name}"

    shop = Shop("Ann's")
    assert shop.buy.spec.parameters["required"] == ["what"]
    assert asyncio.run(shop.buy("rope")) == "rope from Ann's"
    assert read(shop.buy, what="rope") == {"what": "rope"}
