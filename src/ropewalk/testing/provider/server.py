"""A strict model provider on this machine: a real HTTP server that speaks Chat Completions, Responses and Messages.

1. A request is read, judged by the rules of its API, and kept in `requests`; what the vendor would refuse is refused.
2. The next cue of its API key's script answers, or of the script for every key, or the scenario.
3. The answer is told in the API's own form, as a stream if that was asked for, and broken where the cue says so.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from ropewalk.testing.provider import chat, messages, responses
from ropewalk.testing.provider.cues import Answer, Asked, Cue, Full, Refuse, from_json, in_full
from ropewalk.testing.provider.door import Door, Received
from ropewalk.testing.provider.telling import Speech, refused, told

APIS: Mapping[str, Any] = {"chat": chat, "responses": responses, "messages": messages}
EVERY_KEY = "*"
KEPT_REQUESTS = 10_000


class LocalProvider:
    """Serves while it is entered: ``async with LocalProvider() as provider``."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        scenario: Callable[[Asked], Answer] | None = None,
        keep_requests: int = KEPT_REQUESTS,
    ) -> None:
        """``scenario`` answers whatever no script answers; 0 is any free port."""
        self.host = host
        self.port = port
        self.scenario = scenario
        self.requests: deque[Asked] = deque(maxlen=keep_requests)
        """What was received, the refused included, oldest first."""
        self.disconnected: deque[Asked] = deque(maxlen=keep_requests)
        """Those whose client went away before the answer was whole."""
        self.connections = 0
        """Accepted so far; one that is kept alive counts once."""
        self._scripts: dict[str, deque[Cue]] = {}
        self._number = 0
        self._server: asyncio.Server | None = None
        self._doors: set[Door] = set()

    @property
    def root(self) -> str:
        """The address; what Anthropic's SDK takes as ``base_url``."""
        return f"http://{self.host}:{self.port}"

    @property
    def base_url(self) -> str:
        """The address with ``/v1``; what OpenAI's SDK takes as ``base_url``."""
        return f"{self.root}/v1"

    @property
    def open_connections(self) -> int:
        return len(self._doors)

    def script(self, cues: Iterable[Cue], *, key: str = EVERY_KEY) -> None:
        """Answer the requests with this API key by these cues, one each; replaces what is left of an older script."""
        self._scripts[key] = deque(cues)

    def requests_of(self, key: str) -> list[Asked]:
        return [asked for asked in self.requests if asked.key == key]

    async def start(self) -> None:
        """Listen. Raises OSError if the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._open_door, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop, and hang up on everybody."""
        for door in list(self._doors):
            door.abort()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _open_door(self) -> Door:
        self.connections += 1
        door = Door(self._answer, self._doors)
        self._doors.add(door)
        return door

    def _answer(self, received: Received) -> Speech:
        path = received.path.partition("?")[0].rstrip("/")
        if received.method == "POST" and path == "/_script":
            return self._take_script(received)
        if received.method == "GET" and path == "/_requests":
            return told(200, [{"number": a.number, "api": a.api, "key": a.key, "body": a.body} for a in self.requests])
        if received.method == "GET" and path.endswith("/models"):
            return told(200, {"object": "list", "data": [{"id": "local", "object": "model", "owned_by": "local"}]})
        name = next((name for name, api in APIS.items() if path.endswith(api.PATH)), None)
        if received.method != "POST" or name is None:
            refuse = Refuse(status=404, message=f"Invalid URL ({received.method} {path})")
            return refused(chat, refuse)
        return self._judge(name, received)

    def _judge(self, name: str, received: Received) -> Speech:
        api = APIS[name]
        try:
            body: Any = json.loads(received.body)
        except ValueError:
            return refused(api, Refuse(status=400, message="We could not parse the JSON body of your request."))
        self._number += 1
        key = _key(received.headers)
        asked = Asked(number=self._number, api=name, key=key, headers=received.headers, body=body)
        self.requests.append(asked)
        reason = api.refusal(body, received.headers)
        if reason is not None:
            refuse = Refuse(status=reason.status, code=reason.code, message=reason.message)
            return refused(api, refuse, param=reason.param)
        return Speech.of(api, self._next_cue(asked), asked, gone=self.disconnected.append)

    def _next_cue(self, asked: Asked) -> Full:
        if not asked.key:
            return Refuse(status=401, message="You didn't provide an API key.")
        script = self._scripts.get(asked.key) or self._scripts.get(EVERY_KEY)
        if script:
            return in_full(script.popleft(), asked)
        if self.scenario is not None:
            return in_full(self.scenario, asked)
        return Refuse(status=400, message=f"The local provider's script for key {asked.key!r} has ended.")

    def _take_script(self, received: Received) -> Speech:
        try:
            sent: Any = json.loads(received.body)
            self.script([from_json(cue) for cue in sent["cues"]], key=sent.get("key", EVERY_KEY))
        except (ValueError, TypeError, KeyError) as error:
            return told(400, {"error": f"{type(error).__name__}: {error}"})
        return told(200, {"cues": len(sent["cues"])})


def _key(headers: Mapping[str, str]) -> str:
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ").strip()
