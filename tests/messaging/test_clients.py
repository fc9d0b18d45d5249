"""What a client promises, in both forms."""

import asyncio
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.messaging.forms import Form
from tests.servers.valkey import RedisServer

from ropewalk.errors import NotStorable
from ropewalk.messaging.redis import (
    AsyncRedisClient,
    NotReadable,
    RedisClient,
    RedisConfig,
    RedisDenied,
    RedisStream,
    RedisUnavailable,
    WrongKind,
)
from ropewalk.messaging.redis.values import dump, load


def test_text_bytes_and_nothing_are_three_things(form: Form) -> None:
    async def go() -> None:
        client, key = form.calls, form.prefix + "a"
        assert await client.get(key) is None
        assert await client.set(key, "rope")
        assert await client.get(key) == "rope"
        await client.set(key, b"\xff")
        assert await client.get_bytes(key) == b"\xff"
        with pytest.raises(NotReadable, match="get_bytes"):
            await client.get(key)
        assert await client.exists(key)
        assert await client.delete(key)
        assert not await client.delete(key)
        await client.set(key, 1, expire=0.05)
        assert 0 < await client.execute("PTTL", key) <= 50

    form.run(go)


class Point(pydantic.BaseModel):
    x: int
    at: datetime


def test_json_keeps_types(form: Form) -> None:  # defect 14
    async def go() -> None:
        client, key = form.calls, form.prefix + "a"
        value = {"at": datetime.now(UTC), "day": date(2026, 1, 2), "raw": b"\0", "id": uuid4(), "n": Decimal("1.10")}
        assert await client.get_json(key) is None
        assert await client.set_json(key, value)
        assert await client.get_json(key) == value
        point = Point(x=1, at=datetime.now(UTC))
        await client.set_json(key, point)
        assert await client.get_json(key, Point) == point
        assert await client.get_json(key) == {"x": 1, "at": point.at}
        await client.set_json(key, {"x": "one"})
        with pytest.raises(NotReadable, match="no Point"):
            await client.get_json(key, Point)
        with pytest.raises(NotStorable, match="object"):
            await client.set_json(key, object())
        with pytest.raises(NotStorable):
            await client.publish("a", [object()])
        assert await client.publish(form.prefix + "nobody", [1, 2]) == 0

    form.run(go)


def test_a_failed_read_is_no_missing_key(form: Form) -> None:  # defect 14
    async def go() -> None:
        await form.calls.execute("LPUSH", form.prefix + "list", "1")
        with pytest.raises(WrongKind, match="not missing"):
            await form.calls.get(form.prefix + "list")
        with pytest.raises(WrongKind):
            await form.calls.get_json(form.prefix + "list")

    form.run(go)


def test_a_pipeline_whose_body_raises_runs_nothing(redis_url: str, redis_prefix: str) -> None:  # defect 8
    with RedisClient(RedisConfig(redis_url)) as client:
        with pytest.raises(ZeroDivisionError), client.pipeline() as pipe:  # noqa: PT012
            pipe.set(redis_prefix + "a", 1)
            _ = 1 / 0
        assert not client.exists(redis_prefix + "a")
        with client.pipeline() as pipe:
            pipe.set(redis_prefix + "a", 1)
            pipe.get(redis_prefix + "a")
        assert pipe.results == [True, "1"]
        with pytest.raises(WrongKind), client.pipeline() as pipe:
            pipe.lpush(redis_prefix + "a", 1)


