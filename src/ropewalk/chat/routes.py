"""The routes of a pod, as the contract names them, and what was added to them.

A message that was taken is in the store; telling the workers of it happens beside, and again when it did not work.
"""

import asyncio
import logging
import socket
import time
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from ropewalk.chat.closing import Closing
from ropewalk.chat.desk import Accepted, ChatDesk, keyed_message_id
from ropewalk.chat.frames import parse_cursor
from ropewalk.chat.pod import Pod
from ropewalk.chat.relay import Relay
from ropewalk.chat.requests import MAX_MESSAGE_CHARACTERS, ChatContext, WorkflowRequest, new_message_id, now_text
from ropewalk.chat.stream import ChatStream
from ropewalk.contracts.chat_requests import ChatRequests
from ropewalk.contracts.pod_bus import PodBus
from ropewalk.errors import BusUnavailable, RequestMalformed, RequestUnreadable
from ropewalk.server.answering import Json
from ropewalk.server.bodies import BodyLimits, parsed, read_bytes
from ropewalk.server.owned import Caller
from ropewalk.server.routes import MAX_KEY_LENGTH, Doorkeeper

log = logging.getLogger("ropewalk")

_AGAIN_SECONDS = (0.25, 10.0)
_TRIES = 60

UserId = Annotated[str, Query(min_length=1, max_length=200, description="Whose session it is.")]
SessionId = Annotated[str, Query(min_length=1, max_length=128, description="The conversation.")]
MessageId = Annotated[str, Path(max_length=128)]


class SendBody(BaseModel):
    """A message of a user."""

    model_config = ConfigDict(extra="ignore")

    session_id: str = Field(min_length=1, max_length=128)
    user_id: str = Field(min_length=1, max_length=200)
    message: str = Field(min_length=1, max_length=MAX_MESSAGE_CHARACTERS)
    ai_provider: str | None = Field(None, max_length=200)
    model: str | None = Field(None, max_length=200)
    context: ChatContext | None = None


class DecisionBody(BaseModel):
    """The answer to what a message asks."""

    value: Any = None


