"""Asks through a vendor's SDK: one client per event loop, one request per call, our own errors.

1. The request is checked and built; what is wrong with it leaves nothing on the wire.
2. The SDK sends it and judges the status; the body is read here, so that its end, its silence and its JSON are judged
   alike for every provider.
3. Whatever goes wrong comes out as a `ModelError`.

Both vendors' SDKs are made by one generator and share the names that are used here.
"""

import asyncio
import inspect
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock
from types import ModuleType
from typing import Any, cast
from weakref import WeakKeyDictionary

from ropewalk.contracts.conversation import check_request
from ropewalk.contracts.model import ModelPart, ModelRequest, Reply
from ropewalk.errors import (
    ModelError,
    ModelKeyRejected,
    ModelReplyUnreadable,
    ModelRequestInvalid,
    ModelStalled,
    ModelStreamBroken,
    ModelUnreachable,
)
from ropewalk.llm.prices import Prices, priced
from ropewalk.llm.sse import EventReader
from ropewalk.llm.trouble import in_our_words, retry_after, told_error
from ropewalk.llm.wire import Fold, JsonObject, Wire, below, sendable

PINGS_COUNT_FOR = 10
"""So many idle timeouts a provider may pass with signs of life alone, before it is held for stalled."""
DRAIN_SECONDS = 0.05
"""What the end of a whole answer may take to arrive, for its connection to be used again."""
CONNECT_SECONDS = 10.0
MISSHAPEN = (KeyError, TypeError, IndexError, AttributeError, ValueError)
"""What reading JSON of another shape than agreed raises."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vendor:
    """What differs between the SDKs."""

    provider: str
    sdk: ModuleType
    make: Callable[[float], Any]
    """Idle timeout in seconds -> a client of the SDK."""
    endpoint: Callable[[Any], Any]
    """A client -> what has ``create``."""
    secrets: tuple[str, ...]
    """What no error may show."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Connected:
    client: Any
    create: Any
    """Sends a request; gives the answer when its status is known, its body still to be read."""
    names: frozenset[str]
    """Of its arguments."""
    closing: AsyncGenerator[None]
    """Ends with the loop, and the client with it."""

    def send(self, arguments: JsonObject) -> Any:
        return self.create(**sendable(arguments, self.names))


class SdkCalls:
    """One API of one provider."""

    def __init__(self, vendor: Vendor, wire: Wire, *, model: str, idle_timeout: float, prices: Prices) -> None:
        if idle_timeout <= 0:
            raise ValueError(f"idle_timeout is {idle_timeout!r}; it must be more than 0 seconds.")
        self._vendor = vendor
        self._wire = wire
        self._model = model
        self._idle_seconds = idle_timeout
        self._prices = prices
        self._lock = Lock()  # loops of several threads may ask
        self._connected: WeakKeyDictionary[asyncio.AbstractEventLoop, _Connected] = WeakKeyDictionary()

    async def answer(self, request: ModelRequest) -> Reply:
        """Ask, and return the whole answer."""
        model = request.model or self._model
        arguments = self._arguments(request, model, stream=False)
        begun = False
        try:
            async with self._here().send(arguments) as response:
                begun = True
                body = await response.http_response.aread()
            return self._whole(self._wire.read, _json(body), model)
        except Exception as error:
            raise self._translated(error, model, begun=begun) from error

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelPart]:
        """Ask, and yield the answer as it comes; its `Reply` last."""
        model = request.model or self._model
        arguments = self._arguments(request, model, stream=True)
        begun = False
        try:
            async with self._here().send(arguments) as response:
                begun = True
                fold = self._wire.fold()
                async for event in self._events(response.http_response):
                    for part in fold.take(event):
                        yield part
                yield self._whole(_ended, fold, model)
        except Exception as error:
            raise self._translated(error, model, begun=begun) from error

    async def close(self) -> None:
        """Close the connections of the running loop."""
        with self._lock:
            connected = self._connected.pop(asyncio.get_running_loop(), None)
        if connected is not None:
            await connected.closing.aclose()

    def _arguments(self, request: ModelRequest, model: str, *, stream: bool) -> JsonObject:
        check_request(request)
        try:
            return self._wire.build(request, model, stream)
        except MISSHAPEN as error:
            raise self._translated(ModelRequestInvalid(str(error)), model, begun=False) from error

    def _here(self) -> _Connected:
        loop = asyncio.get_running_loop()
        with self._lock:
            return self._connected.get(loop) or self._connect(loop)

    def _connect(self, loop: asyncio.AbstractEventLoop) -> _Connected:
        for ended in [known for known in self._connected if known.is_closed()]:
            del self._connected[ended]  # its sockets hold the loop: nothing else would let go of it
        client = self._vendor.make(self._idle_seconds)
        endpoint = self._vendor.endpoint(client)
        names = frozenset(inspect.signature(endpoint.create).parameters)
        create, closing = endpoint.with_streaming_response.create, _closed_in_the_end(client)
        made = _Connected(client=client, create=create, names=names, closing=closing)
        self._connected[loop] = made
        return made

    async def _events(self, response: Any) -> AsyncIterator[JsonObject]:
        """Yield a stream's events to its end. Raises `ModelStalled` if only signs of life come for too long."""
        clock = asyncio.get_running_loop().time
        reader, pieces = EventReader(), response.aiter_bytes()
        heard = clock()
        async for piece in pieces:
            told = False
            for data in reader.feed(piece):
                if data == b"[DONE]":
                    await _drain(pieces)
                    return
                event = _json(data)
                told = told or event.get("type") != "ping"
                yield event
            if told:
                heard = clock()
            elif clock() - heard > PINGS_COUNT_FOR * self._idle_seconds:
                raise ModelStalled("nothing but signs of life came")
        for data in reader.rest():
            if data != b"[DONE]":
                yield _json(data)

    def _whole(self, read: Callable[[Any], Reply], given: object, model: str) -> Reply:
        try:
            reply = read(given)
        except MISSHAPEN as error:
            raise ModelReplyUnreadable(f"it has another shape than agreed ({type(error).__name__}: {error})") from error
        told = reply.model or model
        priced_as = told if self._prices.of(told) is not None else model  # a gateway may answer under another name
        return replace(reply, usage=priced(reply.usage, priced_as, self._prices), model=told)

    def _translated(self, error: Exception, model: str, *, begun: bool) -> ModelError:
        vendor = self._vendor
        ours = error if isinstance(error, ModelError) else _ours(error, vendor.sdk, self._idle_seconds, begun=begun)
        return in_our_words(ours, provider=vendor.provider, model=model, secrets=vendor.secrets)


