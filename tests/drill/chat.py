"""`python -m tests.drill --only-chat`: a chat service of several processes and three servers, all of them in trouble.

1. PostgreSQL, NATS and Redis of its own; pods and workers with short leases; people who talk (`chat_people.py`).
2. Every few seconds something happens (`chat_crew.py`): a pod or a worker is killed or frozen, NATS or Redis goes away,
   once in each round with all that it stored.
3. Then all is let well again, and there is time for every message to end at every tab. The history and the tabs are
   judged (`chat_judge.py`).
"""

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.drill.chat_crew import ChatCrew, planned
from tests.drill.chat_judge import Verdict, judge
from tests.drill.chat_people import Clients, Person
from tests.servers.jetstream import NatsServer
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import RedisServer

from ropewalk.core.facts import read_entry
from ropewalk.errors import RunNotFound
from ropewalk.stores.postgres import PostgresRunStore

MESSAGES_A_SECOND = 6.0
"""Of all sessions together, however many there are: what a small machine can carry beside the drill itself."""
_PATIENCE_SECONDS = 90.0
"""How long nothing may end before the drill gives up waiting."""


class Size(NamedTuple):
    pods: int = 3
    workers: int = 3
    sessions: int = 200
    seconds: float = 300.0
    lease: float = 3.0


@dataclass(kw_only=True)
class Findings:
    """What happened, and what is wrong."""

    size: Size
    seed: int
    verdict: Verdict = field(default_factory=Verdict)
    counts: dict[str, int] = field(default_factory=dict[str, int])
    messages: int = 0
    cancelled: int = 0
    cuts: int = 0
    repeats: int = 0
    resets: int = 0
    stuck: list[str] = field(default_factory=list[str])
    surprises: list[str] = field(default_factory=list[str])
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        found = self.verdict
        return not (found.suspects or found.doubled or self.stuck or self.surprises)

    def __str__(self) -> str:
        size, found, counts = self.size, self.verdict, self.counts
        return (
            f"chat pods={size.pods} workers={size.workers} sessions={size.sessions} messages={self.messages} "
            f"cancelled={self.cancelled} repeats={self.repeats} killed={counts['kill']} frozen={counts['freeze']} "
            f"restarted={counts['restart']} emptied={counts['empty']} cut={self.cuts} resets={self.resets} "
            f"lost={len(found.lost)} doubled={len(found.doubled)} differing={len(found.differing)} "
            f"unended={len(found.unended)} faults={len(found.faults)} stuck={len(self.stuck)} "
            f"surprises={len(self.surprises)} seed={self.seed} seconds={self.seconds:.0f}"
        )


def chatted(size: Size, seed: int) -> Findings:
    """Hold the drill and judge it."""
    findings, began = Findings(size=size, seed=seed), time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ropewalk-chat-drill-")))
        postgres = stack.enter_context(PostgresServer({"max_connections": "300"}))
        nats, redis = stack.enter_context(NatsServer()), stack.enter_context(RedisServer())
        crew = ChatCrew(folder, store=postgres.url, nats=nats, redis=redis, lease=size.lease)
        stack.callback(crew.close)
        asyncio.run(_held(findings, crew, postgres.url))
        findings.surprises += crew.surprises()
        findings.stuck += _stuck(postgres.url)
    findings.surprises += crew.deaths
    findings.counts, findings.seconds = crew.counts, time.monotonic() - began
    for line in (*findings.stuck, *findings.surprises):
        print(line, file=sys.stderr)
    return findings


