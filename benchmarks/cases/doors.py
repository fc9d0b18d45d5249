"""What the doors cost: beside a bare server that sends the same bytes, and beside LangGraph's own server."""

from benchmarks.case import Case, Contestant, Shown, Target, floor, ours, server_peer

_TOKENS = Shown(metric="wall", unit="tokens/s", inverse=True)
_REQUESTS = Shown(metric="wall", unit="requests/s", inverse=True)
_ENDED = Shown(metric="ended", unit="runs/s to their end", inverse=True)
_AT_LEAST_70_PERCENT = 1 / 0.7


def cases() -> list[Case]:
    return [_fan_out(1, 20_000), _fan_out(100, 1_000), _fan_out(500, 300), _delay(), _idle(), _start()]


def _fan_out(clients: int, tokens: int) -> Case:
    readers = "1 reader" if clients == 1 else f"{clients} readers"
    return Case(
        name=f"sse-{clients}",
        title=f"server-sent tokens of a run to {readers}, all readers together",
        shown=(_TOKENS,),
        contestants=(
            ours("doors:fan_out", clients=clients, tokens=tokens),
            floor("bare_sse:fan_out", version_of="starlette", clients=clients, tokens=tokens),
        ),
        targets=(
            Target(metric="wall", limit=_AT_LEAST_70_PERCENT, against="floor", words="≥ 70 % of the bare server"),
        ),
        rounds=7,
    )


def _delay() -> Case:
    asked = {"clients": 100, "tokens": 300, "pause": 0.01}
    return Case(
        name="sse-delay",
        title="100 tokens/s to 100 readers: 99th percentile from emit to reader, beyond the bare server's",
        shown=(
            Shown(metric="added", unit="ms added", scale=1e3),
            Shown(metric="own", unit="ms ours", scale=1e3),
            Shown(metric="bare", unit="ms bare", scale=1e3),
        ),
        contestants=(ours("doors:added_delay", **asked),),
        targets=(Target(metric="added", limit=0.005, words="≤ 5 ms added"),),
        rounds=7,
    )


def _idle() -> Case:
    return Case(
        name="sse-idle",
        title="memory of an idle stream, at 1,000",
        shown=(Shown(metric="bytes", unit="KB", scale=1e-3),),
        contestants=(ours("doors:idle", streams=1_000),),
        targets=(Target(metric="bytes", limit=40_000.0, words="≤ 40 KB"),),
        rounds=1,
        quick_rounds=1,
        warm_up=False,
    )


def _start() -> Case:
    return Case(
        name="start-run",
        title="POST that starts a run, 16 connections; durable before the answer",
        shown=(_REQUESTS, _ENDED),
        contestants=(
            ours("doors:start", requests=640, at_once=16, durable=True),
            Contestant(
                name="in memory",
                does="benchmarks.ours.doors:start",
                role="variant",
                arguments={"requests": 640, "at_once": 16, "durable": False},
            ),
            server_peer("langgraph dev", "langgraph-api", "langgraph_server:start", every=3, requests=640, at_once=16),
        ),
        targets=(
            Target(metric="wall", limit=5.0, against="langgraph dev", times_faster=True),
            Target(
                metric="ended",
                limit=5.0,
                against="langgraph dev",
                times_faster=True,
                words="runs to their end ≥ 5 x as fast as langgraph dev",
            ),
        ),
        rounds=5,
    )
