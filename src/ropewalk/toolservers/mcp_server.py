"""Tools of an MCP server, through the official SDK: a process of our own, spoken to over stdio, or a server over HTTP.

1. The first use in an event loop connects, in a task that holds the connection.
2. A connection that is found lost is made again. What had not been sent to a lost server is sent to the new one.
3. A call that was under way when the connection was lost is made again if the tool says that this does no harm; else
   nobody can know its outcome, and the loop asks a person.
"""

import asyncio
import logging
import re
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from ropewalk.agent.signatures import GivenSchema
from ropewalk.agent.telling import ToolContext
from ropewalk.agent.tools import Effects, Tool
from ropewalk.errors import PartMissing, ToolOutcomeUnknown, ToolServerFailed

log = logging.getLogger("ropewalk")

_CONNECTION_CLOSED = -32000
_NAME = re.compile(r"[^A-Za-z0-9_-]")
_KEY = "io.ropewalk/idempotency-key"
"""In a call's ``_meta``: tells a repetition to a server that looks."""


class McpServer:
    """A server whose tools a model may call: give it among ``tools``.

    ``McpServer("python", ["server.py"])`` starts a process; ``McpServer(url="http://host/mcp")`` speaks to one.
    """

    def __init__(  # noqa: PLR0913  the names are the server's settings
        self,
        command: str | None = None,
        args: Sequence[str] = (),
        *,
        url: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        headers: Mapping[str, str] | None = None,
        only: Iterable[str] | None = None,
        prefix: str = "",
        effects: Effects = "once",
        approve: Iterable[str] | bool = False,
        timeout: float = 60.0,
    ) -> None:
        """``only`` names the tools to offer; ``prefix`` stands before their names; ``effects`` is of those that do not
        say themselves that they only read or may be repeated; ``approve`` names those that wait for a person (True:
        all); ``timeout`` is seconds for a call.
        """
        if (command is None) == (url is None):
            raise ValueError('A server is a command or a URL: McpServer("python", ["server.py"]), McpServer(url=...).')
        self._command = command
        self._args = list(args)
        self._url = url
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._headers = dict(headers or {})
        self._only = None if only is None else frozenset(only)
        self._prefix = prefix
        self._effects: Effects = effects
        self._approve = approve if isinstance(approve, bool) else frozenset(approve)
        self._timeout = timeout
        self._connections: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Connection] = (
            weakref.WeakKeyDictionary()
        )
        self._tools: list[Tool[..., Any]] | None = None

    def __repr__(self) -> str:
        return f"<McpServer {self._url or self._command}>"

    async def tools(self) -> Sequence[Tool[..., Any]]:
        """Return the server's tools; it is asked once, and again after `refresh`. Raises `ToolServerFailed`."""
        if self._tools is None:
            listed = await self._listed()
            kept = [one for one in listed if self._only is None or one.name in self._only]
            self._tools = [self._made(one) for one in kept]
        return self._tools

    def refresh(self) -> None:
        """Ask the server again what it has, at the next loop."""
        self._tools = None

    async def close(self) -> None:
        """End the connection of this event loop; a process that was started ends."""
        connection = self._connections.pop(asyncio.get_running_loop(), None)
        if connection is not None:
            await connection.close()

    # -- making tools -------------------------------------------------------------------------------------------------

    def _made(self, listed: Any) -> Tool[..., Any]:
        own = listed.name
        name = _NAME.sub("_", self._prefix + own)[:64]

        async def call(ctx: ToolContext, **arguments: Any) -> Any:
            return await self._called(own, arguments, ctx, effects)

        hints = listed.annotations
        effects: Effects = self._effects
        if hints is not None and hints.read_only_hint:
            effects = "none"
        elif hints is not None and hints.idempotent_hint:
            effects = "idempotent"
        return Tool(
            name=name,
            description=listed.description or listed.title or own,
            fn=call,
            takes=GivenSchema(schema=listed.input_schema, injected={"ctx": "ctx"}),
            effects=effects,
            pause_before_execution=self._approve is True or (self._approve is not False and own in self._approve),
        )

    # -- using the connection -----------------------------------------------------------------------------------------

    async def _listed(self) -> list[Any]:
        for left in (1, 0):
            client = await self._client()
            try:
                return await _all_tools(client)
            except Exception as error:
                self._drop(client)
                if not left or not _is_lost(error):
                    raise ToolServerFailed(repr(self), str(error)) from error
        raise AssertionError("the last try returns or raises")

    async def _called(self, name: str, arguments: dict[str, Any], ctx: ToolContext, effects: Effects) -> Any:
        if effects == "once":  # found out now, a lost connection does no harm
            await self._listed()
        for left in (1, 0):
            client = await self._client()
            try:
                return _result_of(name, await self._sent(client, name, arguments, ctx))
            except Exception as error:
                if not _is_lost(error):
                    raise
                self._drop(client)
                if effects == "once":
                    raise ToolOutcomeUnknown(name, f"the connection to {self!r} was lost in the middle") from error
                if not left:
                    raise ToolServerFailed(repr(self), str(error)) from error
        raise AssertionError("the last try returns or raises")

    async def _sent(self, client: Any, name: str, arguments: dict[str, Any], ctx: ToolContext) -> Any:
        async def progress(done: float, total: float | None, message: str | None) -> None:
            ctx.emit({"progress": done, "total": total, "message": message})

        meta: Any = {_KEY: ctx.idempotency_key}
        return await client.call_tool(name, arguments, self._timeout, progress, meta=meta)

    async def _client(self) -> Any:
        loop = asyncio.get_running_loop()
        connection = self._connections.get(loop)
        if connection is None or connection.is_over:
            connection = self._connections[loop] = _Connection(self._target(), repr(self))
        return await connection.client()

    def _drop(self, client: Any) -> None:
        loop = asyncio.get_running_loop()
        connection = self._connections.get(loop)
        if connection is not None and connection.holds(client):  # else another call has made a new one already
            connection.end()
            del self._connections[loop]

    def _target(self) -> Any:
        sdk = _sdk()
        if self._url is None:
            return sdk.StdioServerParameters(command=self._command, args=self._args, env=self._env, cwd=self._cwd)
        if not self._headers:
            return self._url
        import httpx2  # noqa: PLC0415  the SDK's own
        from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415  as above

        http: Any = httpx2
        client = http.AsyncClient(headers=self._headers, timeout=http.Timeout(self._timeout), follow_redirects=True)
        return cast("Any", streamable_http_client)(self._url, http_client=client)


