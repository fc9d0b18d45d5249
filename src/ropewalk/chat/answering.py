"""What makes a worker answer chats: before a run begins, while it is driven, and when a stranger's pod asks.

1. A run begins with its session's history; that its turn has come, the worker has seen to (`workers/driving.py`).
2. While it is driven, a writer tells the session what it says (`chat/writing.py`).
3. Requests on the bus are admitted to the store, once each. For ours that has happened: they only wake, and of what
   this worker has claimed, or claims this very moment, the store is not asked.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, cast

from ropewalk.chat import chunks
from ropewalk.chat.chunks import FAILED, Ending, Head
from ropewalk.chat.closing import Closing
from ropewalk.chat.desk import ChatDesk
from ropewalk.chat.noted import noted_in
from ropewalk.chat.outlet import Outlet, Ways
from ropewalk.chat.requests import Address, WorkflowRequest, address_in, read_request
from ropewalk.chat.writing import Writer
from ropewalk.contracts import RunRecord
from ropewalk.contracts.chat_requests import ChatRequests, Delivery
from ropewalk.core.engine import Engine
from ropewalk.core.facts import Fact, StateEdited, read_entry
from ropewalk.errors import (
    BusUnavailable,
    GraphNotFound,
    LimitReached,
    RopewalkError,
    RunNotFound,
    StoreUnavailable,
)
from ropewalk.errors.chat import ChunkRefused, MessageOver
from ropewalk.events import Entry

log = logging.getLogger("ropewalk")

MOST_MESSAGES = 500
"""Of a session's history, the newest: what a run begins with."""
_BY = "chat"
"""Who writes the history into a run's state, as its log tells it."""
_PAGE = 10
_ATTEMPTS = 5
_OPENINGS = 20
"""A run with more entries has begun: it was not claimed and given back so often before."""
_BEFORE_ITS_BEGINNING = frozenset({"run_started", "reset"})
_AGAIN_SECONDS = 1.0
_FETCH_SECONDS = 5.0
_FETCHED = 50
_FULL_SECONDS = 0.05
_MOST_OPENED = 1000
_MOST_SEEN = 10_000


async def _nothing(_: str) -> None:
    """Have no run in hand."""


