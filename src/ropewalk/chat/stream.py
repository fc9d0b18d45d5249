"""A client's stream over HTTP: server-sent events, sent as raw ASGI, until the client leaves or is too slow."""

import asyncio
from contextlib import AbstractAsyncContextManager

from starlette.responses import Response

from ropewalk.chat.frames import event
from ropewalk.chat.pod import Pod
from ropewalk.chat.viewer import TOO_SLOW, Viewer
from ropewalk.server.stream import HEADERS, Receive, Scope, Send

_STUCK_SECONDS = 30.0
_GONE = "gone"
_HEADERS = [*HEADERS, (b"connection", b"keep-alive")]


class ChatStream(Response):
    """The ASGI response that follows one session."""

    def __init__(self, pod: Pod, connecting: AbstractAsyncContextManager[Viewer]) -> None:
        super().__init__()
        self._pod = pod
        self._connecting = connecting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what the client is given, and nothing else: it is gone when it is gone."""
        async with self._connecting as viewer:
            watcher = asyncio.create_task(_until_it_leaves(receive, viewer))
            try:
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                await self._pass_on(viewer, send)
                if viewer.why != _GONE:
                    goodbye = event("reconnect", {"reason": viewer.why})
                    await _body(send, goodbye, more=False)
            except TimeoutError:
                pass  # it has not read for so long that the connection is given up; it comes back with its cursor
            except asyncio.CancelledError:
                if viewer.sending is None or viewer.why != TOO_SLOW:
                    raise
            finally:
                watcher.cancel()

    async def _pass_on(self, viewer: Viewer, send: Send) -> None:
        while (taken := await viewer.take()) is not None:
            data, ended = taken
            viewer.sending = asyncio.current_task()
            await _body(send, data)
            viewer.sending = None
            if ended:
                self._pod.note_seen(viewer, ended)


async def _body(send: Send, data: bytes, *, more: bool = True) -> None:
    async with asyncio.timeout(_STUCK_SECONDS):
        await send({"type": "http.response.body", "body": data, "more_body": more})


async def _until_it_leaves(receive: Receive, viewer: Viewer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.end(_GONE)
