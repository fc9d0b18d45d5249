"""What publishing and subscribing promises, in both forms."""

import asyncio
import threading
import time
from datetime import UTC, datetime

import pytest
from tests.messaging.forms import Form, until
from tests.servers.valkey import RedisServer

from ropewalk.messaging.redis import RedisDenied, RedisUnavailable


def test_handlers_of_channels_and_patterns_hear_what_is_published(form: Form) -> None:
    async def go() -> None:
        one, two, wide, said = [], [], [], {"at": datetime.now(UTC), "n": 1}

        async def slow(message: object) -> None:
            await asyncio.sleep(0)
            two.append(message)

        pubsub, name = form.pubsub(), form.prefix + "news.sport"
        await pubsub.subscribe(name, one.append)
        await pubsub.subscribe(name, slow)
        await pubsub.subscribe(
            form.prefix + "news.*", lambda *heard: wide.append(heard), pattern=True, with_channel=True
        )
        assert await form.pubsub().publish(name, said) == 2  # before run(): it is kept
        running = asyncio.create_task(pubsub.run())
        await until(lambda: one and two and wide)
        assert (one, two, wide) == ([said], [said], [(name, said)])
        assert await pubsub.unsubscribe(name)
        await form.pubsub().publish(name, "again")
        await until(lambda: len(wide) == 2)
        assert one == [said]
        pubsub.stop()
        await running

    form.run(go)


def test_a_handler_that_raises_stops_nothing(form: Form) -> None:
    async def go() -> None:
        heard: list[object] = []

        def handle(message: int) -> None:
            heard.append(message)
            if message == 1:
                raise ValueError("no")

        pubsub = form.pubsub()
        await pubsub.subscribe(form.prefix + "a", handle)
        running = asyncio.create_task(pubsub.run())
        for number in range(3):
            await pubsub.publish(form.prefix + "a", number)
        await until(lambda: len(heard) == 3)
        pubsub.stop()
        await running
        assert heard == [0, 1, 2]

    form.run(go)


def test_what_other_programs_publish_is_heard_as_what_it_is(form: Form) -> None:
    async def go() -> None:
        heard: list[object] = []
        pubsub = form.pubsub()
        await pubsub.subscribe(form.prefix + "a", heard.append)
        running = asyncio.create_task(pubsub.run())
        for raw in (b'{"a": 1}', b"plain words", b"\xff\xfe"):
            await form.calls.execute("PUBLISH", form.prefix + "a", raw)
        await until(lambda: len(heard) == 3)
        pubsub.stop()
        await running
        assert heard == [{"a": 1}, "plain words", b"\xff\xfe"]

    form.run(go)


def test_stop_ends_it_promptly(form: Form) -> None:  # defect 15
    async def go() -> None:
        pubsub = form.pubsub()
        await pubsub.subscribe(form.prefix + "a", print)
        running = asyncio.create_task(pubsub.run())
        await asyncio.sleep(0.3)
        began = time.monotonic()
        pubsub.stop()
        await running
        assert time.monotonic() - began < 0.5
        assert await pubsub.publish(form.prefix + "a", 1) == 0

    form.run(go)


def test_a_thread_of_handlers_ends_with_stop(redis_url: str, redis_prefix: str) -> None:
    form, heard = Form("sync", redis_url, redis_prefix), []

    async def go() -> None:
        pubsub = form.pubsub().thing

        def use() -> None:
            pubsub.subscribe(redis_prefix + "a", heard.append)
            thread = pubsub.run_in_thread()
            pubsub.publish(redis_prefix + "a", {"n": 1})
            deadline = time.monotonic() + 5
            while not heard and time.monotonic() < deadline:
                time.sleep(0.01)
            pubsub.stop()
            thread.join(1)
            assert not thread.is_alive()

        await asyncio.to_thread(use)

    form.run(go)
    assert heard == [{"n": 1}]
    assert not [one.name for one in threading.enumerate() if "pubsub" in one.name]


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("befalls", ["restart", "kill"])
def test_it_listens_again_after_the_server_was_away(own_redis: RedisServer, kind: str, befalls: str) -> None:
    form, heard = Form(kind, own_redis.url, ""), []

    async def go() -> None:
        pubsub = form.pubsub()
        await pubsub.subscribe("a", heard.append)
        running = asyncio.create_task(pubsub.run())
        await pubsub.publish("a", "before")
        await until(lambda: heard == ["before"])
        await asyncio.to_thread(getattr(own_redis, befalls))
        await asyncio.to_thread(own_redis.start)

        async def listens() -> bool:
            return bool(await pubsub.publish("a", "after"))

        await until(listens)
        await until(lambda: "after" in heard)
        assert pubsub.outages >= 1
        pubsub.stop()
        await running

    form.run(go)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_subscribing_where_no_server_is_says_so(own_redis: RedisServer, kind: str) -> None:
    form = Form(kind, own_redis.url, "")
    own_redis.stop()

    async def go() -> None:
        pubsub = form.pubsub()
        with pytest.raises(RedisUnavailable):
            await pubsub.subscribe("a", print, timeout=0.2)
        with pytest.raises(RedisUnavailable):
            await pubsub.publish("a", 1)
        await pubsub.close()

    form.run(go)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_subscribing_with_a_wrong_password_says_so_at_once(own_redis: RedisServer, kind: str) -> None:
    form = Form(kind, own_redis.url.replace(own_redis.password, "guessed-wrong"), "")

    async def go() -> None:
        pubsub, began = form.pubsub(), time.monotonic()
        with pytest.raises(RedisDenied):
            await pubsub.subscribe("a", print, timeout=10)
        assert time.monotonic() - began < 5
        await pubsub.close()

    form.run(go)
