"""Tells servers what the runs of a worker say between two entries, and what they have said, to those who ask.

1. Each live event of a run that is driven here is put into its outbox; so is the number of each entry, once the log has
   it. What is said before an entry so arrives before its announcement.
2. The outbox is sent at once, then after a breath: what is said meanwhile travels together. Nothing waits for it.
3. Who begins to follow a run in the middle asks, and is told what is kept of its steps in flight.
4. A run that nobody follows has a closed outbox, where the way can tell: from the first word to nobody until somebody
   asks, or until the way was interrupted.
5. When the way was interrupted all that is kept is told again: somebody may have come unheard, and whose own way was
   open all the time asks for nothing. Who has heard it passes it over.

Entries are in the log, where every server finds them; what is told here is what no log has.
"""

import asyncio

from ropewalk.contracts import RunRecord
from ropewalk.contracts.live_events import Cursor, LiveEvents, TellsWhoFollows
from ropewalk.core.engine import Engine
from ropewalk.core.said import Said, dump_said

_LOOKS_SECONDS = 1.0
"""How often runs are looked for that are driven here no more."""
_BREATH_SECONDS = 0.002
_FROM_THE_BEGINNING = (0, 0)


class Broadcasting:
    """The live events of the runs that one worker drives."""

    def __init__(self, live: LiveEvents) -> None:
        self._live = live
        self._tells = live if isinstance(live, TellsWhoFollows) else None
        self._outboxes: dict[str, _Outbox] = {}
        self._look: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Answer those who begin to follow a run."""
        await self._live.answer(self._kept)
        if self._tells is not None:
            await self._tells.heed(on_nobody=self._rest, on_doubt=self._doubt)

    def _kept(self, run_id: str, after: Cursor) -> list[bytes]:
        outbox = self._outboxes.get(run_id)
        if outbox is None or outbox.engine.lost is not None:
            return []
        outbox.open()
        outbox.send()  # what is kept ends with an announcement: nothing may come behind it that was said before
        return [dump_said(one) for one in outbox.engine.feed.said(after)]

    def _rest(self, run_id: str) -> None:
        outbox = self._outboxes.get(run_id)
        if outbox is not None:
            outbox.rest()

    def _doubt(self) -> None:
        for outbox in self._outboxes.values():
            outbox.begin(again=True)

    def on_drive(self, record: RunRecord, engine: Engine) -> None:
        """Tell what a run says, from now on; call it just before the engine drives."""
        previous = self._outboxes.pop(record.run_id, None)
        if previous is not None:
            previous.close()
        self._outboxes[record.run_id] = _Outbox(self._live, self._tells, record.run_id, engine)
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(_LOOKS_SECONDS, self._look_round)

    def _look_round(self) -> None:
        self._look = None
        for run_id, outbox in [*self._outboxes.items()]:
            if not outbox.engine.driving:
                outbox.close()
                del self._outboxes[run_id]
        if self._outboxes:
            self._look = asyncio.get_running_loop().call_later(_LOOKS_SECONDS, self._look_round)

    async def close(self) -> None:
        """Send what is left, and tell no more."""
        if self._look is not None:
            self._look.cancel()
        for outbox in self._outboxes.values():
            outbox.close()
        self._outboxes.clear()


class _Outbox:
    """What one run has said and was not sent yet."""

    def __init__(self, live: LiveEvents, tells: TellsWhoFollows | None, run_id: str, engine: Engine) -> None:
        self.engine = engine
        self._live, self._tells = live, tells
        self._run_id = run_id
        self._loop = asyncio.get_running_loop()
        self._said: list[Said] = []
        self._sending: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self.begin()

    def begin(self, *, again: bool = False) -> None:
        """Tell where the run is now, ``again`` with what its steps in flight have said; and what it says from now on,
        after a breath: that nobody follows it is known by then.
        """
        self.open()
        feed = self.engine.feed
        first = feed.said(_FROM_THE_BEGINNING) if again else [Said(feed.newest[0])]
        if self._tells is not None:
            self.send()
            self._tells.say_first(self._run_id, [dump_said(one) for one in first])
            self._not_before = self._loop.time() + _BREATH_SECONDS
        else:
            for said in first:
                self._put(said)

    def open(self) -> None:
        """Take in what the run says from now on."""
        self.engine.feed.pass_on = self._put

    def _put(self, said: Said) -> None:
        if said.n == 0 and self._said and self._said[-1].n == 0:
            self._said.pop()  # the newer one tells of both
        self._said.append(said)
        if self._sending is None:
            self._sending = self._loop.call_at(max(self._not_before, self._loop.time()), self.send)

    def send(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None
        if self._said:
            said, self._said = self._said, []
            self._not_before = self._loop.time() + _BREATH_SECONDS
            self._live.say(self._run_id, [dump_said(one) for one in said])

    def rest(self) -> None:
        """Take in no more until `open`: nobody is there to hear it, and who comes asks for what is kept."""
        self.engine.feed.pass_on = None
        self._said.clear()
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def close(self) -> None:
        """Send what is left, and take in no more."""
        self.engine.feed.pass_on = None
        self.send()
