"""Takes in what strangers' workers answer: their chunks have no place in a log, and their runs are not driven.

1. Chunks of one message are put in order, the first of each number counts (`chat/ordering.py`).
2. The first one takes the run out of our workers' hands, for as long as chunks come: what a stranger has begun to
   answer is not answered again. When that is not possible, the chunks are passed over: somebody else answers.
3. They go the way of ours: into the session's log, to the pods. The last one ends the run with the whole text.
"""

import asyncio
import contextlib
import logging
from functools import partial

from ropewalk.chat import chunks
from ropewalk.chat.chunks import FAILED, LENGTH, SAID_TO_FAIL, STOP, WORDS, Chunk, Ending, Head
from ropewalk.chat.ordering import OrderingLimits, Orderings
from ropewalk.chat.outlet import Outlet, Ways
from ropewalk.contracts import QueuesRuns, RunRecord
from ropewalk.errors import RopewalkError, RunNotFound
from ropewalk.errors.chat import ChunkRefused, MessageOver
from ropewalk.server.runs import RunService

log = logging.getLogger("ropewalk")

_HELD_SECONDS = 30.0
_WAITS = 3
_LONGEST_CODE, _MOST_WORDS = 100, 2000
_MOST_KEPT = 10_000


class Relay:
    """Strangers' chunks at one pod."""

    def __init__(self, pod_id: str, service: RunService, ways: Ways, limits: OrderingLimits | None = None) -> None:
        self.orderings: Orderings[Chunk] = Orderings(limits)
        self._name = f"pod {pod_id}"
        self._service = service
        self._ways = ways
        self._admitted: dict[str, None] = {}
        """Messages that this pod has taken: it listens for their answers though no client of theirs is here."""
        self._over: dict[str, None] = {}
        """Messages that were told here to their end: nothing more of them counts."""
        self._answers: dict[str, _Answer] = {}
        self._looked_at = float("-inf")

    def expect(self, message_id: str) -> None:
        """Listen for the answer to a message that this pod has taken."""
        _remember(self._admitted, message_id)

    def end(self, message_id: str) -> None:
        """Take no more of a message that was told to its end."""
        _remember(self._over, message_id)

    def take(self, chunk: Chunk, *, is_followed: bool) -> None:
        """Take a chunk that has no place."""
        message_id = chunk.message_id
        if not is_followed and message_id not in self._admitted and message_id not in self._answers:
            return
        if message_id in self._over:
            return
        answer = self._answers.get(message_id)
        if answer is None and chunk.chunk_id == 0:  # nobody here tells what came before: it begins anew
            self.orderings.forget_begun(message_id)
        now, ends = asyncio.get_running_loop().time(), chunk.is_final or chunk.is_failure
        through = self.orderings.take(message_id, chunk.chunk_id, chunk, is_final=ends, now=now)
        if not through or (answer is None and through[0].chunk_id):  # its beginning was passed over
            return
        if answer is None:
            answer = self._answers[message_id] = _Answer(self, chunk)
            answer.task.add_done_callback(lambda _: self._answers.pop(message_id, None))
        for one in through:
            answer.queue.put_nowait(one)

    def look_around(self, now: float) -> None:
        """Give up what waits for a chunk that does not come; not more often than is asked for."""
        if now - self._looked_at < self.orderings.limits.cleanup_seconds:
            return
        self._looked_at = now
        for message_id in self.orderings.given_up(now):
            answer = self._answers.get(message_id)
            if answer is not None:
                answer.queue.put_nowait(None)

    async def close(self) -> None:
        answers = [answer.task for answer in self._answers.values()]
        for task in answers:
            task.cancel()
        if answers:
            await asyncio.wait(answers)

    async def hold(self, session_id: str, message_id: str) -> tuple[RunRecord | None, bool]:
        """Return the run of a message, held here, and whether its answer may be told: nobody else is at it."""
        store = self._service.store
        try:
            record = await store.look(message_id)
        except RunNotFound:  # a stranger's pod has taken it, and nobody of ours
            return None, True
        is_ours = record.session == session_id and record.graph in self._service.graphs
        if not is_ours or not isinstance(store, QueuesRuns):
            return None, False
        held = await store.queue().hold(message_id, self._name, ttl_seconds=_HELD_SECONDS)
        return (held.record, True) if held is not None else (None, False)

    async def conclude(self, record: RunRecord, text: str, *, failure: str | None) -> None:
        """End a run as a stranger has answered it, or has said why it could not."""
        desk = self._service.graph(record.graph).desk
        fresh = await self._service.store.look(record.run_id)
        if fresh.epoch != record.epoch:
            raise ChunkRefused(record.run_id, record.epoch, fresh.epoch)
        if failure is None:
            await desk.conclude(fresh, {"messages": {"role": "assistant", "content": text}}, by=self._name)
        else:
            await desk.set_aside(fresh, SAID_TO_FAIL, failure)

    @property
    def ways(self) -> Ways:
        return self._ways


