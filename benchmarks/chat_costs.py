"""Measures what a session, a message and a token cost the parts of the chat service: `./dev bench chat-costs`.

1. `./dev up`'s processes start: three pods, two workers, PostgreSQL, Redis and NATS of their own. What they use while
   nobody is there is nobody's, and left out of all that follows.
2. Streams are opened, each session is answered once, shortly, and then nothing happens: what streams cost meanwhile is
   left out of all that happens else.
3. Some are answered at length: what that costs more than a short answer is the price of its tokens.

CPU is that of the processes, by their own clocks: who else uses this machine makes it slower, and hardly dearer.
"""

import argparse
import asyncio
import json
import os
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx
import psycopg
import redis
from tests.servers.keeper import family
from tests.up.cluster import Up

from benchmarks.growth import Costs
from benchmarks.ours import chat_graph

_TICKS = os.sysconf("SC_CLK_TCK")
_SHORT, _LONG, _RATE = 1, 101, 50
_SETTLE_SECONDS = 11.0
"""PostgreSQL tells what a connection did ten seconds after it has become quiet."""
_PARTS = ("pods", "workers", "redis", "nats", "postgres")


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What everything has used so far, or from one moment to another."""

    seconds: float
    cpu: Mapping[str, float]
    """Seconds, by part."""
    pod_bytes: float
    redis_bytes: float
    postgres: Mapping[str, float]

    def since(self, before: "Reading") -> "Reading":
        return Reading(
            seconds=self.seconds - before.seconds,
            cpu={part: self.cpu[part] - before.cpu[part] for part in _PARTS},
            pod_bytes=self.pod_bytes - before.pod_bytes,
            redis_bytes=self.redis_bytes - before.redis_bytes,
            postgres={name: self.postgres[name] - before.postgres[name] for name in self.postgres},
        )

    def of_each(self, count: float) -> "Reading":
        """Return what each of so many used."""
        return Reading(
            seconds=self.seconds,
            cpu={part: used / count for part, used in self.cpu.items()},
            pod_bytes=self.pod_bytes / count,
            redis_bytes=self.redis_bytes / count,
            postgres={name: used / count for name, used in self.postgres.items()},
        )

    def beside(self, always: "Reading") -> "Reading":
        """Return what was used beside what is used all the time."""
        share = self.seconds / always.seconds
        cpu = {part: max(0.0, self.cpu[part] - always.cpu[part] * share) for part in _PARTS}
        postgres = {name: max(0.0, self.postgres[name] - always.postgres[name] * share) for name in self.postgres}
        return replace(self, cpu=cpu, postgres=postgres)


def read(up: Up) -> Reading:
    """Look at every process, at Redis's memory and at what PostgreSQL counted."""
    pids = {part: [server.pid] for part, server in up.parts.items()}
    pids |= {"pods": [one.pid for one in up.pods], "workers": [one.pid for one in up.workers]}
    with redis.Redis.from_url(up.parts["redis"].url) as client:
        used = client.info("memory")["used_memory"]
    return Reading(
        seconds=time.monotonic(),
        cpu={part: sum(cpu_of(pid) for eldest in pids[part] for pid in family(eldest)) for part in _PARTS},
        pod_bytes=sum(resident(one.pid) for one in up.pods),
        redis_bytes=float(used),
        postgres=counted(up),
    )


