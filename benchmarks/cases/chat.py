"""What the chat service costs, beside the same bytes over bare NATS, a Redis stream and bare server-sent events."""

from benchmarks.case import Case, Shown, Target, floor, ours

_P50 = Shown(metric="p50", unit="ms p50", scale=1e3)
_P99 = Shown(metric="p99", unit="ms p99", scale=1e3)
_CPU = Shown(metric="cpu", unit="µs CPU", scale=1e6)
_CARRIED = 10_000
_OFFERED_EACH, _SESSIONS = 22, 500


def cases() -> list[Case]:
    return [_delay(), _carried(), _first(), _slots(20), _slots(100)]


def _delay() -> Case:
    asked = {"sessions": 100, "per_second": 50, "seconds": 4}
    return Case(
        name="chat-delay",
        title="chat, 100 sessions x 50 tokens/s: a token from its emit at the worker to its client; CPU of both",
        shown=(_P50, _P99, _CPU),
        contestants=(ours("chat:tokens", **asked), floor("bare_chat:tokens", version_of="nats-py", **asked)),
        targets=(
            Target(metric="p50", limit=1.5, against="floor", words="p50 ≤ 1.5 x floor"),
            Target(metric="p99", limit=2.0, against="floor", words="p99 ≤ 2 x floor"),
            Target(metric="cpu", limit=2.0, against="floor", words="CPU ≤ 2 x floor"),
            Target(metric="lost", limit=0.0, unit="sessions", words="none lost"),
        ),
        rounds=5,
        quick_rounds=2,
        server="chat",
    )


def _carried() -> Case:
    asked = {"sessions": _SESSIONS, "per_second": _OFFERED_EACH, "seconds": 4}
    return Case(
        name="chat-carried",
        title=f"chat, one pod, {_SESSIONS * _OFFERED_EACH:,} chunks/s offered, 20 clients a second cut and back",
        shown=(Shown(metric="wall", unit="chunks/s", inverse=True), _CPU),
        contestants=(
            ours("chat:tokens", cut=20, **asked),
            floor("bare_chat:tokens", version_of="nats-py", **asked),
        ),
        targets=(
            Target(metric="wall", limit=1 / _CARRIED, words=f"≥ {_CARRIED:,} chunks/s"),
            Target(metric="lost", limit=0.0, unit="sessions", words="none lost"),
        ),
        rounds=3,
        quick_rounds=1,
        server="chat",
    )


def _first() -> Case:
    return Case(
        name="chat-first",
        title="chat, from the POST to the first token, with a model that answers at once",
        shown=(Shown(metric="first", unit="ms", scale=1e3),),
        contestants=(ours("chat:first", messages=40),),
        targets=(Target(metric="first", limit=0.015, words="≤ 15 ms"),),
        rounds=5,
        server="chat",
    )


def _slots(concurrency: int) -> Case:
    seconds = 0.2
    return Case(
        name=f"chat-slots-{concurrency}",
        title=f"chat, messages of a worker with {concurrency} slots and a model that takes 200 ms",
        shown=(
            Shown(metric="wall", unit="messages/s", inverse=True),
            Shown(metric="slot", unit="ms in a slot", scale=1e3),
        ),
        contestants=(ours("chat:slots", concurrency=concurrency, seconds=seconds, turns=10),),
        targets=(Target(metric="slot", limit=seconds / 0.9, words=f"≥ 90 % of {concurrency / seconds:g} messages/s"),),
        rounds=3,
        quick_rounds=1,
        server="chat",
    )
