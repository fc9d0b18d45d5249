"""The bare side of the cases about the chat: the same bytes over NATS, a Redis stream for each session, and server-sent
events, with nothing between.
"""

import secrets

from benchmarks.programs import Program
from benchmarks.speaking import Repetition, spoken


def tokens(sessions: int, per_second: float, seconds: float, *, postgres: str, nats: str, redis: str) -> Repetition:
    del postgres  # it stores nothing but the stream
    name = f"bare-{secrets.token_hex(4)}"
    worker = Program("-m", "benchmarks.floors.bare_chat_worker", name, nats, redis)
    pod = Program("-m", "benchmarks.floors.bare_chat_pod", name, nats)
    return spoken(pod, worker, sessions=sessions, per_second=per_second, seconds=seconds, cut=0)