class Answering:
    """The chat's side of one worker."""

    def __init__(
        self,
        desk: ChatDesk,
        ways: Ways,
        requests: ChatRequests | None,
        *,
        free: Callable[[], int] = lambda: _FETCHED,
        in_hand: Callable[[str], Awaitable[RunRecord | None]] = _nothing,
    ) -> None:
        """``free`` tells how many more runs the worker has room for: no more requests are fetched. ``in_hand`` tells of
        a run that it has.
        """
        self._desk = desk
        self._ways = ways
        self._requests = requests
        self._free = free
        self._in_hand = in_hand
        self._closing = Closing(desk.service, ways)
        self._writing: set[asyncio.Task[None]] = set()
        self._taking: asyncio.Task[None] | None = None
        self._opened: dict[str, Sequence[Entry]] = {}
        """What was read of runs whose driving may begin next."""
        self._seen: dict[str, tuple[str | None, str | None]] = {}
        """Messages whose runs were claimed here, and which are admitted therefore -> user, session."""
        self.taken = 0
        """Requests that were handed to this worker."""
        self.admitted = 0
        self.buried = 0

    @property
    def writing(self) -> int:
        """How many answers are told at the moment."""
        return len(self._writing)

    def start(self) -> None:
        """Begin to take requests from the bus."""
        if self._requests is not None:
            self._taking = asyncio.create_task(self._take_requests(self._requests), name="ropewalk: requests")

    async def close(self, *, grace_seconds: float = 5.0) -> None:
        """Take no more, and let what is being told be told."""
        if self._taking is not None:
            self._taking.cancel()
            await asyncio.wait({self._taking})
        if self._writing:
            await asyncio.wait({*self._writing}, timeout=grace_seconds)
        for task in self._writing:
            task.cancel()

    # -- runs ---------------------------------------------------------------------------------------------------------

    async def opening(self, record: RunRecord, engine: Engine) -> Sequence[Fact]:
        """Return what a run of a chat begins with; nothing for one that has begun, or is no chat's."""
        self._note_seen(record)
        if record.session is None or engine.schedule.number > _OPENINGS:
            return ()
        self._ways.whereabouts.expect(record.session)
        entries = await self._entries(record, engine)
        self._note_opened(record.run_id, entries)
        started = entries[0].data
        has_begun = any(entry.type not in _BEFORE_ITS_BEGINNING for entry in entries)
        noted = noted_in(started)
        if has_begun or noted is None or (noted.is_first and record.turn == 1):
            return ()
        before = await self._history(record, noted.behind)
        if not before:
            return ()
        messages = [*before, *cast("list[Any]", started["state"]["messages"])]
        shape = engine.schedule.shape
        return [StateEdited(shape.told({"messages": messages}, "The session's history"), _BY, at_rest=True)]

    async def _entries(self, record: RunRecord, engine: Engine) -> Sequence[Entry]:
        if engine.feed.log is not None:
            return engine.feed.log
        kept = await self._desk.service.store.read(record.run_id, limit=_OPENINGS)
        return [read_entry(number, body) for number, body in kept]

    def _note_seen(self, record: RunRecord) -> None:
        if len(self._seen) >= _MOST_SEEN:
            self._seen.clear()
        self._seen[record.run_id] = (record.owner, record.session)

    def _note_opened(self, run_id: str, kept: Sequence[Entry]) -> None:
        if len(self._opened) >= _MOST_OPENED:  # of runs that did not begin here after all
            self._opened.clear()
        self._opened[run_id] = kept

    async def _history(self, record: RunRecord, likely: str | None) -> list[Any]:
        """Return the messages with which the session's run before this one has ended; ``likely`` is the one that it
        may be: its log is read while that is found out.

        One that was stopped before it began knows nothing of what was before it: it is passed over.
        """
        service = self._desk.service
        reading = asyncio.ensure_future(self._log_of(likely))
        try:
            async for earlier in self._before(record, likely):
                if earlier.graph in service.graphs and (earlier.turn == 1 or await self._has_begun(earlier)):
                    log = await reading if earlier.run_id == likely else ()
                    whole = log if len(log) == earlier.last else None  # else it is long, or has gone on meanwhile
                    engine = await service.graph(earlier.graph).desk.fold(earlier, whole)
                    state = engine.schedule.shape.to_json(engine.schedule.union())
                    return list(state.get("messages") or [])[-MOST_MESSAGES:]
        finally:
            reading.cancel()
        return []

    async def _log_of(self, run_id: str | None) -> Sequence[tuple[int, bytes]]:
        """Return a run's log, if it is short, else its beginning; nothing of one that cannot be had."""
        if run_id is None:
            return ()
        try:
            return await self._desk.service.store.read(run_id, limit=_OPENINGS)
        except RopewalkError:  # whoever needs it asks again, and is told
            return ()

    async def _before(self, record: RunRecord, likely: str | None) -> AsyncIterator[RunRecord]:
        """Yield the runs of the session that came before this one, the newest first; ``likely`` is looked at before the
        others are looked for.
        """
        guessed = None if likely is None else await self._guessed(likely)
        if guessed is not None and _has_ended_right_before(guessed, record):
            yield guessed
        store, after = self._desk.service.store, None  # from the newest on: few wait behind this one
        where: dict[str, Any] = {"owner": record.owner, "session": record.session}
        if record.turn is None:
            where, after = {**where, "statuses": ("DONE",)}, record.run_id
        while page := await store.runs(**where, after=after, limit=_PAGE):
            after = page[-1].run_id
            for one in sorted(page, key=lambda one: -(one.turn or 0)):
                if record.turn is None or (one.turn or 0) < record.turn:
                    yield one

    async def _guessed(self, run_id: str) -> RunRecord | None:
        try:
            return await self._desk.service.store.look(run_id)
        except RunNotFound:
            return None

    async def _has_begun(self, record: RunRecord) -> bool:
        """Tell whether a run had what was said before it."""
        if record.status in ("DONE", "PAUSED"):
            return True
        entries = await self._desk.service.store.read(record.run_id, limit=_OPENINGS)
        facts = [read_entry(number, body) for number, body in entries]
        return any(fact.type == "state_edited" and fact.data.get("by") == _BY for fact in facts)

    def on_drive(self, record: RunRecord, engine: Engine) -> None:
        """Tell the session what the run says, from now on."""
        if record.session is None:
            return
        writer = Writer(record, self._desk.service.store, self._ways, kept=self._opened.pop(record.run_id, ()))
        task = asyncio.create_task(writer.follow(engine), name=f"ropewalk: chunks of {record.run_id}")
        self._writing.add(task)
        task.add_done_callback(self._written)

    def _written(self, task: "asyncio.Task[None]") -> None:
        self._writing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("%s: %s", task.get_name(), task.exception())

    # -- requests -----------------------------------------------------------------------------------------------------

    async def _take_requests(self, requests: ChatRequests) -> None:
        while True:
            free = min(_FETCHED, self._free())
            if free < 1:
                await asyncio.sleep(_FULL_SECONDS)
                continue
            deliveries = await requests.fetch(most=free, at_most_seconds=_FETCH_SECONDS)
            for trouble in await asyncio.gather(*map(self._take, deliveries), return_exceptions=True):
                if trouble is not None:  # it is handed out again, five times at most
                    log.warning("a request could not be taken", exc_info=trouble)

    async def _take(self, delivery: Delivery) -> None:
        self.taken += 1
        try:
            request = read_request(delivery.body)
            if request.session_id != delivery.session_id:
                raise ValueError("session_id is not the subject's")
            if not await self._is_seen(request):
                await self._admit(request)
            await delivery.done()
        except (StoreUnavailable, LimitReached) as trouble:
            log.warning("a request waits: %s", trouble)
            await delivery.again(in_seconds=_AGAIN_SECONDS)
        except GraphNotFound as trouble:
            if delivery.attempt < _ATTEMPTS:  # another worker may serve it
                await delivery.again(in_seconds=_AGAIN_SECONDS)
            else:
                await self._refuse(delivery, trouble)
        except (RopewalkError, ValueError) as trouble:
            await self._refuse(delivery, trouble)

    async def _is_seen(self, request: WorkflowRequest) -> bool:
        """Tell whether this worker knows the message as one that is in the store."""
        told = (request.user_id, request.session_id)
        if self._seen.get(request.message_id) == told:
            return True
        record = await self._in_hand(request.message_id)
        return record is not None and (record.owner, record.session) == told

    async def _admit(self, request: WorkflowRequest) -> None:
        accepted = await self._desk.admit(request)
        self.admitted += accepted.is_new
        if accepted.message_id != request.message_id:  # it has answered that one, and gets an end of its own
            await self._closing.close(request.message_id)

    async def _refuse(self, delivery: Delivery, why: Exception) -> None:
        """Put a request away that nobody can answer, and tell who waits."""
        code = why.code if isinstance(why, RopewalkError) else "request_unreadable"
        log.warning("a request is refused (%s) and kept with the dead letters", code)
        self.buried += 1
        try:
            await delivery.bury(code)
        except BusUnavailable as trouble:  # it is handed out again
            log.warning("a refused request waits: %s", trouble)
            return
        address = address_in(delivery.session_id, delivery.body)
        if address is not None and not await self._desk.has(address.message_id):
            await self._tell_refusal(address, code)

    async def _tell_refusal(self, address: Address, code: str) -> None:
        head = Head(**address._asdict())
        ending = Ending(reason=FAILED, code=code, words="The message could not be taken.")
        outlet = Outlet(head, 1, self._ways, lambda: "")
        try:
            await outlet.open()
            await outlet.say("", lambda h, n, text: chunks.last(h, n, text, ending), final=True)
        except (ChunkRefused, MessageOver):
            pass


def _has_ended_right_before(earlier: RunRecord, record: RunRecord) -> bool:
    """Tell whether a run is the one of the session's turn before, and has come to its end: no other is asked for."""
    is_its = (earlier.owner, earlier.session) == (record.owner, record.session)
    is_next = record.turn is not None and earlier.turn == record.turn - 1
    return is_its and is_next and earlier.status == "DONE"
