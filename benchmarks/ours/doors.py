"""Ropewalk's doors: tokens to many readers, what a token waits, what an idle stream holds, how fast runs start."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from statistics import quantiles

from benchmarks.floors.bare_sse import delays as bare_delays
from benchmarks.measure import Costs
from benchmarks.readers import Child, Reader, many_files, open_readers
from benchmarks.starting import started_per_second

Repetition = Callable[[], Awaitable[Costs]]
_SERVER = ("-m", "benchmarks.ours.doors_server")


def fan_out(clients: int, tokens: int) -> Repetition:
    """Time a token to a reader: ``clients`` streams of one run, and nothing waits between two tokens."""
    server = Child(*_SERVER, "memory:")

    async def repeat() -> Costs:
        with many_files():
            readers = await _reading(server, clients, tokens, 0.0)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await loop.run_in_executor(None, server.ask, "POST", "/go")
        await asyncio.gather(*[reader.done for reader in readers])
        wall = loop.time() - began
        _check(readers, tokens)
        return {"wall": wall / (clients * tokens)}

    return repeat


async def _reading(server: Child, clients: int, tokens: int, pause: float) -> list[Reader]:
    body = {"input": {"tokens": tokens, "pause_seconds": pause}}
    loop = asyncio.get_running_loop()
    started = await loop.run_in_executor(None, server.ask, "POST", "/graphs/say/runs", body)
    return await open_readers(server, f"/runs/{started['run_id']}/events", clients)


def _check(readers: list[Reader], tokens: int) -> None:
    kept = b"".join(readers[0].kept or [])
    assert kept.count(b"event: text\n") == tokens, f"{kept.count(b'event: text')} of {tokens} tokens came"
    sizes = {reader.size for reader in readers}
    assert max(sizes) - min(sizes) < 2_000, "readers were not sent the same"
    for reader in readers:
        reader.close()


def added_delay(clients: int, tokens: int, pause: float) -> Repetition:
    """Tell how much later a token comes than from the bare server: the 99th percentile of one less that of the
    other.
    """
    server = Child(*_SERVER, "memory:")
    bare = bare_delays(clients, tokens, pause)

    async def repeat() -> Costs:
        readers = await _reading(server, clients, tokens, pause)
        for reader in readers:
            reader.delays = []
        await asyncio.get_running_loop().run_in_executor(None, server.ask, "POST", "/go")
        await asyncio.gather(*[reader.done for reader in readers])
        _check(readers, tokens)
        own = percentile([delay for reader in readers for delay in reader.delays or []])
        theirs = percentile(await bare())
        return {"added": max(0.0, own - theirs), "own": own, "bare": theirs}

    return repeat


def percentile(delays: list[float]) -> float:
    return quantiles(delays, n=100)[98]


def idle(streams: int) -> Repetition:
    """Tell what an idle stream holds: what the server's memory grows by when there are ``streams`` of them."""
    server = Child(*_SERVER, "memory:")

    async def repeat() -> Costs:
        with many_files():
            warm = await _reading(server, 50, 1, 0.0)
            before = server.resident_bytes()
            readers = await open_readers(server, warm[0].request.decode().split()[1], streams)
            after = server.resident_bytes()
        for reader in [*warm, *readers]:
            reader.close()
        return {"bytes": (after - before) / streams}

    return repeat


def start(requests: int, at_once: int, durable: bool) -> Repetition:
    """Time one POST that starts a run, with ``at_once`` connections, and until the runs have ended too."""
    store = f"sqlite:///{tempfile.mkdtemp(prefix='bench-ropewalk-')}/runs.db" if durable else "memory:"
    server = Child(*_SERVER, store)
    return started_per_second(
        server,
        "/graphs/add/runs",
        {"input": {}},
        requests=requests,
        at_once=at_once,
        is_idle=lambda: server.ask("GET", "/driving") == 0,
    )
