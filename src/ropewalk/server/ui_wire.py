"""The wires of chat user interfaces: the Vercel AI SDK (`useChat`) and AG-UI (`HttpAgent`), each over the same runs.

Both send the whole conversation and get one assistant's turn as a stream. What a run asks is told in their own words,
and answered in them; an id there is ``run/pause``. A stream always begins at the beginning of its turn: whoever comes
again gets a whole one, with the same ids.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ropewalk.errors import RequestMalformed
from ropewalk.server.bodies import BodyLimits, read_body
from ropewalk.server.chat import Chat, Listening, Turn
from ropewalk.server.chat_replies import notice
from ropewalk.server.encoded import EncodedStream, sse
from ropewalk.server.encoders import ui_messages
from ropewalk.server.encoders.ag_ui import AgUi
from ropewalk.server.encoders.ui_messages import UiMessages
from ropewalk.server.owned import Caller
from ropewalk.server.routes import Doorkeeper, GraphName
from ropewalk.server.runs import RunService
from ropewalk.server.told import body_of
from ropewalk.server.told_chat import RUN_AGENT, TALK, stream_answers

ChatId = Annotated[str, Path(description="The conversation.", max_length=200)]


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class ChatBody(_Lenient):
    """What `useChat` sends."""

    id: str = Field(description="The conversation; the runs' session.", min_length=1, max_length=200)
    messages: list[dict[str, Any]] = Field(min_length=1, max_length=10_000)


class AgentBody(_Lenient):
    """What an AG-UI client sends."""

    threadId: str = Field(description="The conversation; the runs' session.", min_length=1, max_length=200)
    runId: str = Field(min_length=1, max_length=200)
    messages: list[dict[str, Any]] = Field(max_length=10_000)
    resume: list[dict[str, Any]] | None = Field(None, description="Answers to interrupts.", max_length=1_000)


def add_ui_routes(
    router: APIRouter, service: RunService, keeper: Doorkeeper, *, body_limits: BodyLimits | None = None
) -> None:
    """Put both wires on ``router``."""
    chat, limits = Chat(service), body_limits or BodyLimits()
    who = Depends(keeper.admit)

    async def listen(caller: Caller, turn: Turn) -> Listening:
        keeper.limiter.check_streams(service.following.readers, caller.owner)
        return await chat.follow(caller, turn)

    def sent(listening: Listening, message_id: str, calls: Mapping[str, Any] | None = None) -> Response:
        about = ui_messages.HEADERS | {"x-run-id": listening.turn.run_id}
        chunks = UiMessages(listening.turn.run_id, message_id, calls)
        return EncodedStream(listening.reader, _ui_messages(listening, chunks), about)

    acts = (400, 401, 404, 409, 413, 415, 422, 429, 503)

    @router.post(
        "/graphs/{graph}/chat",
        summary="Talk to a graph from the Vercel AI SDK",
        response_class=Response,
        responses=stream_answers(*acts),
        openapi_extra=body_of(ChatBody, TALK),
    )
    async def talk(graph: GraphName, request: Request, caller: Caller = who) -> Response:  # pyright: ignore[reportUnusedFunction]
        given = await read_body(request, ChatBody, limits)
        name = chat.name_of(graph)
        answers = _approvals(given.messages)
        if answers:
            turn = await chat.answer(caller, *_of_one_run(answers))
            message = given.messages[-1]
            said = "".join(one["content"] for one in _from_parts([message]))
            listening = await listen(caller, replace(turn, said=said))
            return sent(listening, str(message.get("id")), _calls_in(message))
        turn = await chat.turn(caller, name, _from_parts(given.messages), session=given.id)
        return sent(await listen(caller, turn), _message_id(turn))

    @router.get(
        "/graphs/{graph}/chat/{chat_id}/stream",
        summary="Come back to a turn",
        response_class=Response,
        responses=stream_answers(400, 401, 404, 429, 503, more=(204,)),
    )
    async def come_back(graph: GraphName, chat_id: ChatId, caller: Caller = who) -> Response:  # pyright: ignore[reportUnusedFunction]
        listed = await service.list(caller, graph=chat.name_of(graph), session=chat_id, limit=1)
        running = [one for one in listed["items"] if one["status"] == "RUNNING"]
        if not running:
            return Response(status_code=204)
        turn = Turn(run_id=running[0]["run_id"], graph=running[0]["graph"])
        return sent(await listen(caller, turn), _message_id(turn))

    @router.post(
        "/graphs/{graph}/ag-ui",
        summary="Talk to a graph from an AG-UI client",
        response_class=Response,
        responses=stream_answers(*acts),
        openapi_extra=body_of(AgentBody, RUN_AGENT),
    )
    async def run_agent(graph: GraphName, request: Request, caller: Caller = who) -> Response:  # pyright: ignore[reportUnusedFunction]
        given = await read_body(request, AgentBody, limits)
        name = chat.name_of(graph)
        if given.resume:
            turn = await chat.answer(caller, *_of_one_run(_resumed(given.resume)))
            turn = replace(turn, said=_said_last(given.messages))
        else:
            turn = await chat.turn(caller, name, _plain(given.messages), session=given.threadId)
        listening = await listen(caller, turn)
        events = AgUi(turn.run_id, thread=given.threadId, run=given.runId, calls=_calls_told(given.messages))
        return EncodedStream(listening.reader, _ag_ui(listening, events), {"x-run-id": turn.run_id})


def _message_id(turn: Turn) -> str:
    """Return the id of the message that a turn makes: the same for whoever comes again."""
    return f"msg_{turn.run_id}_{turn.after or 0}"


async def _ui_messages(listening: Listening, chunks: UiMessages) -> AsyncIterator[bytes]:
    yield sse(chunks.begin())
    async for heard in listening.heard():
        yield sse([chunk for one in heard for chunk in chunks.say(one)])
    end = listening.end
    if not end.kind:
        yield sse([{"type": "error", "errorText": "The server stops; the run goes on. Come back."}])
        return
    asked = [pause for pause in end.pauses if pause["id"] not in chunks.approvals]
    last = chunks.notice(notice(listening.turn.run_id, asked)) if asked else chunks.answer(end.answer)
    last += chunks.end(listening.hearing.usage) if end.kind in _ENDS_WELL else []
    yield sse(last) + ui_messages.DONE


async def _ag_ui(listening: Listening, events: AgUi) -> AsyncIterator[bytes]:
    yield sse(events.begin())
    async for heard in listening.heard():
        yield sse([event for one in heard for event in events.say(one)])
    end = listening.end
    if not end.kind:
        yield sse([{"type": "RUN_ERROR", "message": "The server stops; the run goes on.", "code": "reconnect"}])
    elif not events.is_over:
        yield sse(events.answer(end.answer) + events.end(end.state, listening.hearing.usage, kind=end.kind))


_ENDS_WELL = ("run_done", "run_paused")


def _approvals(messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return run/pause -> answer, where the newest message is an assistant's whose approvals were answered."""
    if messages[-1].get("role") != "assistant":
        return {}
    answers: dict[str, Any] = {}
    for part in _parts(messages[-1]):
        approval = part.get("approval")
        if part.get("state") == "approval-responded" and isinstance(approval, dict):
            told = cast("dict[str, Any]", approval)
            reason = {"reason": told["reason"]} if isinstance(told.get("reason"), str) else {}
            answers[str(told.get("id"))] = {"approve": told.get("approved") is True, **reason}
    return answers


