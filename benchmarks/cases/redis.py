"""What messaging costs beside the bare driver, on a server with an append-only file."""

from benchmarks.case import Case, Contestant, Shown, Target, floor, ours, peer

_MESSAGES = Shown(metric="wall", unit="messages/s", inverse=True)
_CPU = Shown(metric="cpu", unit="µs CPU", scale=1e6)
_WALL = Shown(metric="wall", unit="µs wall", scale=1e6)
_TASKIQ = ("taskiq-redis", "taskiq-redis")
_LIMITS = ("limits", "limits")


def cases() -> list[Case]:
    return [_add(), _process(), _pubsub(), _lock(), _limit("token_bucket"), _limit("sliding_window")]


def _add() -> Case:
    return Case(
        name="redis-stream-add",
        title="Redis stream, adding in batches of 500",
        shown=(_MESSAGES, _CPU),
        contestants=(
            ours("redis:add", messages=10_000),
            floor("redis_driver:add", version_of="redis", messages=10_000),
            peer(*_TASKIQ, "taskiq_redis:add", messages=2_000, every=3),
        ),
        targets=(_at_least(0.7),),
        server="redis",
    )


def _process() -> Case:
    arguments = {"messages": 10_000}
    return Case(
        name="redis-stream-process",
        title="Redis stream, processing in batches of 100",
        shown=(_MESSAGES, _CPU),
        contestants=(
            ours("redis:process", **arguments),
            Contestant(name="async", does="benchmarks.ours.redis:process_async", role="variant", arguments=arguments),
            floor("redis_driver:process", version_of="redis", **arguments),
            peer(*_TASKIQ, "taskiq_redis:process", messages=2_000, every=3),
        ),
        targets=(_at_least(0.7),),
        server="redis",
    )


def _pubsub() -> Case:
    return Case(
        name="redis-pubsub",
        title="Redis pub/sub, published and handled",
        shown=(_MESSAGES, _CPU),
        contestants=(
            ours("redis:pubsub", messages=5_000),
            floor("redis_driver:pubsub", version_of="redis", messages=5_000),
            peer(*_TASKIQ, "taskiq_redis:pubsub", messages=2_000, every=3),
        ),
        targets=(_at_least(0.8),),
        server="redis",
    )


def _lock() -> Case:
    scripts = "its own scripts, bare"
    return Case(
        name="redis-lock",
        title="Redis lock, taken and let go",
        shown=(_WALL, _CPU),
        contestants=(
            ours("redis:lock", times=2_000),
            floor("redis_driver:lock", version_of="redis", times=2_000),
            floor("redis_driver:same_lock", name=scripts, times=2_000),
        ),
        targets=(_at_most(1.3, "floor"), _at_most(1.3, scripts)),
        server="redis",
    )


def _limit(algorithm: str) -> Case:
    peers = (peer(*_LIMITS, "limits:moving_window", times=2_000, every=3),)
    return Case(
        name="redis-" + algorithm.replace("_", "-"),
        title=f"Redis rate limit, {algorithm.replace('_', ' ')}, one question",
        shown=(_WALL, _CPU),
        contestants=(
            ours("redis:limit", times=2_000, algorithm=algorithm),
            floor("redis_driver:limit", version_of="redis", times=2_000, algorithm=algorithm),
            *(peers if algorithm == "sliding_window" else ()),
        ),
        targets=(_at_most(1.3, "floor"),),
        server="redis",
    )


def _at_least(share: float) -> Target:
    words = f"≥ {share:.0%} of floor".replace("%", " %")
    return Target(metric="wall", limit=share, against="floor", times_faster=True, words=words)


def _at_most(times: float, against: str) -> Target:
    return Target(metric="wall", limit=times, against=against, words=f"≤ {times:g} x {against}")
