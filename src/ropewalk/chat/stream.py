"""A client's stream over HTTP: server-sent events, sent as raw ASGI, until the client leaves or is too slow."""

import asyncio
import contextlib
from contextlib import AbstractAsyncContextManager

from starlette.responses import Response

from ropewalk.chat.frames import event
from ropewalk.chat.pod import Pod
from ropewalk.chat.viewer import TOO_SLOW, Viewer
from ropewalk.server.stream import HEADERS, Receive, Scope, Send

_STUCK_SECONDS = 30.0
"""A client that takes nothing for so long, and at most twice as long, is given up; it comes back with its cursor."""
_GONE = "gone"
_HEADERS = [*HEADERS, (b"connection", b"keep-alive")]


class ChatStream(Response):
    """The ASGI response that follows one session."""

    def __init__(
        self, pod: Pod, connecting: AbstractAsyncContextManager[Viewer], *, stuck_seconds: float | None = None
    ) -> None:
        super().__init__()
        self._pod = pod
        self._connecting = connecting
        self._stuck_seconds = stuck_seconds or _STUCK_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what the client is given, and nothing else: it is gone when it is gone."""
        async with self._connecting as viewer:
            watcher = asyncio.create_task(_until_it_leaves(receive, viewer))
            patience = _Patience(viewer, self._stuck_seconds)
            try:
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                await self._pass_on(viewer, send)
                if viewer.why != _GONE:
                    goodbye = event("reconnect", {"reason": viewer.why})
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._stuck_seconds):
                            await _body(send, goodbye, more=False)
            except asyncio.CancelledError:
                if not patience.is_over and (viewer.sending is None or viewer.why != TOO_SLOW):
                    raise
            finally:
                patience.end()
                watcher.cancel()

    async def _pass_on(self, viewer: Viewer, send: Send) -> None:
        while (taken := await viewer.take()) is not None:
            data, ended = taken
            viewer.sending = asyncio.current_task()
            await _body(send, data)
            viewer.sending = None
            viewer.sent += 1
            if ended:
                self._pod.note_seen(viewer, ended)


class _Patience:
    """Looks now and then whether a client still takes something: a timeout for each piece would cost as much as it."""

    def __init__(self, viewer: Viewer, seconds: float) -> None:
        self.is_over = False
        self._viewer = viewer
        self._loop = asyncio.get_running_loop()
        self._sent = -1
        """How much it had at the last look, if more was being sent then."""
        self._seconds = seconds
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        viewer = self._viewer
        if viewer.sending is not None and viewer.sent == self._sent:
            self.is_over = True
            if viewer.why is None:
                viewer.end(TOO_SLOW)
            else:  # it is to end, and does not take what was sent before
                viewer.sending.cancel()
        self._sent = viewer.sent if viewer.sending is not None else -1
        self._timer = self._loop.call_later(self._seconds, self._look)

    def end(self) -> None:
        self._timer.cancel()


async def _body(send: Send, data: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})


async def _until_it_leaves(receive: Receive, viewer: Viewer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.end(_GONE)
