"""The OpenAI wire: graphs as models of `/v1/chat/completions`, for any client that speaks it.

A model is a chat-shaped graph; each request is a run with the whole conversation. What asks a person is told in the
answer, and the next message answers it (`server/chat_replies.py`). Sampling settings and tools are the graph's own
affair: what a client sends of them is not read.
"""

import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, field_validator

from ropewalk.errors import RopewalkError, RunCancelled, RunFailed, RunInterrupted
from ropewalk.server.answering import Json, malformed
from ropewalk.server.bodies import BodyLimits, read_body
from ropewalk.server.chat import Chat, Listening
from ropewalk.server.chat_replies import notice
from ropewalk.server.encoded import EncodedStream, attended, sse
from ropewalk.server.encoders.openai_chunks import DONE, ChatChunks, usage_of
from ropewalk.server.owned import Caller
from ropewalk.server.problems import headers_of, problem_of
from ropewalk.server.routes import Doorkeeper, GraphName
from ropewalk.server.runs import RunService
from ropewalk.server.told import body_of
from ropewalk.server.told_chat import COMPLETE, COMPLETION, MODEL, MODELS, openai_answers

_AGAIN = (429, 503)
"""Statuses after which the same request may succeed later; the SDK would try others again too, and start more runs."""


_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


class CompletionBody(BaseModel):
    """Asks a model to go on with a conversation; what else clients send is ignored."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field(description="A graph's name.", max_length=200)
    messages: list[dict[str, Any]] = Field(description="The conversation.", min_length=1, max_length=10_000)
    stream: bool = Field(False, description="Send the answer while it is made.")
    stream_options: dict[str, Any] | None = Field(None, description="`include_usage`: tell at the end what was used.")
    metadata: dict[str, str] | None = Field(None, description="`session`: the conversation that the run belongs to.")

    @field_validator("messages")
    @classmethod
    def _are_messages(cls, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for number, message in enumerate(messages, 1):
            role = message.get("role")
            if role not in _ROLES:
                raise ValueError(f"message {number} has none of the roles {', '.join(_ROLES)}")
            if role != "assistant" and message.get("content") is None:
                raise ValueError(f"message {number} has no content")
        return messages


def add_openai_routes(
    app_router: APIRouter, service: RunService, keeper: Doorkeeper, *, body_limits: BodyLimits | None = None
) -> None:
    """Put the wire on ``app_router``, under ``/v1``."""
    router = APIRouter(prefix="/v1", route_class=OpenAiRoute, tags=["OpenAI"])
    chat, born, limits = Chat(service), int(time.time()), body_limits or BodyLimits()
    who = Depends(keeper.admit)

    def card(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": born, "owned_by": "ropewalk"}

    looks = (400, 401, 404, 429)

    @router.get("/models", summary="List the graphs that one can talk to", responses=openai_answers(MODELS, *looks))
    async def models(caller: Caller = who) -> Response:  # pyright: ignore[reportUnusedFunction]
        return Json({"object": "list", "data": [card(name) for name in chat.graphs()]})

    @router.get("/models/{name}", summary="Look at one of them", responses=openai_answers(MODEL, *looks))
    async def model(name: GraphName, caller: Caller = who) -> Response:  # pyright: ignore[reportUnusedFunction]
        return Json(card(chat.name_of(name)))

    acts = (400, 401, 404, 409, 413, 415, 422, 429, 503)

    @router.post(
        "/chat/completions",
        summary="Talk to a graph",
        responses=openai_answers(COMPLETION, *acts, streams=True),
        openapi_extra=body_of(CompletionBody, COMPLETE),
    )
    async def complete(  # pyright: ignore[reportUnusedFunction]
        request: Request,
        caller: Caller = who,
        idempotency_key: Annotated[str | None, Header(max_length=500)] = None,
    ) -> Response:
        given = await read_body(request, CompletionBody, limits)
        keeper.limiter.check_streams(service.following.readers, caller.owner)
        session = (given.metadata or {}).get("session")
        turn = await chat.turn(caller, given.model, given.messages, session=session, key=idempotency_key)
        listening = await chat.follow(caller, turn)
        about = {"x-run-id": turn.run_id}
        if given.stream:
            usage = (given.stream_options or {}).get("include_usage") is True
            return EncodedStream(listening.reader, _chunks(listening, usage=usage), about)
        async with attended(request, listening.reader):
            return Json(await _whole(listening), headers=about)

    app_router.include_router(router)


def _new_chunks(listening: Listening) -> ChatChunks:
    return ChatChunks(f"chatcmpl-{listening.turn.run_id}", listening.turn.graph, int(time.time()))


async def _chunks(listening: Listening, *, usage: bool) -> AsyncIterator[bytes]:
    chunks = _new_chunks(listening)
    yield sse(chunks.begin())
    async for heard in listening.heard():
        yield sse([chunk for one in heard for chunk in chunks.say(one)])
    try:
        last = _last(listening, chunks)
    except RopewalkError as error:
        yield sse([error_of(error)])
        return
    yield sse(last + ([chunks.usage(listening.hearing.usage)] if usage else [])) + DONE


def _last(listening: Listening, chunks: ChatChunks) -> list[dict[str, Any]]:
    """Return the chunks behind all that was said. Raises `RunFailed` where there is no answer."""
    end, run_id = listening.end, listening.turn.run_id
    if end.kind == "run_paused":
        return [*chunks.add(notice(run_id, end.pauses)), *chunks.end()]
    match end.kind:
        case "run_done":
            return [*chunks.answer(end.answer), *chunks.end()]
        case "run_failed":
            raise RunFailed(run_id, reason=end.code or "failed", message="it could not answer")
        case "run_cancelled":
            raise RunCancelled(run_id, None)
        case _:
            raise RunInterrupted(run_id)


async def _whole(listening: Listening) -> dict[str, Any]:
    """Return the completion in one piece, once the run has stopped."""
    chunks = _new_chunks(listening)
    head = chunks.begin()[0]
    async for heard in listening.heard():
        for one in heard:
            chunks.say(one)
    last = _last(listening, chunks)
    end = listening.end
    content = end.answer if end.kind == "run_done" and end.answer else chunks.text
    message = {"role": "assistant", "content": content, "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": last[-1]["choices"][0]["finish_reason"],
    }
    about = {key: head[key] for key in ("id", "created", "model")}
    return {**about, "object": "chat.completion", "choices": [choice], "usage": usage_of(listening.hearing.usage)}


def error_of(error: RopewalkError | RequestValidationError) -> dict[str, Any]:
    """Return an error in OpenAI's words, with our code."""
    told = problem_of(malformed(error) if isinstance(error, RequestValidationError) else error)
    kind = "invalid_request_error" if told["status"] < 500 else "server_error"
    return {"error": {"message": told["detail"], "type": kind, "param": None, "code": told["code"]}}


class OpenAiRoute(APIRoute):
    """A route whose errors are as clients of OpenAI expect them."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_or_tell(request: Request) -> Response:
            try:
                return await handle(request)
            except (RopewalkError, RequestValidationError) as error:
                known = malformed(error) if isinstance(error, RequestValidationError) else error
                status = problem_of(known)["status"]
                again = "true" if status in _AGAIN else "false"
                return Json(error_of(error), status, headers_of(known) | {"x-should-retry": again})

        return handle_or_tell
