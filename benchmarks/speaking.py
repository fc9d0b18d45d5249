"""What the cases about tokens of the chat have in common: sessions that each get tokens at a rate, and what it cost."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import quantiles

from benchmarks.measure import Costs
from benchmarks.programs import Program, cpu_of
from benchmarks.sessions import Session, Start, post_all

Repetition = Callable[[], Awaitable[Costs]]
_TAKEN_SECONDS = 1.0
_SETTLING_SECONDS = 0.5
_AWAY_SECONDS = 0.1


def spoken(pod: Program, worker: Program, *, sessions: int, per_second: float, seconds: float, cut: int) -> Repetition:
    """Return a repetition in which each of ``sessions`` gets ``per_second`` tokens for ``seconds``; ``cut`` clients a
    second lose their connection and come back. No token may be lost or doubled.

    ``p50`` and ``p99`` are from the emit to the client, ``cpu`` and ``wall`` per token, ``cpu`` of worker and pod.
    """
    tokens = round(per_second * (seconds + _SETTLING_SECONDS))
    early = round(per_second * _SETTLING_SECONDS)

    async def repeat() -> Costs:
        clients = [Session(*pod.address) for _ in range(sessions)]
        await asyncio.gather(*[client.open() for client in clients])
        start, pause = Start(), 1 / per_second
        asked = [f"{start.path} {pause * at / sessions:.6f} {pause:.6f} {tokens}" for at in range(sessions)]
        await post_all(*pod.address, list(zip(clients, asked, strict=True)))
        await asyncio.sleep(_TAKEN_SECONDS)  # until all runs wait for the start
        begin = start.begin()
        await asyncio.sleep(begin + _SETTLING_SECONDS - time.perf_counter())
        before = cpu_of((pod, worker))
        cutting = asyncio.create_task(_cut(clients, cut))
        await asyncio.sleep(begin + _SETTLING_SECONDS + seconds - time.perf_counter())
        cpu = cpu_of((pod, worker)) - before
        cutting.cancel()
        await asyncio.gather(cutting, return_exceptions=True)
        await asyncio.gather(*[client.over() for client in clients])
        return _costs(clients, tokens, early, begin) | {"cpu": cpu / (sessions * per_second * seconds)}

    return repeat


async def _cut(clients: list[Session], each_second: int) -> None:
    """Cut one client after the other; one that is away comes back whatever happens."""
    away: set[asyncio.Task[None]] = set()
    try:
        for client in clients * 10 if each_second else ():
            away.add(asyncio.create_task(client.cut(_AWAY_SECONDS)))
            await asyncio.sleep(1 / each_second)
    finally:
        await asyncio.gather(*away)


def _costs(clients: list[Session], tokens: int, early: int, begin: float) -> Costs:
    """Check what came, and tell what it took."""
    lost = sum(client.numbers != [*range(tokens)] for client in clients)
    assert not lost, f"{lost} of {len(clients)} sessions lost or doubled tokens"  # a median would hide one round's
    delays = [delay for client in clients if not client.cuts for delay in client.delays[early:]]
    for client in clients:
        client.close()
    shares = quantiles(delays, n=100) if len(delays) > 1 else [0.0] * 99
    return {
        "p50": shares[49],
        "p99": shares[98],
        "wall": (max(client.came_at for client in clients) - begin) / (tokens * len(clients)),
        "lost": float(lost),
        "cuts": float(sum(client.cuts for client in clients)),
    }