class _Connection:
    """A connection, held by a task of its own: the SDK wants it closed by whoever opened it."""

    def __init__(self, target: Any, name: str) -> None:
        self._target = target
        self._name = name
        self._opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._end = asyncio.Event()
        self._client: Any = None
        self._task = asyncio.create_task(self._hold(), name=f"ropewalk {name}")

    @property
    def is_over(self) -> bool:
        return self._task.done() or self._end.is_set()

    def holds(self, client: Any) -> bool:
        return self._client is client

    async def client(self) -> Any:
        """Return the client, once it is connected. Raises `ToolServerFailed`."""
        return await asyncio.shield(self._opened)

    def end(self) -> None:
        self._end.set()

    async def close(self) -> None:
        self.end()
        await asyncio.wait({self._task})

    async def _hold(self) -> None:
        try:
            async with _sdk().Client(self._target) as client:
                self._client = client
                if not self._opened.done():
                    self._opened.set_result(client)
                await self._end.wait()
        except Exception as error:  # noqa: BLE001  told to whoever waits for the connection, or no longer of interest
            if not self._opened.done():
                self._opened.set_exception(ToolServerFailed(self._name, _innermost(error)))
                self._opened.exception()  # it may be that nobody waits any more
            else:
                log.debug("%s: the connection ended: %s", self._name, _innermost(error))


def _sdk() -> Any:
    try:
        import mcp  # noqa: PLC0415  an extra, and slow to load
    except ImportError as error:
        raise PartMissing("McpServer", "mcp") from error
    return cast("Any", mcp)


async def _all_tools(client: Any) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor, cache_mode="refresh")
        found += page.tools
        cursor = page.next_cursor
        if not cursor:
            return found


def _result_of(name: str, result: Any) -> Any:
    """Return what a call gave, as plain data. Raises `ToolServerFailed` with what the tool said of its failure."""
    texts: list[str] = [block.text for block in result.content if block.type == "text"]
    if result.is_error:
        raise ToolServerFailed(name, "\n".join(texts) or "it gave no reason")
    if result.structured_content is not None:
        return result.structured_content
    if len(texts) == len(result.content):
        return "\n".join(texts)
    return [block.model_dump(mode="json", exclude_none=True) for block in result.content]


def _is_lost(error: BaseException) -> bool:
    """Tell whether an error means that the connection is gone, rather than that the server answered."""
    if type(error).__name__ == "MCPError":
        code = getattr(error, "code", None) or getattr(getattr(error, "error", None), "code", None)
        return code == _CONNECTION_CLOSED
    return isinstance(error, OSError | ExceptionGroup) or type(error).__name__ in (
        "ClosedResourceError",
        "BrokenResourceError",
        "EndOfStream",
    )


def _innermost(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
