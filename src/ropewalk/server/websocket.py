"""One WebSocket that follows many runs and carries answers and cancels the other way.

In: ``{"type": "subscribe", "run_id", "after"?}``, ``unsubscribe``, ``answer`` (``pause_id``, ``value``), ``cancel``,
``ping``. Out: events, ``{"run_id", "id", "type", "node", "data"}``; an ``error`` has the problem as its data. A message
that brings a ``ref`` is answered by an event of type ``ok`` that has it too.

1. A subscription is a task that takes from its reader and sends; it goes on through pauses, to the run's end.
2. All of a connection send in turn. One that does not read holds its own subscriptions, nobody else's: they are
   overrun, and told to come back.
"""

import asyncio
import contextlib
import logging
from typing import Any, Literal

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json
from starlette.websockets import WebSocketDisconnect, WebSocketState

from ropewalk.errors import LimitReached, RequestMalformed, RopewalkError
from ropewalk.events import parse_event_id
from ropewalk.server.bodies import BodyLimits, parsed
from ropewalk.server.following import Reader
from ropewalk.server.owned import Caller
from ropewalk.server.problems import problem_of
from ropewalk.server.routes import Doorkeeper
from ropewalk.server.runs import RunService
from ropewalk.server.stream import farewell_data

log = logging.getLogger("ropewalk")

MOST_SUBSCRIPTIONS = 1_000
_GOING_AWAY, _REFUSED = 1001, 1008
_LIMITS = BodyLimits(bytes=1024 * 1024)


class Message(BaseModel):
    """What a client sends."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["subscribe", "unsubscribe", "answer", "cancel", "ping"]
    run_id: str = Field("", max_length=200)
    after: str | None = None
    pause_id: str = ""
    value: Any = None
    by: str | None = None
    reason: str | None = None
    ref: str | int | None = None


def add_websocket(router: APIRouter, service: RunService, keeper: Doorkeeper, path: str = "/ws") -> None:
    """Put the WebSocket on ``router``."""

    @router.websocket(path)
    async def talk(websocket: WebSocket) -> None:  # pyright: ignore[reportUnusedFunction]
        try:
            caller = await keeper.admit(websocket)
        except RopewalkError as error:
            await websocket.close(_REFUSED, error.code)
            return
        offered = websocket.headers.get("sec-websocket-protocol", "")
        ours = "ropewalk" if "ropewalk" in [one.strip() for one in offered.split(",")] else None
        await websocket.accept(subprotocol=ours)
        await Conversation(websocket, service, keeper, caller).go_on()


class Conversation:
    """One connection."""

    def __init__(self, websocket: WebSocket, service: RunService, keeper: Doorkeeper, caller: Caller) -> None:
        self._socket = websocket
        self._service = service
        self._keeper = keeper
        self._caller = caller
        self._asker = caller.owner or (websocket.client.host if websocket.client else "")
        self._turn = asyncio.Lock()
        self._subscriptions: dict[str, tuple[Reader, asyncio.Task[None]]] = {}

    async def go_on(self) -> None:
        """Do what the client says until it leaves."""
        self._service.following.conversations.add(self)
        try:
            while True:
                await self._heard(await self._socket.receive())
        except WebSocketDisconnect:
            pass
        finally:
            self._service.following.conversations.discard(self)
            await self._end_all()

    async def close(self) -> None:
        """End the connection from this side: the server stops. Subscriptions have said so before."""
        tasks = [task for _, task in self._subscriptions.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=2.0)
        with contextlib.suppress(RuntimeError):
            await self._socket.close(_GOING_AWAY, "the server stops")

    async def _heard(self, received: Any) -> None:
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1000))
        text = received.get("text")
        ref: str | int | None = None
        run_id = ""
        try:
            message = _read(text if text is not None else received.get("bytes") or b"")
            ref, run_id = message.ref, message.run_id
            await self._keeper.limiter.ask(self._asker)
            await self._do(message)
        except RopewalkError as error:
            await self._tell("error", run_id, problem_of(error), ref)
        else:
            if ref is not None:
                await self._tell("ok", run_id, None, ref)

    async def _do(self, message: Message) -> None:
        service, caller, run_id = self._service, self._caller, message.run_id
        match message.type:
            case "subscribe":
                await self._subscribe(run_id, message.after)
            case "unsubscribe":
                await self._end(run_id)
            case "answer":
                await service.answer(caller, run_id, message.pause_id, message.value, by=message.by)
            case "cancel":
                await service.cancel(caller, run_id, message.reason)
            case "ping":
                if message.ref is None:
                    await self._tell("pong", run_id, None, None)

    # -- subscriptions ------------------------------------------------------------------------------------------------

    async def _subscribe(self, run_id: str, after: str | None) -> None:
        """Follow a run; a second subscription takes the place of the first."""
        await self._end(run_id)
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            raise LimitReached("runs over one connection", MOST_SUBSCRIPTIONS, setting="the number of connections")
        if after is not None:
            try:
                parse_event_id(after)
            except ValueError as error:
                raise RequestMalformed(str(error)) from None
        reader = await self._service.follow(self._caller, run_id, after, through=True)
        task = asyncio.create_task(self._follow(reader), name=f"ropewalk: websocket of {run_id}")
        reader.task = task
        self._subscriptions[run_id] = (reader, task)

    async def _follow(self, reader: Reader) -> None:
        try:
            for frame in reader.opening:
                await self._send(reader, frame.json)
            while (said := await reader.take()) is not None:
                for frame in said.frames:
                    await self._send(reader, frame.json)
            if reader.why != "ended" and not reader.is_gone:
                await self._send(reader, to_json(farewell_data(reader)))
        except (RuntimeError, WebSocketDisconnect):  # the connection is gone, or is closing
            pass
        except asyncio.CancelledError:
            if not reader.is_stuck:
                raise
            await self._socket.close(_GOING_AWAY, "too slow")
        finally:
            await reader.close()
            if self._subscriptions.get(reader.run_id, (None,))[0] is reader:
                del self._subscriptions[reader.run_id]

    async def _send(self, reader: Reader, data: bytes) -> None:
        reader.is_sending = True
        async with self._turn:
            await self._socket.send({"type": "websocket.send", "text": data.decode()})
        reader.is_sending = False

    async def _end(self, run_id: str) -> None:
        held = self._subscriptions.pop(run_id, None)
        if held is not None:
            reader, task = held
            reader.leave()
            task.cancel()
            await asyncio.wait({task})

    async def _end_all(self) -> None:
        for run_id in [*self._subscriptions]:
            await self._end(run_id)

    async def _tell(self, kind: str, run_id: str, data: Any, ref: str | int | None) -> None:
        told: dict[str, Any] = {"run_id": run_id or None, "id": None, "type": kind, "node": None, "data": data}
        if ref is not None:
            told["ref"] = ref
        if self._socket.application_state is WebSocketState.CONNECTED:
            async with self._turn:
                await self._socket.send({"type": "websocket.send", "text": to_json(told).decode()})


def _read(given: str | bytes) -> Message:
    body = given.encode("utf-8", "surrogatepass") if isinstance(given, str) else given
    if len(body) > _LIMITS.bytes:
        raise RequestMalformed("The message is too long.")
    try:
        return Message.model_validate(parsed(body, _LIMITS))
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        raise RequestMalformed(
            f"The message does not fit: {'.'.join(map(str, first['loc']))}: {first['msg']}."
        ) from None