def test_an_async_pipeline_whose_body_raises_runs_nothing(redis_url: str, redis_prefix: str) -> None:  # defect 8
    form = Form("async", redis_url, redis_prefix)

    async def go() -> None:
        client: AsyncRedisClient = form.client
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with client.pipeline() as pipe:
                pipe.set(redis_prefix + "a", 1)
                _ = 1 / 0
        assert not await client.exists(redis_prefix + "a")
        async with client.pipeline() as pipe:
            pipe.set(redis_prefix + "a", 1)
            pipe.get(redis_prefix + "a")
        assert pipe.results == [True, "1"]

    form.run(go)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_server_that_is_away_is_an_error_of_its_own_and_comes_back(own_redis: RedisServer, kind: str) -> None:
    form = Form(kind, own_redis.url, "", socket_timeout=0.5)

    async def go() -> None:
        await form.calls.set("a", "1")
        assert (await form.calls.health()).role == "master"
        own_redis.restart()
        assert await form.calls.get("a") == "1"  # on a connection that broke
        own_redis.stop()
        with pytest.raises(RedisUnavailable, match="could not be used"):
            await form.calls.get("a")
        assert not await form.calls.health_check()
        own_redis.start()
        assert await form.calls.health_check()
        own_redis.freeze()
        began = time.monotonic()
        with pytest.raises(RedisUnavailable):
            await form.calls.get("a")
        assert time.monotonic() - began < 2
        own_redis.thaw()
        assert await form.calls.get("a") == "1"
        own_redis.freeze()
        began = time.monotonic()
        with pytest.raises(RedisUnavailable):
            await form.calls.set("b", b"b" * 50_000_000)  # more than is taken in by anybody
        assert time.monotonic() - began < 2
        own_redis.thaw()
        assert await form.calls.get("a") == "1"
        await asyncio.sleep(1)  # what was not sent is thrown away with the connection, once the server reads

    form.run(go)


def test_no_password_is_ever_told(own_redis: RedisServer) -> None:
    config = RedisConfig(own_redis.url.replace(own_redis.password, "guessed-wrong"))
    assert "guessed-wrong" not in repr(config)
    with RedisClient(config) as client, pytest.raises(RedisDenied) as caught:
        client.connect()
    assert "guessed-wrong" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


def test_the_server_is_named_by_the_environment_where_nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    assert RedisConfig().shown == "localhost:6379/0"
    monkeypatch.setenv("REDIS_HOST", "elsewhere")
    monkeypatch.setenv("REDIS_PORT", "7000")
    monkeypatch.setenv("REDIS_PASSWORD", "secret")
    assert (RedisConfig().shown, RedisConfig().password) == ("elsewhere:7000/0", "secret")
    assert RedisConfig(host="here", port=1).shown == "here:1/0"
    assert RedisConfig(host="here", port=1).password is None
    monkeypatch.setenv("REDIS_URL", "redis://:hidden@there:7001/2")
    assert RedisConfig().shown == "there:7001/2"
    assert "hidden" not in repr(RedisConfig())
    with pytest.raises(ValueError, match="begins with"):
        RedisConfig("http://there")


def test_primitives_without_a_client_share_one(redis_url: str, redis_prefix: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("REDIS_URL", redis_url)
    one, two = RedisStream(redis_prefix + "a"), RedisStream(redis_prefix + "b")
    assert one._client is two._client
    one.add({})
    one._client.close()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids(),
    lambda below: (
        st.lists(below) | st.tuples(below, below) | st.dictionaries(st.text() | st.integers() | st.just("$type"), below)
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_value_comes_back_equal_and_of_its_type(value: object) -> None:
    back = load(dump(value), "it")
    assert back == value
    assert type(back) is type(value)
    assert repr(back) == repr(value)


def test_subclasses_are_stored_as_what_they_extend() -> None:
    class Word(str):
        pass

    assert load(dump({"w": Word("a"), "d": timedelta(1)}), "it") == {"w": "a", "d": timedelta(1)}


def test_json_of_others_that_looks_like_ours_is_left_alone() -> None:
    assert load(b'{"$type": "os.system", "value": "x"}', "it") == {"$type": "os.system", "value": "x"}
    assert load(b'{"$type": "datetime", "value": 1, "more": 2}', "it") == {"$type": "datetime", "value": 1, "more": 2}


def test_without_the_driver_the_line_that_installs_it_is_told() -> None:
    script = """if True:
        import sys
        sys.modules["redis"] = None  # as if it were not installed
        import ropewalk
        try:
            import ropewalk.messaging.redis
        except ropewalk.errors.PartMissing as missing:
            print(missing)
    """
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "pip install 'ropewalk[redis]'" in ran.stdout
