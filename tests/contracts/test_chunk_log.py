"""What a chunk log promises, in memory and on Redis."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tests.contracts.chat_places import process, run, unique, until
from tests.servers.fixtures import delete_keys
from tests.servers.valkey import RedisServer

from ropewalk.contracts.chunk_log import Appended, LogPage
from ropewalk.errors import InvalidSession
from ropewalk.errors.chat import BusUnavailable, ChunkRefused, MessageOver
from ropewalk.messaging.memory import MemoryChunkLog
from ropewalk.messaging.redis import AsyncRedisClient, RedisChunkLog, RedisConfig


class Place:
    def __init__(self, kind: str, url: str = "") -> None:
        self.kind, self.url = kind, url
        self.session = unique()

    def run(self, body: Callable[[Any, Any], Awaitable[None]], **settings: Any) -> None:
        """Let two owners of the same logs do something."""

        async def go() -> None:
            if self.kind == "memory":
                shared = MemoryChunkLog(**settings)
                await body(shared, shared)
                return
            async with AsyncRedisClient(self.url) as one, AsyncRedisClient(self.url) as two:
                await body(RedisChunkLog(one, **settings), RedisChunkLog(two, **settings))

        run(go)


@pytest.fixture(params=["memory", "redis"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "memory":
        yield Place("memory")
    else:
        url = request.getfixturevalue("redis_url")
        yield Place("redis", url)
        delete_keys(url, "chat:log:{test-")


def bodies(page: LogPage) -> list[bytes]:
    return [chunk.body for chunk in page.chunks]


def test_places_count_from_one_over_all_messages_of_a_session(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        s = place.session
        opened = await one.open(s, "m", fence=1)
        assert (opened.chunks, bool(opened.log)) == (0, True)
        await two.open(s, "n", fence=1)
        first = await one.append(s, "m", [b"a", b"b"], fence=1, chunk_id=0, final=False)
        assert first == Appended(first=1, log=opened.log, chunks=2)
        second = await two.append(s, "n", [b"x"], fence=1, chunk_id=0, final=False)
        assert (second.first, second.chunks, second.log) == (3, 1, opened.log)
        third = await one.append(s, "m", [b"c"], fence=1, chunk_id=2, final=True)
        assert (third.first, third.chunks) == (4, 3)
        page = await two.read(s, after=0)
        assert [(chunk.at, chunk.body) for chunk in page.chunks] == [(1, b"a"), (2, b"b"), (3, b"x"), (4, b"c")]
        assert (page.log, page.oldest, page.newest) == (opened.log, 1, 4)
        assert bodies(await one.read(s, after=1, limit=2)) == [b"b", b"x"]
        assert bodies(await one.read(s, after=4)) == []
        assert bodies(await one.read(s, after=99)) == []
        assert await one.read(unique(), after=0) == LogPage(log=None)

    place.run(go)


def test_a_higher_fence_takes_a_message_over_and_a_lower_one_is_refused(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        s = place.session
        await one.open(s, "m", fence=1)
        await one.append(s, "m", [b"a"], fence=1, chunk_id=0, final=False)
        assert (await two.open(s, "m", fence=2)).chunks == 1
        refused = await one.append(s, "m", [b"zombie"], fence=1, chunk_id=1, final=False)
        assert (refused.refused, refused.first, refused.chunks) == (True, 0, 1)
        with pytest.raises(ChunkRefused, match="attempt 2; this one is 1"):
            await one.open(s, "m", fence=1)
        await two.append(s, "m", [b"b"], fence=2, chunk_id=1, final=True)
        assert (await one.append(s, "m", [b"late"], fence=1, chunk_id=2, final=False)).refused
        assert bodies(await one.read(s, after=0)) == [b"a", b"b"]

    place.run(go)


def test_who_was_not_told_that_it_may_write_opens_first(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        s = place.session
        await one.open(s, "m", fence=1)
        await one.append(s, "m", [b"a"], fence=1, chunk_id=0, final=False)
        early = await two.append(s, "m", [b"b"], fence=7, chunk_id=1, final=False)
        assert (early.first, early.refused) == (0, False)
        await two.open(s, "m", fence=7)
        assert (await two.append(s, "m", [b"b"], fence=7, chunk_id=1, final=False)).first == 2

    place.run(go)


def test_after_its_final_chunk_nothing_is_appended_to_a_message(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        s = place.session
        await one.open(s, "m", fence=1)
        await one.append(s, "m", [b"a"], fence=1, chunk_id=0, final=True)
        for writer, fence in ((one, 1), (two, 2)):
            with pytest.raises(MessageOver, match="'m'"):
                await writer.open(s, "m", fence=fence)
        assert (await one.append(s, "m", [b"b"], fence=1, chunk_id=1, final=False)).refused
        assert bodies(await one.read(s, after=0)) == [b"a"]

    place.run(go)


def test_a_message_may_end_without_another_chunk(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        s = place.session
        await one.open(s, "m", fence=1)
        await one.append(s, "m", [b"a"], fence=1, chunk_id=0, final=False)
        ended = await one.append(s, "m", [], fence=1, chunk_id=1, final=True)
        assert (ended.first, ended.chunks, ended.refused) == (0, 1, False)
        with pytest.raises(MessageOver):
            await two.open(s, "m", fence=2)

    place.run(go)


def test_the_same_append_again_doubles_nothing_and_gets_the_same_answer(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        s = place.session
        await one.open(s, "m", fence=1)
        await one.append(s, "m", [b"a"], fence=1, chunk_id=0, final=False)
        await two.append(s, "other", [b"x"], fence=1, chunk_id=0, final=False)
        second = await one.append(s, "m", [b"b", b"c"], fence=1, chunk_id=1, final=False)
        assert await one.append(s, "m", [b"b", b"c"], fence=1, chunk_id=1, final=False) == second
        older = await one.append(s, "m", [b"a"], fence=1, chunk_id=0, final=False)
        assert (older.first, older.skipped, older.refused) == (0, 1, False)
        more = await one.append(s, "m", [b"b", b"c", b"d"], fence=1, chunk_id=1, final=True)
        assert (more.first, more.skipped, more.chunks) == (5, 2, 4)
        again = await one.append(s, "m", [b"b", b"c", b"d"], fence=1, chunk_id=1, final=True)
        assert again == more
        assert bodies(await one.read(s, after=0)) == [b"a", b"x", b"b", b"c", b"d"]

    place.run(go)


def test_a_chunk_that_skips_others_is_refused(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        s = place.session
        await one.open(s, "m", fence=1)
        skipping = await one.append(s, "m", [b"c"], fence=1, chunk_id=2, final=False)
        assert (skipping.refused, skipping.first) == (True, 0)
        assert bodies(await two.read(s, after=0)) == []

    place.run(go)


def test_only_the_newest_are_kept_and_places_go_on(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        s = place.session
        await one.open(s, "old", fence=3)
        await one.append(s, "old", [b"0"], fence=3, chunk_id=0, final=False)
        for number in range(1, 30):
            await one.append(s, f"m{number}", [b"%d" % number], fence=1, chunk_id=0, final=True)
        page = await two.read(s, after=0)
        assert (page.oldest, page.newest) == (21, 30)
        assert bodies(page) == [b"%d" % number for number in range(20, 30)]
        assert [chunk.at for chunk in page.chunks] == [*range(21, 31)]
        assert (await two.unseen(s)).chunks[0].at == 21
        lost = await one.append(s, "old", [b"1"], fence=3, chunk_id=1, final=False)
        assert (lost.first, lost.refused, lost.chunks) == (0, False, 0)  # what was known of it is forgotten too

    place.run(go, kept=10)


def test_a_new_reader_begins_at_the_oldest_message_whose_end_nobody_saw(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        s = place.session
        assert (await one.unseen(s)).log is None
        for message in ("a", "b", "c"):
            await one.append(s, message, [message.encode()], fence=1, chunk_id=0, final=message != "b")
        assert bodies(await two.unseen(s)) == [b"a", b"b", b"c"]
        await two.seen(s, ["a"])
        assert bodies(await one.unseen(s)) == [b"b", b"c"]
        await two.seen(s, ["c", "nobody wrote this"])
        page = await one.unseen(s)
        assert bodies(page) == [b"b", b"c"]
        assert (page.oldest, page.newest) == (1, 3)
        assert bodies(await one.unseen(s, limit=1)) == [b"b"]
        await one.append(s, "b", [b"B"], fence=1, chunk_id=1, final=True)
        await two.seen(s, ["b"])
        end = await one.unseen(s)
        assert (bodies(end), end.newest) == ([], 4)

    place.run(go)


def test_an_end_may_be_seen_before_it_is_in_the_log(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        s = place.session
        await one.open(s, "m", fence=1)
        await two.seen(s, ["m"])
        await one.append(s, "m", [b"a"], fence=1, chunk_id=0, final=True)
        assert bodies(await two.unseen(s)) == []
        await one.open(s, "n", fence=1)
        await two.seen(s, ["n"])  # the end that a zombie told
        await one.open(s, "n", fence=2)
        await one.append(s, "n", [b"b"], fence=2, chunk_id=0, final=True)
        assert bodies(await two.unseen(s)) == [b"b"]

    place.run(go)


def test_a_log_is_forgotten_when_nothing_was_appended_for_long(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        s = place.session
        opened = await one.open(s, "m", fence=1)
        for number in range(8):  # longer than the log would live, each sooner
            await one.append(s, "m", [b"a"], fence=1, chunk_id=number, final=False)
            await asyncio.sleep(0.05)
        assert (await two.read(s, after=0)).newest == 8

        async def gone() -> bool:
            return (await two.read(s, after=0)).log is None

        await until(gone, 3)
        late = await one.append(s, "m", [b"b"], fence=1, chunk_id=8, final=False)
        assert (late.first, late.refused, late.chunks) == (0, False, 0)
        assert late.log != opened.log
        again = await one.open(s, "m", fence=1)
        assert (again.chunks, again.log) == (0, late.log)
        assert (await one.append(s, "m", [b"a", b"b"], fence=1, chunk_id=0, final=True)).first == 1

    place.run(go, kept_seconds=0.25)


def test_many_writers_at_once_keep_one_order_without_gaps(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        s = place.session

        async def write(log: Any, message: str) -> list[int]:
            await log.open(s, message, fence=1)
            told = [
                await log.append(s, message, [f"{message}{n}".encode()], fence=1, chunk_id=n, final=n == 9)
                for n in range(10)
            ]
            return [one.first for one in told]

        places = await asyncio.gather(*(write((one, two)[n % 2], f"m{n}-") for n in range(20)))
        assert all(mine == sorted(mine) for mine in places)
        assert sorted(at for mine in places for at in mine) == [*range(1, 201)]
        page = await one.read(s, after=0)
        assert page.chunks[places[3][4] - 1].body == b"m3-4"

    place.run(go)


def test_what_cannot_be_a_name_or_a_number_is_refused(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        for session in ("", "a.b", "a b", "*", "x" * 129, "a}b", "a\r\nb"):
            with pytest.raises(InvalidSession):
                await one.open(session, "m", fence=1)
            with pytest.raises(InvalidSession):
                await one.read(session, after=0)
        for message in ("", "a\nb", "x" * 201):
            with pytest.raises(InvalidSession):
                await one.append("s", message, [b""], fence=1, chunk_id=0, final=False)
        for fence, chunk_id in ((-1, 0), (2**53, 0), (1, -1)):
            with pytest.raises(ValueError, match="whole numbers"):
                await one.append("s", "m", [b""], fence=fence, chunk_id=chunk_id, final=False)

    place.run(go)


def test_bytes_come_back_as_they_went(place: Place) -> None:
    async def go(one: Any, two: Any) -> None:
        given = [b"", b"\x00\xff\r\n$5\r\n", "ä€😀".encode(), b"x" * 300_000]
        await one.append(place.session, "m=m:{}", given, fence=2**53 - 1, chunk_id=0, final=True)
        assert bodies(await two.read(place.session, after=0)) == given

    place.run(go)


# What only a server can do.


def test_appends_of_one_turn_share_a_round_trip(redis_url: str) -> None:
    async def go(one: RedisChunkLog, two: RedisChunkLog) -> None:
        client: AsyncRedisClient = one._asking._client  # type: ignore[reportPrivateUsage]
        await one.open("test-warm", "m", fence=1)

        async def calls() -> int:
            told = (await client.execute("INFO", "commandstats")).decode()
            lines = [line for line in told.splitlines() if line.startswith("cmdstat_eval")]
            return sum(int(line.split("calls=")[1].split(",")[0]) for line in lines)

        await one.append("test-warm", "m", [b"x"], fence=1, chunk_id=0, final=False)
        before = await calls()
        sessions = [f"test-many-{n}" for n in range(80)]
        told = await asyncio.gather(*(one.append(s, "m", [b"x"], fence=1, chunk_id=0, final=False) for s in sessions))
        assert [answer.first for answer in told] == [1] * 80
        assert await calls() - before == 1

    Place("redis", redis_url).run(go)
    delete_keys(redis_url, "chat:log:{test-")


def test_every_key_has_an_end(redis_url: str) -> None:
    place = Place("redis", redis_url)

    async def go(one: RedisChunkLog, two: RedisChunkLog) -> None:
        client: AsyncRedisClient = one._asking._client  # type: ignore[reportPrivateUsage]
        await one.open(place.session, "m", fence=1)
        await one.append(place.session, "m", [b"x"], fence=1, chunk_id=0, final=True)
        await one.seen(place.session, ["m"])
        await one.append(place.session, "n", [b"x"], fence=1, chunk_id=0, final=False)
        key = f"chat:log:{{{place.session}}}"
        for name in (key, f"{key}:about", f"{key}:open"):
            assert 3590_000 < await client.execute("PTTL", name) <= 3660_000

    place.run(go)
    delete_keys(redis_url, "chat:log:{test-")


def test_a_caller_that_gives_up_takes_no_answer_from_the_others(redis_url: str) -> None:
    place = Place("redis", redis_url)

    async def go(one: RedisChunkLog, two: RedisChunkLog) -> None:
        async def append(message: str) -> Appended:
            return await one.append(place.session, message, [b"x"], fence=1, chunk_id=0, final=False)

        tasks = [asyncio.create_task(append(f"m{n}")) for n in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        assert ((await tasks[0]).first, (await tasks[2]).first) == (1, 3)

    place.run(go)
    delete_keys(redis_url, "chat:log:{test-")


def test_a_server_without_its_memory_begins_a_new_life(own_redis: RedisServer) -> None:
    async def go() -> None:
        async with AsyncRedisClient(own_redis.url) as client:
            log = RedisChunkLog(client)
            opened = await log.open("s", "m", fence=1)
            await log.append("s", "m", [b"a"], fence=1, chunk_id=0, final=False)
            own_redis.restart()  # it has its file
            assert (await log.append("s", "m", [b"b"], fence=1, chunk_id=1, final=False)).first == 2
            own_redis.kill()
            with pytest.raises(BusUnavailable, match=f"127.0.0.1:{own_redis.port}") as told:
                await log.append("s", "m", [b"c"], fence=1, chunk_id=2, final=False)
            assert own_redis.password not in str(told.value)
            for path in own_redis.folder.path.glob("appendonlydir/*"):
                path.unlink()
            own_redis.start()
            lost = await log.append("s", "m", [b"c"], fence=1, chunk_id=2, final=False)
            assert (lost.first, lost.refused) == (0, False)
            assert lost.log != opened.log
            assert (await log.open("s", "m", fence=1)).log == lost.log

    run(go)


def test_a_server_that_does_not_answer_is_told_and_nothing_doubles_when_it_does(own_redis: RedisServer) -> None:
    async def go() -> None:
        config = RedisConfig(own_redis.url, socket_timeout=0.3, socket_connect_timeout=0.3)
        async with AsyncRedisClient(config) as client:
            log = RedisChunkLog(client)
            await log.open("s", "m", fence=1)
            own_redis.freeze()
            calls = [log.append("s", message, [b"a"], fence=1, chunk_id=0, final=False) for message in ("m", "n", "o")]
            told = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(one) for one in told] == [BusUnavailable] * 3
            assert len({id(one) for one in told}) == 3
            own_redis.thaw()
            again = await log.append("s", "m", [b"a"], fence=1, chunk_id=0, final=False)
            assert again.chunks == 1
            assert bodies(await log.read("s", after=0)).count(b"a") in (1, 3)  # the frozen call may have been kept
            assert (await log.append("s", "m", [b"b"], fence=1, chunk_id=1, final=True)).chunks == 2

    run(go)


def test_kill_9_in_the_middle_of_appends_leaves_whole_ones_and_another_goes_on(redis_url: str) -> None:
    session = unique()
    script = """
        import asyncio, sys
        from ropewalk.messaging.redis import AsyncRedisClient, RedisChunkLog

        async def main():
            log = RedisChunkLog(AsyncRedisClient(sys.argv[1]))
            await log.open(sys.argv[2], "m", fence=1)
            chunk_id = 0
            while True:
                pair = [b"%d" % chunk_id, b"%d" % (chunk_id + 1)]
                await log.append(sys.argv[2], "m", pair, fence=1, chunk_id=chunk_id, final=False)
                chunk_id += 2
                print(chunk_id)

        asyncio.run(main())
    """
    with process(script, redis_url, session) as child:
        assert child.stdout
        while int(child.stdout.readline() or -1) < 60:
            assert child.poll() is None
        child.kill()
        said = max([60, *map(int, child.stdout.read().split()[:-1])])

    async def go(one: RedisChunkLog, two: RedisChunkLog) -> None:
        chunks = (await one.open(session, "m", fence=2)).chunks
        assert chunks >= said
        assert chunks % 2 == 0
        await one.append(session, "m", [b"end"], fence=2, chunk_id=chunks, final=True)
        found: list[bytes] = []
        while len(found) <= chunks:
            found += bodies(await two.read(session, after=len(found)))
        assert found == [*(b"%d" % n for n in range(chunks)), b"end"]

    Place("redis", redis_url).run(go)
    delete_keys(redis_url, "chat:log:{test-")


def test_in_a_cluster_each_session_is_kept_whole(cluster_url: str) -> None:
    async def go() -> None:
        async with AsyncRedisClient(RedisConfig(cluster_url, cluster=True)) as client:
            log = RedisChunkLog(client)
            sessions = [f"s{n}" for n in range(40)]
            await asyncio.gather(*(log.open(s, "m", fence=1) for s in sessions[:20]))
            calls = (log.append(s, "m", [s.encode()], fence=1, chunk_id=0, final=True) for s in sessions)
            assert {one.first for one in await asyncio.gather(*calls)} == {1}
            assert [bodies(await log.unseen(s)) for s in sessions] == [[s.encode()] for s in sessions]
            await log.seen("s1", ["m"])
            assert bodies(await log.unseen("s1")) == []

    run(go)