class Announcing:
    """Tells workers of messages, again and again until the bus has them."""

    def __init__(self, requests: ChatRequests) -> None:
        self._requests = requests
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, request: WorkflowRequest) -> None:
        """Tell of a message, beside."""
        task = asyncio.create_task(self._tell(request), name=f"ropewalk: tells of {request.message_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, request: WorkflowRequest) -> None:
        wait, longest = _AGAIN_SECONDS
        for _ in range(_TRIES):
            try:
                await self._requests.publish(request.session_id, request.body(), message_id=request.message_id)
            except BusUnavailable as trouble:
                log.debug("workers are not told yet: %s", trouble)
                await asyncio.sleep(wait)
                wait = min(longest, wait * 2)
            else:
                return

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait({*self._tasks})


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatDoors:
    """What the routes of a pod ask."""

    desk: ChatDesk
    pod: Pod
    relay: Relay
    closing: Closing
    announcing: Announcing
    bus: PodBus
    keeper: Doorkeeper
    limits: BodyLimits
    stuck_seconds: float | None = None
    """How long a client may take nothing; None: as long as streams let it."""


def add_chat_routes(router: APIRouter, doors: ChatDoors) -> None:
    """Put every route of a pod on ``router``."""
    _add_messages(router, doors)
    _add_sessions(router, doors)
    _add_looks(router, doors)


def _add_messages(router: APIRouter, doors: ChatDoors) -> None:
    """Put what is done with one message on ``router``."""
    desk, keeper, limits = doors.desk, doors.keeper, doors.limits

    @router.post("/api/chat", status_code=202, summary="Send a message")
    async def send(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        caller: Annotated[Caller, Depends(keeper.admit)],
        idempotency_key: Annotated[str | None, Header(max_length=MAX_KEY_LENGTH)] = None,
    ) -> Response:
        """Take a message; it is durable when 202 is sent. The answer goes to every stream of the session."""
        given = await _read(request, SendBody, limits)
        if idempotency_key is not None and not idempotency_key.strip():
            raise RequestUnreadable("Idempotency-Key", "it is empty")
        asked = _request_of(given, idempotency_key)
        accepted = await desk.send(caller, asked, key=idempotency_key)
        doors.relay.expect(accepted.message_id)
        doors.pod.expect(asked.session_id, accepted.message_id)
        if accepted.is_new:
            doors.announcing.tell(asked.model_copy(update={"message_id": accepted.message_id}))
        return _accepted(accepted, asked)

    @router.post("/api/chat/{message_id}/cancel", status_code=202, summary="Stop an answer for good")
    async def cancel(  # pyright: ignore[reportUnusedFunction]
        message_id: MessageId, caller: Annotated[Caller, Depends(keeper.admit)]
    ) -> Response:
        """Cancel the run of a message; its streams are told ``cancelled``."""
        await desk.cancel(caller, message_id)
        await doors.closing.close(message_id)
        return Json({"message_id": message_id, "status": "cancelled"}, 202)

    @router.post("/api/chat/{message_id}/answers/{pause_id}", status_code=202, summary="Answer what a message asks")
    async def answer(  # pyright: ignore[reportUnusedFunction]
        message_id: MessageId,
        pause_id: Annotated[str, Path(max_length=200)],
        request: Request,
        caller: Annotated[Caller, Depends(keeper.admit)],
    ) -> Response:
        """Approve, reject or answer; the message goes on."""
        given = await _read(request, DecisionBody, limits)
        await desk.answer(caller, message_id, pause_id, given.value)
        return Json({"message_id": message_id, "status": "accepted"}, 202)


def _add_sessions(router: APIRouter, doors: ChatDoors) -> None:
    """Put what is asked of a session on ``router``."""
    desk, pod, keeper = doors.desk, doors.pod, doors.keeper

    @router.get("/api/sse", summary="Follow a session", response_class=Response)
    async def follow(  # pyright: ignore[reportUnusedFunction]  # noqa: PLR0917  what may stand in the URL
        request: Request,
        caller: Annotated[Caller, Depends(keeper.admit)],
        session_id: SessionId,
        user_id: UserId,
        after: Annotated[str | None, Query(max_length=100, description="As Last-Event-ID.")] = None,
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Stream the session's chunks as server-sent events, from the last event that the client has."""
        user = await desk.enter(caller, session_id, user_id)
        keeper.limiter.check_streams(pod.viewers, user.owner)
        given = last_event_id or after or None
        connecting = pod.connect(user, session_id, parse_cursor(given) or given)
        return ChatStream(pod, connecting, stuck_seconds=doors.stuck_seconds)

    @router.get("/api/sessions/{session_id}/messages", summary="Read a session's history")
    async def history(  # pyright: ignore[reportUnusedFunction]
        session_id: Annotated[str, Path(max_length=128)],
        caller: Annotated[Caller, Depends(keeper.admit)],
        user_id: UserId,
        after: Annotated[str | None, Query(max_length=128, description="`next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
    ) -> Response:
        """Return messages, oldest first; ``next`` leads to older ones."""
        return Json(await desk.messages(caller, session_id, user_id, after=after, limit=limit))


def _add_looks(router: APIRouter, doors: ChatDoors) -> None:
    """Put what tells of the pod itself on ``router``."""
    pod = doors.pod

    @router.head("/health", include_in_schema=False)
    @router.get("/health", summary="Tell how the pod is")
    async def health() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Return what the contract names."""
        return Json(
            {
                "status": "healthy",
                "pod_id": pod.pod_id,
                "timestamp": int(time.time()),
                "active_connections": len(pod.viewers),
                "active_sessions": len(pod.places),
                "active_buffers": len(doors.relay.orderings),
                "nats_connected": doors.bus.is_connected,
            }
        )

    @router.get("/", summary="Tell what this is")
    async def about() -> Response:  # pyright: ignore[reportUnusedFunction]
        """Return the service's name and its doors."""
        paths = ["/api/chat", "/api/sse", "/api/sessions/{session_id}/messages", "/health", "/metrics"]
        return Json({"service": "ropewalk gateway", "pod_id": pod.pod_id, "host": socket.gethostname(), "doors": paths})


async def _read(request: Request, model: type[Any], limits: BodyLimits) -> Any:
    try:
        given = parsed(await read_bytes(request, limits), limits)
    except RequestMalformed as error:
        raise RequestUnreadable("the body", str(error)) from None
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise RequestUnreadable(".".join(map(str, first["loc"])) or "the body", first["msg"]) from None


def _request_of(given: SendBody, key: str | None) -> WorkflowRequest:
    context = given.context or ChatContext.model_validate({})
    said = {name: getattr(given, name) for name in ("ai_provider", "model") if getattr(given, name) is not None}
    message_id = new_message_id() if key is None else keyed_message_id(given.user_id, given.session_id, key)
    return WorkflowRequest(
        message_id=message_id,
        session_id=given.session_id,
        user_id=given.user_id,
        message=given.message,
        context=context.model_copy(update=said),
        timestamp=now_text(),
        correlation_id=_correlation_of(message_id),
    )


def _correlation_of(message_id: str) -> str:
    """Return the same for one message, however often it is sent."""
    return f"corr_{message_id.removeprefix('msg_')}"


def _accepted(accepted: Accepted, asked: WorkflowRequest) -> Response:
    told = {
        "message_id": accepted.message_id,
        "session_id": asked.session_id,
        "status": "accepted",
        "timestamp": accepted.timestamp or asked.timestamp,
        "correlation_id": _correlation_of(accepted.message_id),
    }
    return Response(to_json(told), 202, {"cache-control": "no-store"}, media_type="application/json")
