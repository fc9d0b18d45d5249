"""The four routes that the seeds' web service has, by their names: start, resume, status, a WebSocket for each run."""

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response, WebSocket
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.websockets import WebSocketDisconnect

from ropewalk.errors import RopewalkError, RunNotFound
from ropewalk.server.answering import Json
from ropewalk.server.bodies import BodyLimits, read_body
from ropewalk.server.following import Reader
from ropewalk.server.owned import Caller
from ropewalk.server.routes import Doorkeeper
from ropewalk.server.runs import Request as RunRequest
from ropewalk.server.runs import RunService
from ropewalk.server.told import answers, body_of

_LIMITS = BodyLimits()
_LOOKS_SECONDS = 0.2
_REFUSED = 1008


class ExecutionRequest(BaseModel):
    """Starts a run, or goes on with one."""

    chain_id: str | None = None
    start_from: str | None = None
    """Ignored, as it always was. Fork a run to begin elsewhere."""
    timeout: float | None = None
    """Seconds for which the answer waits for the run to stop; the run goes on afterwards."""


class ExecutionResponse(BaseModel):
    """How a run stood when the answer was sent."""

    chain_id: str
    status: str
    timestamp: datetime


class GraphStatus(BaseModel):
    """How a run stands."""

    chain_id: str
    status: str
    last_update: datetime


def add_seed_routes(router: APIRouter, service: RunService, keeper: Doorkeeper, graph: str) -> None:
    """Put the seeds' routes on ``router``."""
    told = body_of(ExecutionRequest, {"chain_id": "my-chain"})
    errors = (400, 401, 404, 409, 413, 415, 422, 429, 503)

    @router.post("/start", summary="Start a run and wait", responses=answers(200, "acted", *errors), openapi_extra=told)
    async def start(request: Request, caller: Annotated[Caller, Depends(keeper.admit)]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Start a run; answer when it has ended or is paused."""
        given = await read_body(request, ExecutionRequest, _LIMITS)
        started = await service.start(caller, graph, RunRequest(run_id=given.chain_id))
        return await _when_it_stops(service, caller, started.run_id, given.timeout)

    @router.post("/resume", summary="Go on and wait", responses=answers(200, "acted", *errors), openapi_extra=told)
    async def resume(request: Request, caller: Annotated[Caller, Depends(keeper.admit)]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Go on with a run; answer when it has ended or is paused."""
        given = await read_body(request, ExecutionRequest, _LIMITS)
        if given.chain_id is None:
            raise RunNotFound("(chain_id is needed)")
        await service.resume(caller, given.chain_id)
        return await _when_it_stops(service, caller, given.chain_id, given.timeout)

    @router.get("/status/{chain_id}", summary="Tell how a run stands", responses=answers(200, "acted", *errors))
    async def status(chain_id: str, caller: Annotated[Caller, Depends(keeper.admit)]) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Where a run stands, and since when."""
        record = await service.record(caller, chain_id)
        told = GraphStatus(chain_id=chain_id, status=record.status, last_update=_moment(record.updated))
        return Json(told)

    @router.websocket("/ws/{chain_id}")
    async def follow(websocket: WebSocket, chain_id: str) -> None:  # pyright: ignore[reportUnusedFunction]
        try:
            caller = await keeper.admit(websocket)
        except RopewalkError as error:
            await websocket.close(_REFUSED, error.code)
            return
        await websocket.accept()
        telling = asyncio.create_task(_tell(websocket, service, caller, chain_id))
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                if (await websocket.receive())["type"] == "websocket.disconnect":
                    break
        telling.cancel()
        await asyncio.wait({telling})


async def _when_it_stops(service: RunService, caller: Caller, run_id: str, seconds: float | None) -> Response:
    run = service.run_of(await service.record(caller, run_id))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await run.wait()
    service.following.stir(run_id)
    record = await service.record(caller, run_id)
    told = ExecutionResponse(chain_id=run_id, status=record.status, timestamp=_moment(record.updated))
    return Json(told)


async def _tell(websocket: WebSocket, service: RunService, caller: Caller, run_id: str) -> None:
    """Send everything that a run tells, from its beginning; wait for one that is not there yet."""
    while True:
        try:
            reader = await service.follow(caller, run_id, through=True)
            break
        except RunNotFound:
            await asyncio.sleep(_LOOKS_SECONDS)
        except RopewalkError as error:
            await websocket.close(_REFUSED, error.code)
            return
    try:
        await _tell_all(websocket, service, reader)
    except (RuntimeError, WebSocketDisconnect):  # it is gone
        pass
    finally:
        await reader.close()


async def _tell_all(websocket: WebSocket, service: RunService, reader: Reader) -> None:
    while (said := await reader.take()) is not None:
        for frame in said.frames:
            event = frame.event
            told = {
                "type": "node_event",
                "event_type": event.type,
                "node_id": event.node,
                "chain_id": reader.run_id,
                "timestamp": datetime.now(UTC),
                "data": event.data,
            }
            await websocket.send_text(to_json(told).decode())
            if event.type.startswith("run_") and event.type != "run_started":
                record = await service.store.look(reader.run_id)
                status: dict[str, Any] = {"type": "status", "chain_id": reader.run_id, "status": record.status}
                status["last_update"] = _moment(record.updated)
                await websocket.send_text(to_json(status).decode())


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