class _Answer:
    """One message as a stranger answers it."""

    def __init__(self, relay: Relay, first: Chunk) -> None:
        self.queue: asyncio.Queue[Chunk | None] = asyncio.Queue()
        self._relay = relay
        self._text = ""
        self._held_at = asyncio.get_running_loop().time()
        correlation_id = str(first.told.get("correlation_id") or first.message_id)
        self._head = Head(session_id=first.session_id, message_id=first.message_id, correlation_id=correlation_id)
        self.task = asyncio.create_task(self._tell(), name=f"ropewalk: a stranger's answer {first.message_id}")

    async def _tell(self) -> None:
        message_id = self._head.message_id
        try:
            record, is_free = await self._relay.hold(self._head.session_id, message_id)
            if not is_free:
                return
            outlet = Outlet(self._head, 1 if record is None else record.epoch, self._relay.ways, lambda: self._text)
            if await outlet.open():
                await outlet.anew("")
            while (chunk := await self._next(record)) is not None:
                if chunk.is_final or chunk.is_failure:
                    await self._end(outlet, chunk, record)
                    return
                if chunk.kind == "content":
                    self._text += chunk.text
                    await outlet.say(chunk.text)
                else:
                    aside = partial(chunks.aside, chunk=chunk)
                    await outlet.say(chunk.text, aside, is_text=False)
        except (ChunkRefused, MessageOver):
            pass
        except RopewalkError as trouble:
            log.warning("a stranger's answer to %s is lost here: %s", message_id, trouble)

    async def _next(self, record: RunRecord | None) -> Chunk | None:
        """Return the next chunk, with the run kept in hand meanwhile; None when it is waited for in vain."""
        loop = asyncio.get_running_loop()
        for _ in range(_WAITS):
            if record is not None and loop.time() - self._held_at > _HELD_SECONDS / _WAITS:
                await self._relay.hold(self._head.session_id, self._head.message_id)
                self._held_at = loop.time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HELD_SECONDS / _WAITS):
                    return await self.queue.get()
        return None

    async def _end(self, outlet: Outlet, chunk: Chunk, record: RunRecord | None) -> None:
        failed = chunk.is_failure
        code, words = (found[:most] for found, most in zip(chunk.failure, (_LONGEST_CODE, _MOST_WORDS), strict=True))
        rest = "" if failed or chunk.kind != "content" else chunk.text
        self._text += rest
        if failed and self._text:  # the store does not keep it
            self._text = ""
            await outlet.anew("")
        if record is not None:
            await self._relay.conclude(record, self._text, failure=(words or WORDS[FAILED]) if failed else None)
        used = chunk.metadata.get("tokens_used")
        ending = Ending(
            reason=FAILED if failed else LENGTH if chunk.ending == LENGTH else STOP,
            model=str(chunk.metadata.get("model") or ""),
            tokens_used=used if isinstance(used, int) else len(self._text.split()),
            code=code or SAID_TO_FAIL,
            words=words or WORDS[FAILED],
        )
        await outlet.say(rest, lambda h, n, text: chunks.last(h, n, text, ending), final=True)
        self._relay.end(self._head.message_id)


def _remember(messages: dict[str, None], message_id: str) -> None:
    messages[message_id] = None
    while len(messages) > _MOST_KEPT:
        del messages[next(iter(messages))]
