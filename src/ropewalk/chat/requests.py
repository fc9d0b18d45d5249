"""What pods ask of workers: a user's message on its way, as the contract writes it."""

import secrets
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import from_json, to_json

from ropewalk.errors import InvalidSession
from ropewalk.errors.chat import RequestUnreadable
from ropewalk.ids import checked_token

MAX_MESSAGE_CHARACTERS = 1_000_000


class ChatContext(BaseModel):
    """What a client may say beside the message; what it says more is kept, and reaches the graph as it is."""

    model_config = ConfigDict(extra="allow")

    ai_provider: str | None = Field(None, max_length=200)
    model: str | None = Field(None, max_length=200)
    temperature: float | None = Field(None, ge=0, le=10, allow_inf_nan=False)
    max_tokens: int | None = Field(None, ge=1, le=100_000_000)
    system_prompt: str | None = None
    conversation_history: list[dict[str, Any]] | None = None
    graph: str | None = Field(None, max_length=200, description="Who is to answer, where several graphs are served.")

    @field_validator("ai_provider", "model", "max_tokens", "system_prompt", "graph", mode="before")
    @classmethod
    def _unsaid(cls, given: Any) -> Any:
        """Take for nothing what languages without nothing write in its place."""
        return None if given in ("", 0) else given

    def told(self) -> dict[str, Any]:
        """Return what was said, without what was not."""
        return self.model_dump(exclude_none=True)


class WorkflowRequest(BaseModel):
    """A message on its way to whoever answers it."""

    model_config = ConfigDict(extra="ignore")

    message_id: str = Field(min_length=1, max_length=128)
    session_id: str = Field(min_length=1, max_length=128)
    user_id: str = Field(min_length=1, max_length=200)
    message: str = Field(max_length=MAX_MESSAGE_CHARACTERS)
    context: ChatContext = Field(default_factory=lambda: ChatContext.model_validate({}))
    timestamp: str | None = Field(None, max_length=100)
    correlation_id: str | None = Field(None, max_length=200)

    @field_validator("context", mode="before")
    @classmethod
    def _unsaid(cls, given: Any) -> Any:
        return {} if given is None else given

    def body(self) -> bytes:
        """Return it as it travels."""
        told = {**self.model_dump(exclude={"context"}, exclude_none=True), "context": self.context.told()}
        return to_json(told)


def read_request(body: bytes) -> WorkflowRequest:
    """Return the request in a body. Raises `RequestUnreadable`, which tells nothing of what stands in it."""
    try:
        return WorkflowRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise RequestUnreadable(where, first["msg"]) from None


class Address(NamedTuple):
    """Who waits for the answer to a request, readable or not."""

    session_id: str
    message_id: str
    correlation_id: str


def address_in(session_id: str, body: bytes) -> Address | None:
    """Return who waits for what came on a session's subject; None where no message is named."""
    try:
        told: Any = from_json(body)
        found = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
        message_id = checked_token("The message id", found.get("message_id"))
        checked_token("The session id", session_id)
    except (ValueError, InvalidSession):
        return None
    said = found.get("correlation_id")
    return Address(session_id, message_id, said if isinstance(said, str) and said else message_id)


def new_message_id() -> str:
    return f"msg_{secrets.token_hex(12)}"


def now_text() -> str:
    """Return the time as the contract writes it."""
    seconds, milliseconds = divmod(time.time_ns() // 1_000_000, 1000)
    return f"{_second_text(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=1)
def _second_text(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
