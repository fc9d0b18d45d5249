"""How long messages wait for a slot of a worker: by Erlang's formula, and by playing it through, deaths of workers too.

The play is deterministic: the same seed gives the same answer.
"""

import heapq
import random
from dataclasses import dataclass


def chance_to_wait(offered: float, slots: int) -> float:
    """Return how likely a message finds no slot free (Erlang C); ``offered`` are the slots that are busy on average."""
    if offered >= slots:
        return 1.0
    blocked = 1.0
    for number in range(1, slots + 1):
        blocked = offered * blocked / (number + offered * blocked)
    return blocked / (1 - (1 - blocked) * offered / slots)


def mean_wait(offered: float, slots: int, hold_seconds: float) -> float:
    """Return the average wait of all messages, in seconds."""
    if offered >= slots:
        return float("inf")
    return chance_to_wait(offered, slots) * hold_seconds / (slots - offered)


@dataclass(frozen=True, kw_only=True, slots=True)
class Death:
    """A worker that dies: its slots are gone, and what was in them begins again elsewhere when its lease is over."""

    at: float
    slots: int
    lease_seconds: float = 30.0
    back_after: float = 60.0
    """When another one has taken its place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """What became of the messages."""

    answered: int
    waited: list[float]
    """Seconds until an answer began, each, in order; what was begun again counts from its beginning."""
    deepest: int
    """The most that waited at a time: `ropewalk_queue_depth`."""
    begun_again: int

    def percentile(self, share: float) -> float:
        return self.waited[min(len(self.waited) - 1, int(len(self.waited) * share))] if self.waited else 0.0


def play(
    *, rate: float, hold_seconds: float, slots: int, seconds: float, seed: int = 1, death: Death | None = None
) -> Played:
    """Let messages come for ``seconds`` at ``rate``, each holding a slot for a time that is drawn around its mean."""
    return _Play(rate, hold_seconds, slots, seconds, random.Random(seed)).run(death)


class _Play:
    """The events, in the order of their times: who comes, who is done, what dies and comes back."""

    def __init__(self, rate: float, hold: float, slots: int, seconds: float, dice: random.Random) -> None:
        self.rate, self.hold, self.free, self.seconds, self.dice = rate, hold, slots, seconds, dice
        self.events: list[tuple[float, int, str, int]] = []
        self.waiting: list[tuple[float, int]] = []
        self.driven: dict[int, int] = {}
        """Who is answered, by the number of the attempt, in the order in which they began."""
        self.waited: list[float] = []
        self.deepest = self.begun_again = self.answered = self.owed = self.count = 0

    def run(self, death: Death | None) -> Played:
        self.push(self.dice.expovariate(self.rate), "comes", 0)
        if death is not None:
            self.push(death.at, "dies", death.slots)
        while self.events:
            now, _, what, who = heapq.heappop(self.events)
            self.happens(now, what, who, death)
        self.waited.sort()
        return Played(answered=self.answered, waited=self.waited, deepest=self.deepest, begun_again=self.begun_again)

    def push(self, at: float, what: str, who: int) -> None:
        self.count += 1
        heapq.heappush(self.events, (at, self.count, what, who))

    def happens(self, now: float, what: str, who: int, death: Death | None) -> None:
        match what:
            case "comes":
                heapq.heappush(self.waiting, (now, who))
                if now < self.seconds:
                    self.push(now + self.dice.expovariate(self.rate), "comes", who + 1)
            case "done" if who in self.driven:
                del self.driven[who]
                self.answered += 1
                self.free += 1
            case "dies" if death is not None:
                self.die(now, death)
            case "again":
                self.begun_again += 1
                heapq.heappush(self.waiting, (now, who))
            case "back":
                self.free += who
            case _:  # it was done by a worker that is dead
                pass
        self.begin(now)

    def die(self, now: float, death: Death) -> None:
        lost = min(death.slots, len(self.driven))
        for attempt in list(self.driven)[:lost]:
            self.push(now + death.lease_seconds, "again", self.driven.pop(attempt))
        self.free -= death.slots - lost
        self.push(now + death.back_after, "back", death.slots)

    def begin(self, now: float) -> None:
        while self.waiting and self.free > 0:
            came, who = heapq.heappop(self.waiting)
            self.waited.append(now - came)
            self.free -= 1
            self.push(now + self.dice.expovariate(1 / self.hold), "done", self.count + 1)
            self.driven[self.count] = who
        self.deepest = max(self.deepest, len(self.waiting))
