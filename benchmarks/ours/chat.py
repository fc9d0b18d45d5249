"""Ropewalk's chat: a pod and a worker, as they are installed, over the case's servers."""

import asyncio
import secrets
import time
from statistics import median

from benchmarks.database import fresh
from benchmarks.measure import Costs
from benchmarks.programs import Program
from benchmarks.sessions import Poster, Session, Start, post_all
from benchmarks.speaking import Repetition, spoken

_GRAPHS = "benchmarks/ours/chat_graphs.py"


def _crew(graph: str, concurrency: int, servers: dict[str, str]) -> tuple[Program, Program]:
    """Start a pod and a worker."""
    parts = ["--store", fresh(servers["postgres"]), "--bus", servers["nats"], "--sessions", servers["redis"], "--json"]
    cli = ("-m", "ropewalk.cli")
    pod_id = f"pod-{secrets.token_hex(4)}"
    served = f"{_GRAPHS}:{graph}"
    worker = Program(*cli, "worker", served, "--concurrency", str(concurrency), *parts)
    return Program(*cli, "gateway", served, "--port", "0", "--pod-id", pod_id, *parts), worker


def tokens(sessions: int, per_second: float, seconds: float, cut: int = 0, **servers: str) -> Repetition:
    pod, worker = _crew("say", sessions, servers)
    return spoken(pod, worker, sessions=sessions, per_second=per_second, seconds=seconds, cut=cut)


def first(messages: int, **servers: str) -> Repetition:
    """Tell how long it takes from the POST to the first token of a model that answers at once."""
    pod, _ = _crew("say", 10, servers)

    async def repeat() -> Costs:
        session, poster = Session(*pod.address), Poster(*pod.address)
        start = Start()
        start.begin()
        await session.open()
        took: list[float] = []
        for _ in range(messages):
            began = time.perf_counter()
            await poster.post(session, f"{start.path} 0 0 1")
            await session.over()
            took.append(session.came_at - began)
        session.close()
        poster.close()
        return {"first": median(took)}

    return repeat


def slots(concurrency: int, seconds: float, turns: int, **servers: str) -> Repetition:
    """Tell how many messages a worker answers with a model that takes ``seconds``, while all its slots are taken:
    ``slot`` is for how long a message has one. The first ones begin one after the other, as messages come.
    """
    pod, _ = _crew("think", concurrency, servers)
    messages = concurrency * turns

    async def repeat() -> Costs:
        clients = [Session(*pod.address) for _ in range(messages)]
        await asyncio.gather(*[client.open() for client in clients])
        start = Start()
        phases = [seconds * min(at, concurrency) / concurrency for at in range(messages)]
        asked = [f"{start.path} {phase:.6f} {seconds}" for phase in phases]
        await post_all(*pod.address, list(zip(clients, asked, strict=True)))
        start.begin()
        await asyncio.gather(*[client.over() for client in clients])
        ended = sorted(client.over_at for client in clients)[concurrency : messages - concurrency]
        for client in clients:
            client.close()
        each = (ended[-1] - ended[0]) / (len(ended) - 1)
        return {"wall": each, "slot": each * concurrency}

    return repeat