async def _held(findings: Findings, crew: ChatCrew, store_url: str) -> None:
    size, dice = findings.size, random.Random(findings.seed)
    names = [*(f"pod-{n}" for n in range(size.pods)), *(f"worker-{n}" for n in range(size.workers))]
    await asyncio.gather(*[asyncio.to_thread(crew.start, name) for name in names])
    clients = Clients(urls=lambda: crew.urls)
    gap = max(2.0, 1.8 * size.sessions / MESSAGES_A_SECOND)
    people = [Person(number, findings.seed, clients, gap) for number in range(size.sessions)]
    living = [asyncio.create_task(person.live(size.seconds)) for person in people]
    began = time.monotonic()
    for strike in planned(dice, size.seconds, names, size.lease):
        await asyncio.sleep(max(0.0, strike.at - (time.monotonic() - began)))
        crew.strike(strike)
    await crew.recover()
    await asyncio.wait(living, timeout=size.seconds + _PATIENCE_SECONDS)
    findings.surprises += [repr(task) for task in living if not task.done() or task.exception()]
    crew.tell("well", "all")
    await _settled(people)
    for person in people:
        await judge(findings.verdict, person, clients.any(dice))
    await _tell_stories(findings, crew, store_url)
    _count(findings, people)
    for person in people:
        await person.leave()
    await clients.close()


async def _settled(people: Iterable[Person]) -> None:
    """Return when every tab has the end of all that it must have, or when nothing has ended for long."""
    left, at = -1, time.monotonic()
    for person in people:
        person.is_calm = True
    while time.monotonic() - at < _PATIENCE_SECONDS:
        still = sum(len(person.open_at(tab)) for person in people for tab in person.tabs)
        if still != left:
            left, at = still, time.monotonic()
        if not still:
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(3.0)  # for what comes twice


def _count(findings: Findings, people: Iterable[Person]) -> None:
    for person in people:
        findings.messages += len(person.sent)
        findings.cancelled += sum(sent.cancelled for sent in person.sent)
        findings.cuts += person.cuts
        findings.repeats += person.repeats
        findings.resets += sum(answer.resets for tab in person.tabs for answer in tab.answers.values())
        findings.surprises += person.surprises
        findings.verdict.doubled += person.doubled


def _stuck(store_url: str) -> list[str]:
    """Ask `ropewalk doctor`."""
    command = [sys.executable, "-m", "ropewalk.cli", "doctor", "--store", store_url, "--after", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


# -- stories ----------------------------------------------------------------------------------------------------------


async def _tell_stories(findings: Findings, crew: ChatCrew, store_url: str) -> None:
    found = findings.verdict
    for kind in ("lost", "doubled", "differing", "unended", "faults"):
        for line in getattr(found, kind)[:10]:
            print(f"{kind}: {line}", file=sys.stderr)
    store = PostgresRunStore(store_url)
    for message_id, person in found.stories():
        told = [*_of_crew(crew), *_of_person(person, message_id), *await _of_store(store, message_id)]
        print(f"-- the story of {message_id} in {person.session_id}, seed {findings.seed}", file=sys.stderr)
        for at, words in sorted(told):
            print(f"{datetime.fromtimestamp(at):%H:%M:%S.%f} {words}", file=sys.stderr)
    await store.close()


def _of_crew(crew: ChatCrew) -> list[tuple[float, str]]:
    return [(one.at, f"== {one.what} {one.whom}") for one in crew.happened]


def _of_person(person: Person, message_id: str) -> list[tuple[float, str]]:
    found = [sent for sent in person.sent if sent.message_id == message_id]
    told = [(sent.began, f"sent {sent}") for sent in found] + [(sent.accepted, "accepted") for sent in found]
    for number, tab in enumerate(person.tabs):
        for at, event in zip(tab.times, tab.events, strict=True):
            data: Any = event.data
            if event.type in ("connected", "reconnect") or data.get("message_id") == message_id:
                told.append((at, f"tab {number} {event.type} {event.id} {_shown(data)}"))
    return told


def _shown(data: dict[str, Any]) -> str:
    names = ("chunk_id", "chunk", "text", "is_final", "timestamp", "recovered", "reason", "token_count")
    return " ".join(f"{name}={str(data[name])[:60]!r}" for name in names if name in data)


async def _of_store(store: PostgresRunStore, run_id: str) -> list[tuple[float, str]]:
    try:
        kept = await store.read(run_id)
        record = await store.look(run_id)
    except RunNotFound:
        return []
    entries = [read_entry(number, body) for number, body in kept]
    told = [(float(entry.at), f"store {entry.number} {entry.type} {str(entry.data)[:150]}") for entry in entries]
    return [*told, (record.updated, f"store {record}")]