def cpu_of(pid: int) -> float:
    """Return the CPU seconds of a process and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:  # it ended while we looked
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS


def resident(pid: int) -> float:
    found = re.search(r"Pss_Anon:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))
    return int(found[1]) * 1024.0 if found else 0.0


def counted(up: Up) -> dict[str, float]:
    query = """SELECT xact_commit, tup_inserted + tup_updated + tup_deleted, pg_database_size(datname)
               FROM pg_stat_database WHERE datname = current_database()"""
    environ = up.pods[0].here
    url = up.parts["postgres"].url.rpartition("/")[0] + f"/{environ['DB_NAME']}"
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return dict(zip(("commits", "rows", "bytes"), map(float, row), strict=True))


class Clients:
    """Open streams, each counting what it hears."""

    def __init__(self, up: Up) -> None:
        self.up = up
        self.chunks = 0
        self.ended = 0
        self.streams: list[asyncio.Task[None]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.changed = asyncio.Event()

    async def open(self, sessions: list[str]) -> None:
        for number, session in enumerate(sessions):
            pod = self.up.pods[number % len(self.up.pods)]
            reader, writer = await asyncio.open_connection("127.0.0.1", pod.port)
            writer.write(
                f"GET /api/sse?session_id={session}&user_id={session} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            await reader.readuntil(b"event: connected")
            self.writers.append(writer)
            self.streams.append(asyncio.create_task(self.listen(reader)))

    async def listen(self, reader: asyncio.StreamReader) -> None:
        async for line in reader:
            if line == b"event: chunk\n":
                self.chunks += 1
            elif line == b"event: message_complete\n":
                self.ended += 1
                self.changed.set()

    async def ask(self, sessions: list[str], tokens: int) -> None:
        """Send a message to each session, and return when all are answered."""
        awaited = self.ended + len(sessions)
        async with httpx.AsyncClient(timeout=30) as client:
            for number, session in enumerate(sessions):
                body = {"session_id": session, "user_id": session, "message": f"{tokens} tokens, {_RATE} a second"}
                answer = await client.post(f"{self.up.pods[(number + 1) % 3].url}/api/chat", json=body)
                assert answer.status_code == 202, answer.text
        async with asyncio.timeout(120):
            while self.ended < awaited:
                self.changed.clear()
                await self.changed.wait()

    async def close(self) -> None:
        for task in self.streams:
            task.cancel()
        for writer in self.writers:
            writer.close()


async def measured(up: Up, *, streams: int, answers: int, idle_seconds: float) -> Costs:
    """Do the work, and return what it cost."""
    clients = Clients(up)
    everybody = [f"s{number}" for number in range(streams)]
    try:
        await clients.open(["warm"])
        await clients.ask(["warm"], _LONG)
        empty = await cost(up, lambda: asyncio.sleep(idle_seconds))
        joining = await cost(up, lambda: clients.open(everybody))
        short = await cost(up, lambda: clients.ask(everybody, _SHORT))
        resting = await cost(up, lambda: asyncio.sleep(idle_seconds))
        said = clients.chunks
        long = await cost(up, lambda: clients.ask(everybody[:answers], _LONG))
        return told(
            joining.beside(resting).of_each(streams),
            resting.beside(empty).of_each(streams * resting.seconds),
            short.beside(resting).of_each(streams),
            long.beside(resting).of_each(answers),
            (clients.chunks - said) / answers - 1,
        )
    finally:
        await clients.close()


async def cost(up: Up, work: Callable[[], Awaitable[None]]) -> Reading:
    """Return what ``work`` cost, with what it leaves to be done behind it."""
    before = await asyncio.to_thread(read, up)
    await work()
    await asyncio.sleep(_SETTLE_SECONDS)
    return (await asyncio.to_thread(read, up)).since(before)


def told(join: Reading, rest: Reading, short: Reading, long: Reading, sent: float) -> Costs:
    """Say what each was used for; ``sent`` chunks are what a long answer has more than a short one."""
    chunk = {part: max(0.0, long.cpu[part] - short.cpu[part]) / sent for part in _PARTS}
    message = {part: max(0.0, short.cpu[part] - chunk[part]) for part in _PARTS}
    return Costs(
        pod_chunk=chunk["pods"],
        pod_message=message["pods"],
        pod_join=join.cpu["pods"],
        pod_idle=rest.cpu["pods"],
        pod_bytes=join.pod_bytes,
        worker_chunk=chunk["workers"],
        worker_message=message["workers"],
        redis_chunk=chunk["redis"],
        redis_message=message["redis"],
        redis_idle=rest.cpu["redis"],
        redis_session_bytes=join.redis_bytes + short.redis_bytes,
        redis_chunk_bytes=max(0.0, long.redis_bytes) / sent,
        nats_chunk=chunk["nats"],
        nats_message=message["nats"],
        postgres_message=short.cpu["postgres"],
        postgres_rows=short.postgres["rows"],
        postgres_commits=short.postgres["commits"],
        postgres_bytes=(short.postgres["bytes"] + long.postgres["bytes"]) / 2,
        tokens_a_chunk=(_LONG - _SHORT) / sent,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench chat-costs", description=__doc__)
    parser.add_argument("--streams", type=int, default=600, help="open streams (default: %(default)s)")
    parser.add_argument("--answers", type=int, default=300, help="long ones (default: %(default)s)")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds without messages (default: %(default)g)")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write them there too, for ./dev bench scaling --costs"
    )
    options = parser.parse_args()
    graph = f"{Path(chat_graph.__file__)}:chat"
    with Up(os.environ | {"ROPEWALK_GRAPHS": graph}) as up:
        costs = asyncio.run(measured(up, streams=options.streams, answers=options.answers, idle_seconds=options.idle))
    for name, value in asdict(costs).items():
        print(f"{name:<22}{shown(name, value)}")
    if options.json:
        options.json.write_text(json.dumps(asdict(costs), indent=1), encoding="utf-8")
    return 0


def shown(name: str, value: float) -> str:
    if name.endswith(("_bytes", "_rows", "_commits", "_a_chunk")):
        return f"{value:12,.1f}"
    return f"{value * 1e6:12,.1f} us"


if __name__ == "__main__":
    sys.exit(main())
