"""Bare redis-py: pipelines, pub/sub with a handler, and Lua scripts that are run by hand."""

import json
import threading
from collections.abc import Callable, Iterator
from itertools import count

import redis

from benchmarks.measure import Clock, Costs
from ropewalk.messaging.redis.talk import script

Repetition = Callable[[], Costs]
MESSAGE = {"task_id": "123", "type": "document_processing", "n": 1}
"""What everybody sends."""
_TAKE = "return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])"
_LET_GO = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


def driver(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, protocol=2)


def add(url: str, messages: int, batch: int = 500) -> Repetition:
    client = driver(url)

    def repeat() -> Costs:
        client.delete("floor-add")
        with Clock(messages) as clock:
            for _ in range(0, messages, batch):
                with client.pipeline(transaction=False) as pipe:
                    for _ in range(batch):
                        pipe.xadd("floor-add", {"data": json.dumps(MESSAGE)})
                    pipe.execute()
        return clock.costs

    return repeat


def process(url: str, messages: int, batch: int = 100) -> Repetition:
    """Acknowledge a batch and read the next in one round trip; nothing else: who dies here loses messages."""
    client = driver(url)
    fill(client, "floor-process", messages)
    groups = names()

    def repeat() -> Costs:
        group, left = next(groups), messages
        client.xgroup_create("floor-process", group, "0")
        done: list[bytes] = []
        with Clock(messages) as clock:
            while left:
                with client.pipeline(transaction=False) as pipe:
                    if done:
                        pipe.xack("floor-process", group, *done)
                    pipe.xreadgroup(group, "c", {"floor-process": ">"}, count=batch)
                    [[_, entries]] = pipe.execute()[-1]
                for _, fields in entries:
                    json.loads(fields[b"data"])
                done = [number for number, _ in entries]
                left -= len(entries)
            client.xack("floor-process", group, *done)
        client.xgroup_destroy("floor-process", group)
        return clock.costs

    return repeat


def fill(client: "redis.Redis", stream: str, messages: int) -> None:
    with client.pipeline(transaction=False) as pipe:
        for _ in range(messages):
            pipe.xadd(stream, {"data": json.dumps(MESSAGE)})
        pipe.execute()


def names() -> Iterator[str]:
    return (f"group-{number}" for number in count())


def pubsub(url: str, messages: int) -> Repetition:
    client = driver(url)

    def repeat() -> Costs:
        heard, all_heard, listener = 0, threading.Event(), client.pubsub()

        def handle(message: dict[str, bytes]) -> None:
            nonlocal heard
            json.loads(message["data"])
            heard += 1
            if heard == messages:
                all_heard.set()

        listener.subscribe(**{"floor-pubsub": handle})
        thread = listener.run_in_thread(sleep_time=0.05)
        with Clock(messages) as clock:
            for _ in range(messages):
                client.publish("floor-pubsub", json.dumps(MESSAGE))
            all_heard.wait()
        thread.stop()
        thread.join()
        listener.close()
        return clock.costs

    return repeat


def lock(url: str, times: int) -> Repetition:
    """The lock of the books: SET NX, and a script that deletes what is one's own. No renewal, no number, no line."""
    client = driver(url)
    take, let_go = client.register_script(_TAKE), client.register_script(_LET_GO)

    def both() -> None:
        take(keys=["floor-lock"], args=["token", 10_000])
        let_go(keys=["floor-lock"], args=["token"])

    return _timed(both, times)


def same_lock(url: str, times: int) -> Repetition:
    """The scripts that Ropewalk's lock runs, with nothing around them."""
    client = driver(url)
    take, let_go = (client.register_script(script(name, "give").text) for name in ("acquire", "release"))
    keys = ["floor-same", "{floor-same}:line", "{floor-same}:alive", "{floor-same}:fence"]

    def both() -> None:
        take(keys=keys, args=["token", 10_000])
        let_go(keys=keys, args=["token"])

    return _timed(both, times)


def limit(url: str, times: int, algorithm: str) -> Repetition:
    """The script that Ropewalk's limiter runs, with nothing around it."""
    client = driver(url)
    bucket = algorithm == "token_bucket"
    bare = client.register_script(script("bucket" if bucket else "window").text)
    arguments = [1000, 1, 1000, 1, 0] if bucket else [1000, 1_000_000, 1, 0]
    return _timed(lambda: bare(keys=["floor-limit"], args=arguments), times)


def _timed(act: Callable[[], object], times: int) -> Repetition:
    def repeat() -> Costs:
        with Clock(times) as clock:
            for _ in range(times):
                act()
        return clock.costs

    return repeat
