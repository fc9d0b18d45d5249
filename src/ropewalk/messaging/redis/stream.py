"""A stream for threads: messages that are kept until they are done, by workers that may die."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any

from ropewalk.errors import RedisProblem
from ropewalk.messaging.redis.client import RedisClient
from ropewalk.messaging.redis.outage import Outage, group_is_gone, is_hopeless
from ropewalk.messaging.redis.sharing import the_client
from ropewalk.messaging.redis.stream_desk import Desk, Processor
from ropewalk.messaging.redis.stream_keeper import Keeper
from ropewalk.messaging.redis.stream_member import StreamMember
from ropewalk.messaging.redis.stream_messages import DeadLetter, StreamMessage, StreamStats, Taken
from ropewalk.messaging.redis.stream_place import StreamPlace


class RedisStream(StreamMember):
    """A durable line of messages; each consumer group processes each message, at least once.

    A message is acknowledged after its processor succeeded. One that fails is tried again after ``backoff`` seconds,
    then twice as long, and so on; after ``max_attempts`` it is a dead letter. A worker gives signs of life; after
    ``lease`` seconds without one, what it held goes to others, however long or short it had been at it.
    """

    def __init__(  # noqa: PLR0913  (what a stream can be told)
        self,
        name: str,
        redis_client: RedisClient | None = None,
        lease: float = 30,
        max_attempts: int = 5,
        backoff: float = 1.0,
        *,
        maxlen: int | None = None,
        max_age: float | None = None,
        discard_done: bool = False,
        kind: Any = None,
    ) -> None:
        """Name a stream; nothing is asked of the server yet.

        ``maxlen`` and ``max_age`` (seconds) bound it whether or not all was processed; ``discard_done`` lets go of
        what every group has finished. ``kind`` is what a message's data is checked as when it is read (a model, say).
        """
        self._client = the_client(redis_client)
        place = StreamPlace(
            name=name,
            lease=lease,
            max_attempts=max_attempts,
            backoff=backoff,
            maxlen=maxlen,
            max_age=max_age,
            kind=kind,
            config=self._client.config,
        )
        super().__init__(place, discard_done=discard_done)
        self._stopping = threading.Event()
        self._reader: tuple[Desk, Keeper] | None = None

    def add(self, data: Any) -> str:
        """Add a message; return its id. Added again after this raised, it may be there twice."""
        return self._client.talk(self._place.add(data))

    def add_many(self, many: Sequence[Any]) -> list[str]:
        """Add messages in one round trip."""
        return self._client.talk(self._place.add_many(many))

    def read(self, count: int = 10, last_id: str = "0", block: int | None = None) -> list[StreamMessage]:
        """Return what follows ``last_id`` ("$": what comes from now on); wait up to ``block`` milliseconds for it."""
        if last_id == "$":
            last_id = self._client.talk(self._place.end())
        found = self._client.talk(self._place.read(count, last_id))
        for seconds in self._slices(block):
            if found:
                break
            found = self._client.talk(self._place.read_blocking(count, last_id, seconds))
        return found

    def create_consumer_group(self, group: str, consumer: str = "worker", start_id: str = "0") -> bool:
        """Join a group, made if it is not there: from the first message on, or from ``start_id`` ("$": from now on).

        The consumer's real name, `consumer`, is made unique.
        """
        made = self._client.talk(self._place.create_group(group, start_id))
        self._join(group, consumer, start_id)
        return made

    def process_messages(
        self, processor: Processor, count: int | None = None, block: int = 1000, *, concurrency: int = 1
    ) -> None:
        """Process messages until `stop()`, ``concurrency`` of them at once, in threads if more than one.

        The processor gets a message's data. It failed if it raises or returns False. ``count`` above one takes that
        many in one round trip: faster for very short work, and a crash may repeat the last few hundredths of a second.
        """
        batched = (count or 1) > 1
        desk = self._desk(batched=batched)
        keeper = Keeper(desk, self._client, discard_done=self._discard_done, flushes=batched)
        outage = Outage(f"Stream {self.name!r}")
        try:
            while not self._stopping.is_set() and not self._tried(keeper.beat, desk, outage):
                pass
            keeper.start()
            self._work(desk, processor, count or 1, block / 1000, concurrency)
        finally:
            self._leave(desk, keeper)
            self._stopping.clear()

    def process_in_thread(self, processor: Processor, count: int | None = None, **more: Any) -> threading.Thread:
        """Do `process_messages` in a thread of its own."""
        self._joined()
        doing = threading.Thread(target=self.process_messages, args=(processor, count), kwargs=more, daemon=True)
        doing.start()
        return doing

    def stop(self) -> None:
        """Begin no more; `process_messages` returns when what was begun is done."""
        self._stopping.set()

    def read_group(self, count: int = 10, block: int | None = None, last_id: str = ">") -> list[StreamMessage]:
        """Take messages to process by oneself: each is this worker's until `acknowledge`, or until `close`.

        Any other ``last_id`` shows again what this worker holds after that id.
        """
        group, consumer, _ = self._joined()
        if last_id != ">":
            return self._client.talk(self._place.own_history(group, consumer, count, last_id))
        desk = self._by_hand()
        taken = self._client.talk(desk.turn(count, count))
        for seconds in self._slices(block):
            if taken:
                break
            taken = self._client.talk(desk.wait(count, seconds)) or self._client.talk(desk.turn(count, count))
        return desk.messages(taken)

    def acknowledge(self, message_id: str) -> bool:
        """Say that a message of `read_group` is done; False when it was not this worker's any more."""
        if self._reader is None or message_id not in self._reader[0].held:
            return False
        desk = self._reader[0]
        desk.succeeded(desk.held[message_id], None)
        self._client.talk(desk.turn(0, 0))
        return message_id not in desk.refused

    def close(self) -> None:
        """Give back what `read_group` took and nobody acknowledged."""
        if self._reader is not None:
            reader, self._reader = self._reader, None
            self._leave(*reader)

    def dead_letters(self, count: int | None = None, after: str = "0") -> list[DeadLetter]:
        """Return the messages that were given up, oldest first."""
        return self._client.talk(self._place.dead_letters(count, after))

    def replay_dead_letters(self, ids: Sequence[str] | None = None) -> list[str]:
        """Add dead letters to the stream again, all or those of these ids, for their group; return their new ids."""
        return self._client.talk(self._place.replay_dead_letters(ids))

    def stats(self, group: str | None = None) -> StreamStats:
        """Return numbers of a group, of one's own if none is named."""
        return self._client.talk(self._place.stats(self._named(group)))

    def _by_hand(self) -> Desk:
        if self._reader is None:
            desk = self._desk(batched=True, by_hand=True)
            keeper = Keeper(desk, self._client, discard_done=self._discard_done, flushes=False)
            try:
                keeper.beat()
            except BaseException:
                self._rise()
                raise
            keeper.start()
            self._reader = desk, keeper
        return self._reader[0]

    def _work(self, desk: Desk, processor: Processor, count: int, longest: float, concurrency: int) -> None:
        if concurrency == 1:
            self._loop(desk, processor, count, longest)
            return
        failed: list[BaseException] = []

        def work() -> None:
            try:
                self._loop(desk, processor, count, longest)
            except BaseException as error:  # noqa: BLE001  (raised again below, in the caller's thread)
                failed.append(error)
                self._stopping.set()

        threads = [threading.Thread(target=work, daemon=True) for _ in range(concurrency)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]

    def _loop(self, desk: Desk, processor: Processor, count: int, longest: float) -> None:
        outage = Outage(f"Stream {self.name!r}")

        def take() -> None:
            if not desk.fresh:
                self._client.talk(desk.beat())
            taken.extend(self._client.talk(desk.turn(1, count)) or self._client.talk(desk.wait(count, longest)))

        with asyncio.Runner() as runner:  # begins a loop only for a processor that is async
            while not self._stopping.is_set():
                taken: list[Taken] = []
                if self._tried(take, desk, outage):
                    for one in taken:
                        self._process(desk, processor, one, runner)

    def _process(self, desk: Desk, processor: Processor, taken: Taken, runner: asyncio.Runner) -> None:
        if self._stopping.is_set() or not desk.may_begin(taken):
            desk.drop(taken)
            return
        opened = desk.opened(taken)
        if opened is None:
            return
        try:
            result = processor(opened[0])
            if result is not None and inspect.isawaitable(result):
                result = runner.run(_awaited(result))
        except Exception as error:  # noqa: BLE001  (whatever it is, the message is tried again)
            desk.failed(taken, error)
        else:
            desk.succeeded(taken, result)
        if desk.batched and desk.flush_is_due:
            self._tried(lambda: self._client.talk(desk.turn(0, 0)), desk, Outage(f"Stream {self.name!r}"))

    def _tried(self, act: Callable[[], object], desk: Desk, outage: Outage) -> bool:
        """Do it; when the server is away, wait a little, and say that it was not done."""
        try:
            act()
        except RedisProblem as problem:
            if is_hopeless(problem):
                raise
            if group_is_gone(problem):
                self._tried(lambda: self._client.talk(desk.make_group()), desk, outage)
            else:
                self._stopping.wait(outage.pause(problem))
            return False
        outage.over()
        return True

    def _leave(self, desk: Desk, keeper: Keeper) -> None:
        """Give back what is not done; where the server is away the others take it after a lease."""
        keeper.end()
        try:
            if desk.unsettled:
                self._client.talk(desk.turn(0, 0))
            self._client.talk(self._place.leave(desk.group, desk.consumer))
        except RedisProblem as problem:
            desk.left(problem)
        finally:
            self._rise()


async def _awaited(awaitable: Any) -> Any:
    return await awaitable