def _closed_in_the_end(client: Any) -> AsyncGenerator[None]:
    """Begin what closes a client when it is closed itself: at the latest as `asyncio.run` ends its loop, which closes
    all generators that were begun in it. Without that every client that nobody closes leaves warnings behind.
    """

    async def closing() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await client.close()

    begun = closing()
    with suppress(StopIteration):  # where it yields
        begun.asend(None).send(None)
    return begun


def _ended(fold: Fold) -> Reply:
    if not fold.ended:
        raise ModelStreamBroken("the stream ended before the answer did")
    return fold.reply()


def _json(data: bytes) -> JsonObject:
    value: Any = json.loads(data)
    if not isinstance(value, dict):
        raise ModelReplyUnreadable(f"it sent {type(value).__name__} where an object is due")
    return cast("JsonObject", value)


async def _drain(pieces: AsyncIterator[bytes]) -> None:
    """Read what is behind the end of an answer, which is whole whatever becomes of this."""
    with suppress(Exception):
        async with asyncio.timeout(DRAIN_SECONDS):
            async for _ in pieces:
                pass


def _ours(error: Exception, sdk: Any, idle_seconds: float, *, begun: bool) -> ModelError:
    """Return our error for any exception of an SDK or of the transport below it."""
    if isinstance(error, sdk.APIStatusError):
        return _of_status(error)
    names = {kind.__name__ for chained in _causes(error) for kind in type(chained).__mro__}
    if names & {"ConnectTimeout", "ConnectError", "PoolTimeout"}:
        return ModelUnreachable(f"no connection ({_said(error)})")
    if names & {"APITimeoutError", "TimeoutException"}:
        return ModelStalled(f"nothing came for {idle_seconds:g} s; raise idle_timeout if the model is that slow")
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) or names & {"APIResponseValidationError"}:
        return ModelReplyUnreadable(f"what came is no JSON ({_said(error)})")
    if names & {"APIConnectionError", "RequestError", "TransportError", "OSError"}:
        if begun:
            return ModelStreamBroken(f"the connection broke within the answer ({_said(error)})")
        return ModelUnreachable(f"the connection broke before an answer came ({_said(error)})")
    if "api_key" in str(error) or "credentials" in str(error) or "authentication" in str(error):
        return ModelKeyRejected(str(error))
    if begun and isinstance(error, MISSHAPEN):
        return ModelReplyUnreadable(f"it has another shape than agreed ({_said(error)})")
    return ModelError(_said(error))


def _of_status(error: Any) -> ModelError:
    headers: Mapping[str, str] = error.response.headers
    told: Any = error.body
    if isinstance(told, dict):
        told = below(cast("JsonObject", told), "error") or cast("JsonObject", told)
    ours = told_error(told or str(error.message), status=error.status_code)
    ours.retry_after_seconds = retry_after(headers, time.time())
    ours.request_id = headers.get("request-id") or headers.get("x-request-id")
    if headers.get("x-should-retry") == "false":
        ours.retryable = False
    return ours


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _said(error: Exception) -> str:
    """Return the most telling words of a chain of exceptions: the innermost that has any."""
    for chained in reversed(list(_causes(error))):
        if str(chained):
            return f"{type(chained).__name__}: {chained}"
    return type(error).__name__
