"""Graphs as tools of the Model Context Protocol, over streamable HTTP at ``/mcp``.

1. A call starts a run with the arguments as its input, and waits for a while. A run that is not over by then goes on;
   the answer has its id and says how to ask again. So a client never waits longer than its own patience.
2. Three tools more look at a run, answer what it asks, cancel it.
3. No session is kept: each request is whole, so that any server of the same store can answer it.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from pydantic_core import to_json
from starlette.requests import HTTPConnection

from ropewalk.errors import RopewalkError
from ropewalk.server.answering import problem_response
from ropewalk.server.bodies import BodyLimits
from ropewalk.server.owned import Caller
from ropewalk.server.problems import problem_of
from ropewalk.server.routes import Doorkeeper
from ropewalk.server.runs import Request, RunService
from ropewalk.server.stream import Receive, Scope, Send

WAITS_SECONDS = 20.0
_CALLER = "ropewalk.caller"
_OVER = frozenset({"DONE", "FAILED", "CANCELLED"})
_RUN = {"run_id": {"type": "string", "description": "The run's id."}}
_ANSWER = _RUN | {
    "pause_id": {"type": "string", "description": "The id of what it asks, from `pauses`."},
    "value": {"description": "The answer, any JSON. An approval: true, false, or {approve, arguments, reason}."},
}

Act = Callable[[Caller, Mapping[str, Any]], Awaitable[dict[str, Any]]]


class McpDoor:
    """The tools of one service."""

    def __init__(self, service: RunService, keeper: Doorkeeper, limits: BodyLimits, *, version: str) -> None:
        self._service = service
        self._keeper = keeper
        self._graphs = {_tool_name(name): name for name in service.graphs}
        self._acts: dict[str, Act] = {
            "ropewalk_look": self._look,
            "ropewalk_answer": self._answer,
            "ropewalk_cancel": self._cancel,
        }
        server: Server[Any] = Server(
            "ropewalk", version=version, on_list_tools=self._list_tools, on_call_tool=self._call_tool
        )
        self._manager = StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=limits.bytes
        )
        self._started, self._stopping = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to answer; until then there is no such door."""
        self._task = asyncio.create_task(self._open(), name="ropewalk: mcp")
        await self._started.wait()

    async def close(self) -> None:
        """Stop answering: calls that wait are cut off, their runs go on."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    async def _open(self) -> None:
        async with self._manager.run():
            self._started.set()
            await self._stopping.wait()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Find out who asks, then let the SDK answer."""
        try:
            scope[_CALLER] = await self._keeper.admit(HTTPConnection(scope))
        except RopewalkError as error:
            await problem_response(error)(scope, receive, send)
            return
        await self._manager.handle_request(scope, receive, send)

    # -- tools --------------------------------------------------------------------------------------------------------

    async def _list_tools(self, ctx: Any, params: Any) -> types.ListToolsResult:
        tools = [self._tool_of(tool, graph) for tool, graph in self._graphs.items()]
        tools += [
            _tool("ropewalk_look", "Look at a run: its status, and its state or what it asks.", _RUN, ["run_id"]),
            _tool("ropewalk_answer", "Answer what a run asks; it goes on.", _ANSWER, [*_ANSWER]),
            _tool("ropewalk_cancel", "End a run for good.", _RUN, ["run_id"]),
        ]
        return types.ListToolsResult(tools=tools)

    def _tool_of(self, tool: str, graph: str) -> types.Tool:
        drawn = self._service.graph(graph).drawing.state_class
        about = (drawn.__doc__ or "").strip() if drawn is not None else ""
        told = f"{about or f'Runs {graph}.'}\n\nA run that takes longer than {WAITS_SECONDS:g} s goes on: the answer "
        return types.Tool(
            name=tool,
            title=graph,
            description=told + "has its run_id, and ropewalk_look tells more.",
            input_schema=self._service.inputs(graph).schema(),
        )

    async def _call_tool(self, ctx: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        caller: Caller = ctx.request.scope[_CALLER]
        given = params.arguments or {}
        try:
            if params.name in self._graphs:
                started = await self._service.start(caller, self._graphs[params.name], Request(input=given))
                return _result(await self._after_a_while(caller, started.run_id))
            if params.name in self._acts:
                return _result(await self._acts[params.name](caller, given))
        except RopewalkError as error:
            return _refusal(problem_of(error))
        known = ", ".join([*self._graphs, *self._acts])
        return _refusal({"code": "tool_not_found", "detail": f"There is no tool {params.name!r}. Known: {known}."})

    async def _look(self, caller: Caller, given: Mapping[str, Any]) -> dict[str, Any]:
        await self._service.record(caller, str(given.get("run_id")))
        return await self._after_a_while(caller, str(given.get("run_id")))

    async def _answer(self, caller: Caller, given: Mapping[str, Any]) -> dict[str, Any]:
        run_id = str(given.get("run_id"))
        looked = await self._service.look(caller, run_id)
        pause = next((one for one in looked["pauses"] if one["id"] == given.get("pause_id")), None)
        if pause is not None and pause["kind"] == "breakpoint":
            await self._service.resume(caller, run_id)
        else:
            await self._service.answer(caller, run_id, str(given.get("pause_id")), given.get("value"))
        return await self._after_a_while(caller, run_id)

    async def _cancel(self, caller: Caller, given: Mapping[str, Any]) -> dict[str, Any]:
        await self._service.cancel(caller, str(given.get("run_id")), "cancelled by a tool call")
        return await self._after_a_while(caller, str(given.get("run_id")))

    async def _after_a_while(self, caller: Caller, run_id: str) -> dict[str, Any]:
        """Return where a run stands, as soon as it stops, at the latest when a client may lose patience."""
        run = self._service.run_of(await self._service.record(caller, run_id))
        waiting = asyncio.create_task(run.wait())
        try:
            await asyncio.wait({waiting}, timeout=WAITS_SECONDS)
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        return _standing(await self._service.look(caller, run_id))


def _standing(looked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a model is told of a run: its state once it is over, what it asks, what to do next."""
    status = looked["status"]
    told: dict[str, Any] = {"run_id": looked["run_id"], "status": status}
    if status in _OVER:
        told |= {"state": looked["state"]} | ({"error": looked["error"]} if looked["error"] else {})
    elif status == "PAUSED":
        told |= {"pauses": looked["pauses"], "next": "Ask a person, then call ropewalk_answer."}
    else:
        told["next"] = "It goes on. Call ropewalk_look with this run_id later."
    return told


def _result(told: dict[str, Any]) -> types.CallToolResult:
    text = types.TextContent(type="text", text=to_json(told).decode())
    return types.CallToolResult(content=[text], structured_content=told, is_error=told["status"] == "FAILED")


def _refusal(problem: Mapping[str, Any]) -> types.CallToolResult:
    told = {key: problem[key] for key in ("code", "detail", "errors") if key in problem}
    text = types.TextContent(type="text", text=to_json(told).decode())
    return types.CallToolResult(content=[text], structured_content=told, is_error=True)


def _tool(name: str, about: str, properties: Mapping[str, Any], needed: list[str]) -> types.Tool:
    schema = {"type": "object", "properties": dict(properties), "required": needed, "additionalProperties": False}
    return types.Tool(name=name, description=about, input_schema=schema)


def _tool_name(graph: str) -> str:
    """Return a graph's name with the characters that names of tools have."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", graph)[:100] or "graph"
