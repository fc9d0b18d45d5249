"""What a chat of many sessions needs, from what one session, message and chunk cost. Pure arithmetic."""

from dataclasses import dataclass
from math import ceil

BUSY = 0.6
"""The share of a core that is planned with: above it, what waits grows faster than what comes."""
GIGABYTE = 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """What was measured, by `./dev bench chat-costs` on two cores of a shared 2.6 GHz machine.

    Seconds are CPU seconds of that part's processes.
    """

    pod_chunk: float = 66e-6
    pod_message: float = 8.1e-3
    pod_join: float = 4.3e-3
    """To open one stream."""
    pod_idle: float = 20e-6
    """One open stream, for a second."""
    pod_bytes: float = 48000.0
    """One open stream."""
    worker_chunk: float = 140e-6
    worker_message: float = 9.2e-3
    redis_chunk: float = 34e-6
    redis_message: float = 1.1e-3
    redis_idle: float = 6.4e-6
    redis_session_bytes: float = 6700.0
    redis_chunk_bytes: float = 230.0
    nats_chunk: float = 16e-6
    nats_message: float = 2.1e-3
    postgres_message: float = 5.3e-3
    postgres_rows: float = 9.1
    """Written for a message, of all tables."""
    postgres_commits: float = 20.0
    """Transactions of a message; those that only read count too."""
    postgres_bytes: float = 3100.0
    """What a message adds to the database."""
    tokens_a_chunk: float = 1.2
    """What comes while an append is under way goes with the next one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """What the users do."""

    sessions: int = 1_000_000
    """Open at a time, one stream each."""
    messages_an_hour: float = 6.0
    """Of one session."""
    tokens: float = 400.0
    """Of an answer."""
    tokens_a_second: float = 50.0
    log_seconds: float = 3600.0
    """How long Redis keeps a chunk for who comes back."""

    @property
    def messages(self) -> float:
        """A second."""
        return self.sessions * self.messages_an_hour / 3600

    @property
    def answer_seconds(self) -> float:
        return self.tokens / self.tokens_a_second

    @property
    def answering(self) -> float:
        """Answers that are being written at any moment (Little's law)."""
        return self.messages * self.answer_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Machines:
    """What one of each part has."""

    worker_slots: int = 100
    """--concurrency."""
    pod_streams: int = 10_000
    """What a pod is trusted with: when it dies, so many come back at once."""
    redis_bytes: float = 64 * GIGABYTE
    nats_cores: int = 8
    postgres_cores: int = 32
    connections_a_process: int = 12
    """To PostgreSQL; ?max_connections= of the store, and two of a worker's own."""
    postgres_connections: int = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """What one part needs for one reason."""

    part: str
    reason: str
    demand: float
    """In units of what one of them can give."""
    grows: bool
    """More of them in one cluster is all it takes; else there is one of them in a cluster."""

    @property
    def count(self) -> int:
        return max(1, ceil(self.demand))


def chunks_a_second(load: Load, costs: Costs) -> float:
    return load.messages * load.tokens / costs.tokens_a_chunk


def needs(load: Load, costs: Costs, machines: Machines) -> list[Need]:
    """Return what every part needs, in the order in which a request meets them."""
    chunks, messages, open_ = chunks_a_second(load, costs), load.messages, load.sessions
    pods = chunks * costs.pod_chunk + messages * costs.pod_message + open_ * costs.pod_idle
    workers = chunks * costs.worker_chunk + messages * costs.worker_message
    redis = chunks * costs.redis_chunk + messages * costs.redis_message + open_ * costs.redis_idle
    nats = chunks * costs.nats_chunk + messages * costs.nats_message
    postgres = messages * costs.postgres_message
    kept = open_ * costs.redis_session_bytes + chunks * load.log_seconds * costs.redis_chunk_bytes
    grown = [
        Need(part="pods", reason="CPU, one core each", demand=pods / BUSY, grows=True),
        Need(part="pods", reason="streams", demand=open_ / machines.pod_streams, grows=True),
        Need(part="workers", reason="CPU, one core each", demand=workers / BUSY, grows=True),
        Need(part="workers", reason="slots", demand=load.answering / (machines.worker_slots * BUSY), grows=True),
    ]
    processes = sum(max(need.count for need in grown if need.part == part) for part in ("pods", "workers"))
    connections = processes * machines.connections_a_process / machines.postgres_connections
    single = [
        Need(part="redis", reason="CPU, one core each", demand=redis / BUSY, grows=False),
        Need(part="redis", reason="memory", demand=kept / (machines.redis_bytes * BUSY), grows=False),
        Need(part="nats", reason="CPU", demand=nats / (BUSY * machines.nats_cores), grows=False),
        Need(part="postgres", reason="CPU", demand=postgres / (BUSY * machines.postgres_cores), grows=False),
        Need(part="postgres", reason="connections", demand=connections, grows=False),
    ]
    return grown + single


def clusters(found: list[Need]) -> int:
    """Return into how many clusters the sessions must be divided, by the parts of which each has one."""
    return max(need.count for need in found if not need.grows)


def limits(load: Load, costs: Costs, machines: Machines) -> list[tuple[Need, int]]:
    """Return what one cluster runs out of, and at how many sessions: what breaks first comes first."""
    found = [need for need in needs(load, costs, machines) if not need.grows]
    return [(need, int(load.sessions / need.demand)) for need in sorted(found, key=lambda need: -need.demand)]
