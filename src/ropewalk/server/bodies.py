"""The JSON bodies of requests, and how one is read: limited in size and depth, and never told of in an error."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from ropewalk.errors import InputInvalid, MediaTypeRefused, Problem, RequestMalformed, RequestTooLarge

B = TypeVar("B", bound=BaseModel)
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_JSON = "application/json"


@dataclass(frozen=True, kw_only=True, slots=True)
class BodyLimits:
    """How large a body may be."""

    bytes: int = 16 * 1024 * 1024
    depth: int = 100
    """How many lists and objects may stand in each other."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StartBody(_Body):
    """Starts a run."""

    input: dict[str, Any] | None = Field(
        None, description="The initial state; fields that are left out are as the graph has them."
    )
    run_id: str | None = Field(None, description="The run's id; a new one if left out.", max_length=200)
    session: str | None = Field(
        None, description="The conversation that the run belongs to.", min_length=1, max_length=200
    )
    on_busy: Literal["reject", "queue", "interrupt", "parallel"] = Field(
        "parallel", description="What happens when the session has a run under way."
    )
    webhook: str | None = Field(
        None, description="An https address that is told when the run pauses or ends.", max_length=2_000
    )


class AnswerBody(_Body):
    """Answers a pause."""

    value: Any = Field(None, description="The answer: any JSON.")
    by: str | None = Field(None, description="Who answers, where the server does not know.", max_length=200)


class EditBody(_Body):
    """Writes to a run's state."""

    updates: dict[str, Any] = Field(description="Field -> value. Values go through the fields' buffers.")
    replace: bool = Field(False, description="True: values replace what the fields hold.")
    by: str | None = Field(None, description="Who edits, where the server does not know.", max_length=200)


class ForkBody(_Body):
    """Starts a run that begins with another one's entries."""

    at: int | None = Field(None, description="The last entry that both have; the newest if left out.")
    updates: dict[str, Any] | None = Field(None, description="What is written to the state there.")


class RetryBody(_Body):
    """Does a step again."""

    step: str | None = Field(None, description="A step's id or a node's name; left out: what failed, in this run.")
    updates: dict[str, Any] | None = Field(None, description="What is written to the state before it.")


class CancelBody(_Body):
    """Ends a run."""

    reason: str | None = Field(None, description="Why; it is kept in the log.", max_length=10_000)


async def read_body(request: Request, model: type[B], limits: BodyLimits) -> B:
    """Return the request's body as ``model``; an empty one is ``{}``.

    Raises `MediaTypeRefused`, `RequestTooLarge`, `RequestMalformed` for what is no JSON, `InputInvalid` for JSON that
    does not fit.
    """
    return fitted(await read_bytes(request, limits), model, limits)


def fitted(body: bytes, model: type[B], limits: BodyLimits) -> B:
    """Return a body's JSON as ``model``; an empty one is ``{}``. Raises `RequestMalformed`, `InputInvalid`."""
    given: Any = parsed(body, limits)
    if issubclass(model, EditBody) and isinstance(given, dict) and "updates" not in given:
        given = cast("Any", {"updates": given})  # the short form: the fields themselves
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = cast(
            "list[dict[str, Any]]", error.errors(include_url=False, include_input=False, include_context=False)
        )
        problems = [Problem(".".join(map(str, one["loc"])) or "body", str(one["msg"])) for one in found[:20]]
        raise InputInvalid("", problems) from None


async def read_bytes(request: Request, limits: BodyLimits) -> bytes:
    """Return the body of a request that says it is JSON, as long as it is not too large."""
    return await whole_body(request.headers, request.receive, limits)


async def whole_body(headers: Mapping[str, str], receive: Receive, limits: BodyLimits) -> bytes:
    """Do what `read_bytes` does, for a request that is only its headers, by names in lower case, and what comes."""
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.bytes:
        raise RequestTooLarge("The body", limits.bytes)
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":  # nobody is there to be told; it is no fault of this server either
            raise RequestMalformed("The client has left before its request was whole.")
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > limits.bytes:
            raise RequestTooLarge("The body", limits.bytes)
        pieces.append(piece)
        more = message.get("more_body", False)
    declared = headers.get("content-type", "").partition(";")[0].strip().lower()
    if size and declared != _JSON and not declared.endswith("+json"):
        raise MediaTypeRefused(declared[:100])
    return b"".join(pieces)


def parsed(body: bytes, limits: BodyLimits) -> Any:
    """Return the JSON of a body; an empty one is ``{}``. Raises `RequestMalformed`."""
    if not body.strip():
        return {}
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        where = str(error)
        raise RequestMalformed(
            f"The body is no JSON: {where}." if len(where) < 200 else "The body is no JSON."
        ) from None
    if body.count(b"[") + body.count(b"{") > limits.depth and _depth(value, limits.depth) > limits.depth:
        raise RequestMalformed(f"The body's lists and objects stand in each other more than {limits.depth} deep.")
    return value


def _depth(value: Any, most: int) -> int:
    """Return how deep a value is, or ``most`` + 1 when it is deeper than that."""
    level: list[Any] = [value]
    for depth in range(most + 1):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += cast("dict[str, Any]", one).values()
            elif isinstance(one, list):
                below += cast("list[Any]", one)
        level = [one for one in below if isinstance(one, dict | list)]
        if not below:
            return depth
    return most + 1