def _resumed(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return run/pause -> answer; an interrupt that was given up is a no."""
    return {
        str(one.get("interruptId")): False if one.get("status") == "cancelled" else one.get("payload")
        for one in entries
    }


def _calls_in(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tool calls of the SDK's message that have not ended, by id -> their arguments."""
    parts = [part for part in _parts(message) if not str(part.get("state")).startswith("output-")]
    return {part["toolCallId"]: part.get("input") for part in parts if isinstance(part.get("toolCallId"), str)}


def _calls_told(messages: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the ids of the tool calls in an AG-UI conversation that have not ended."""
    ended = {one.get("toolCallId") for one in messages if one.get("role") == "tool"}
    calls = [call for one in messages for call in _objects(one.get("toolCalls"))]
    return {call["id"] for call in calls if isinstance(call.get("id"), str)} - ended


def _of_one_run(answers: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the run and its answers by pause. Raises `RequestMalformed` for those of several runs."""
    runs = {place.rpartition("/")[0] for place in answers}
    if len(runs) != 1 or "" in runs:
        raise RequestMalformed("The answers are not those of one run: an id is RUN/PAUSE.")
    return runs.pop(), {place.rpartition("/")[2]: value for place, value in answers.items()}


def _from_parts(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the SDK's messages, which are parts, as plain ones; a message of tools and data alone says nothing."""
    plain: list[dict[str, Any]] = []
    for message in messages:
        parts = _parts(message)
        text = "".join(str(part.get("text", "")) for part in parts if part.get("type") == "text")
        if text or message.get("role") != "assistant":
            plain.append({"role": message.get("role"), "content": text})
    return plain


def _parts(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    return _objects(message.get("parts"))


def _objects(value: Any) -> list[dict[str, Any]]:
    found = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", one) for one in found if isinstance(one, dict)]


def _said_last(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return what the assistant has said since a user said something."""
    said: list[str] = []
    for message in reversed(messages):
        if message.get("role") == "user":
            break
        if message.get("role") == "assistant" and isinstance(message.get("content"), str):
            said.append(message["content"])
    return "".join(reversed(said))


def _plain(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what of an AG-UI conversation was said: no tools of the graph's own, no reasoning."""
    said = ("system", "developer", "user", "assistant")
    plain = [{"role": one["role"], "content": one.get("content")} for one in messages if one.get("role") in said]
    return [one for one in plain if one["content"]]
