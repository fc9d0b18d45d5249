"""What one stream object is told, and its place in a group: the part of a stream that asks the server nothing."""

import time
from collections.abc import Iterator

from ropewalk.errors import GroupMissing, StreamBusy
from ropewalk.messaging.redis.stream_desk import Desk
from ropewalk.messaging.redis.stream_place import StreamPlace, unique_consumer


class StreamMember:
    """A stream, and perhaps a worker of one of its groups. One at a time: to be two workers, make two objects."""

    def __init__(self, place: StreamPlace, *, discard_done: bool) -> None:
        self._place = place
        self._discard_done = discard_done
        self._group: tuple[str, str, str] | None = None
        """Group, consumer, and from where the group is read should it have to be made again."""
        self._busy = False

    @property
    def name(self) -> str:
        return self._place.name

    @property
    def consumer(self) -> str:
        """The name by which the server knows this worker. Raises `GroupMissing` before `create_consumer_group`."""
        return self._joined()[1]

    def _join(self, group: str, consumer: str, start_id: str) -> None:
        self._group = group, unique_consumer(consumer), start_id

    def _joined(self) -> tuple[str, str, str]:
        if self._group is None:
            raise GroupMissing(self.name)
        return self._group

    def _named(self, group: str | None) -> str | None:
        return group or (self._group[0] if self._group else None)

    def _desk(self, *, batched: bool, by_hand: bool = False) -> Desk:
        """Return what this worker works at, until `_rise`. Raises `StreamBusy`."""
        group, consumer, start_id = self._joined()
        if self._busy:
            raise StreamBusy(self.name)
        self._busy = True
        return Desk(self._place, group, consumer, start_id=start_id, batched=batched, by_hand=by_hand)

    def _rise(self) -> None:
        self._busy = False

    def _slices(self, block: int | None) -> Iterator[float]:
        """Yield how long to wait each time, so that no call waits longer than the connection allows."""
        deadline = time.monotonic() + (0 if block is None else block / 1000 or float("inf"))
        while (left := deadline - time.monotonic()) > 0:
            yield min(left, self._place.config.slice_seconds)
