"""Compare each primitive with the driver doing the same by hand: `python -m tests.messaging.measure`."""

import statistics
import threading
import time
from collections.abc import Callable

import redis
from tests.servers.valkey import RedisServer

from ropewalk.messaging.redis import RedisClient, RedisConfig, RedisLock, RedisPubSub, RedisRateLimiter, RedisStream
from ropewalk.messaging.redis.talk import script

TASKS, CALLS, ROUNDS = 20_000, 2_000, 5
DATA = {"task_id": "123", "type": "document_processing", "n": 1}


def timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def compare(name: str, ours: Callable[[], object], raw: Callable[[], object]) -> None:
    """Print the median of the ratios of rounds that follow each other."""
    ours(), raw()
    pairs = [(timed(ours), timed(raw)) for _ in range(ROUNDS)]
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    print(
        f"{name:33} ours {mine * 1000:8.1f} ms  raw {theirs * 1000:8.1f} ms  time x {ratio:.2f}, speed {1 / ratio:.0%}"
    )


def main() -> None:
    with RedisServer() as server, RedisClient(RedisConfig(server.url)) as client:
        raw = redis.Redis.from_url(server.url, protocol=2)
        import json

        def add_ours() -> None:
            client.delete("ours")
            stream = RedisStream("ours", client)
            for _ in range(0, TASKS, 500):
                stream.add_many([DATA] * 500)

        def add_raw() -> None:
            raw.delete("raw")
            for _ in range(0, TASKS, 500):
                with raw.pipeline(transaction=False) as pipe:
                    for _ in range(500):
                        pipe.xadd("raw", {"data": json.dumps(DATA)})
                    pipe.execute()

        compare("stream: add in batches", add_ours, add_raw)
        groups = iter(range(1000))

        def work_ours(count: int = 100) -> None:
            worker, left = RedisStream("ours", client), TASKS
            worker.create_consumer_group(f"g{next(groups)}")

            def work(_: object) -> None:
                nonlocal left
                left -= 1
                if not left:
                    worker.stop()

            worker.process_messages(work, count=count)

        def work_raw() -> None:
            group, left = f"g{next(groups)}", TASKS
            raw.xgroup_create("raw", group, "0")
            while left:
                [[_, entries]] = raw.xreadgroup(group, "c", {"raw": ">"}, count=100)
                with raw.pipeline(transaction=False) as pipe:
                    for number, fields in entries:
                        json.loads(fields[b"data"])
                        left -= 1
                        pipe.xack("raw", group, number)
                    pipe.execute()

        compare("stream: process in batches of 100", work_ours, work_raw)
        lock = RedisLock("l", redis_client=client)
        take = raw.register_script("return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])")
        let_go = raw.register_script(
            "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
        )

        def lock_ours() -> None:
            for _ in range(CALLS):
                lock.acquire()
                lock.release()

        def lock_raw() -> None:
            for _ in range(CALLS):
                take(keys=["r"], args=["token", 10_000])
                let_go(keys=["r"], args=["token"])

        compare("lock, against SET NX and a script", lock_ours, lock_raw)
        same_take, same_let_go = (raw.register_script(script(name, "give").text) for name in ("acquire", "release"))
        keys = ["s", "{s}:line", "{s}:alive", "{s}:fence"]

        def lock_scripts() -> None:
            for _ in range(CALLS):
                same_take(keys=keys, args=["token", 10_000])
                same_let_go(keys=keys, args=["token"])

        compare("lock, against its own scripts", lock_ours, lock_scripts)
        for algorithm, lua in (("token_bucket", "bucket"), ("sliding_window", "window")):
            limiter = RedisRateLimiter("l", 1000, 1, client, algorithm=algorithm)  # type: ignore[arg-type]
            bare = raw.register_script(script(lua).text)
            given = [1000, 1, 1000, 1, 0] if lua == "bucket" else [1000, 1_000_000, 1, 0]

            def limit_ours(limiter: RedisRateLimiter = limiter) -> None:
                for _ in range(CALLS):
                    limiter.is_allowed("a")

            def limit_raw(bare: redis.commands.core.Script = bare, given: list[int] = given, lua: str = lua) -> None:
                for _ in range(CALLS):
                    bare(keys=[f"raw:{lua}"], args=given)

            compare(f"limiter: {algorithm}", limit_ours, limit_raw)
        compare("pub/sub: publish to one listener", lambda: heard_ours(client), lambda: heard_raw(raw))
        raw.close()


def heard_ours(client: RedisClient, number: int = 10_000) -> None:
    heard, all_heard = 0, threading.Event()

    def handle(_: object) -> None:
        nonlocal heard
        heard += 1
        if heard == number:
            all_heard.set()

    pubsub = RedisPubSub(client)
    pubsub.subscribe("p", handle)
    pubsub.run_in_thread()
    for _ in range(number):
        pubsub.publish("p", DATA)
    all_heard.wait()
    pubsub.stop()


def heard_raw(raw: "redis.Redis", number: int = 10_000) -> None:
    import json

    heard, all_heard, pubsub = 0, threading.Event(), raw.pubsub()

    def handle(message: dict[str, bytes]) -> None:
        nonlocal heard
        json.loads(message["data"])
        heard += 1
        if heard == number:
            all_heard.set()

    pubsub.subscribe(p=handle)
    thread = pubsub.run_in_thread(sleep_time=0.05)
    for _ in range(number):
        raw.publish("p", json.dumps(DATA))
    all_heard.wait()
    thread.stop()
    thread.join()
    pubsub.close()


if __name__ == "__main__":
    main()
