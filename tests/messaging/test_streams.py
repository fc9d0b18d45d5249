"""What a stream promises its producers and workers, in both forms."""

import asyncio
import signal
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pydantic
import pytest
from tests.drill.redis_crew import RedisCrew, effects
from tests.drill.redis_victim import GROUP
from tests.messaging.forms import Form, until
from tests.servers.valkey import RedisServer

from ropewalk.messaging.redis import (
    GroupMissing,
    NotReadable,
    RedisClient,
    RedisConfig,
    RedisStream,
    RedisUnavailable,
    StreamBusy,
    WrongKind,
)
from ropewalk.messaging.redis.stream_desk import Desk


async def process(stream, processor, ends, **more):
    """Process until ``ends()``, then stop; return when the worker has left."""
    doing = asyncio.create_task(stream.process_messages(processor, **{"block": 50} | more))
    try:
        await until(ends)
    finally:
        stream.stop()
        await doing


def test_a_worker_that_comes_after_the_producer_gets_everything(form: Form) -> None:  # defect 1
    async def go() -> None:
        await form.stream().add({"task_id": "123"})
        worker, done = form.stream(), []
        await worker.create_consumer_group("workers", "worker-1")
        await process(worker, done.append, lambda: done)
        assert done == [{"task_id": "123"}]
        stats = await worker.stats()
        assert (stats.pending, stats.lag, stats.length, stats.workers) == (0, 0, 1, 0)

    form.run(go)


def test_a_group_on_a_new_stream_holds_nothing(form: Form) -> None:  # defect 2
    async def go() -> None:
        worker = form.stream()
        assert await worker.create_consumer_group("workers")
        assert await worker.create_consumer_group("workers")  # another worker comes
        assert await worker.read_group() == []
        assert await worker.read() == []
        await worker.close()

    form.run(go)


def test_data_comes_back_as_what_it_was(form: Form) -> None:  # defect 3
    data = {"n": 1, "flag": True, "obj": {"a": [1, 2]}, "none": None, "at": datetime.now(UTC), "raw": b"\xff", 7: (1,)}

    async def go() -> None:
        stream = form.stream()
        number = await stream.add(data)
        [message] = await stream.read(10)
        assert message.id == number
        assert message.data == data
        assert type(message.data["flag"]) is bool
        assert type(message.data[7]) is tuple

    form.run(go)


class Task(pydantic.BaseModel):
    name: str
    at: datetime


def test_models_come_back_as_models_where_the_reader_says_which(form: Form) -> None:
    async def go() -> None:
        task, done = Task(name="a", at=datetime.now(UTC)), []
        stream = form.stream(kind=Task, max_attempts=3)
        await stream.add(task)
        await stream.add({"name": "no time"})
        await stream.create_consumer_group("workers")
        await process(stream, done.append, stream.dead_letters)
        assert done == [task]
        [letter] = await stream.dead_letters()
        assert letter.reason.startswith("NotReadable: ")
        assert letter.attempts == 1

    form.run(go)


@pytest.mark.parametrize("says", ["raises", "returns False"])
def test_what_fails_is_tried_again_with_backoff_then_is_a_dead_letter(form: Form, says: str) -> None:  # defect 4
    async def go() -> None:
        times: list[float] = []

        def fail(_: object) -> bool:
            times.append(time.monotonic())
            if says == "raises":
                raise ValueError("no such rope")
            return False

        stream = form.stream(max_attempts=3, backoff=0.1)
        number = await stream.add({"n": 1})
        await stream.create_consumer_group("workers")
        await process(stream, fail, stream.dead_letters)
        assert len(times) == 3
        assert 0.1 <= times[1] - times[0] < 0.6
        assert 0.2 <= times[2] - times[1] < 0.9
        [letter] = await stream.dead_letters()
        assert (letter.data, letter.attempts, letter.group, letter.message_id) == ({"n": 1}, 3, "workers", number)
        assert letter.reason == ("ValueError: no such rope" if says == "raises" else letter.reason)
        assert (await stream.stats()).pending == 0

    form.run(go)


def test_one_failure_holds_up_nobody_else(form: Form) -> None:
    async def go() -> None:
        seen: list[int] = []

        def work(data: dict[str, int]) -> None:
            seen.append(data["n"])
            if data["n"] == 0 and seen.count(0) == 1:
                raise ValueError("not yet")

        stream = form.stream(backoff=0.1)
        await stream.add_many([{"n": n} for n in range(5)])
        await stream.create_consumer_group("workers")
        await process(stream, work, lambda: len(seen) == 6)
        assert seen == [0, 1, 2, 3, 4, 0]

    form.run(go)


def test_dead_letters_are_replayed_for_their_group_alone(form: Form) -> None:
    async def go() -> None:
        mended, done, others = False, [], []

        def work(data: object) -> None:
            if not mended:
                raise ValueError("broken")
            done.append(data)

        stream, other = form.stream(max_attempts=1), form.stream()
        await stream.add_many([{"n": 1}, {"n": 2}])
        await stream.create_consumer_group("workers")
        await other.create_consumer_group("others")

        async def two() -> bool:
            return len(await stream.dead_letters()) == 2

        await process(stream, work, two)
        first, second = await stream.dead_letters()
        assert [one.id for one in await stream.dead_letters(1, after=first.id)] == [second.id]
        mended = True
        assert len(await form.stream().replay_dead_letters([second.id])) == 1
        assert await form.stream().replay_dead_letters([second.id]) == []
        await process(stream, work, lambda: done)
        assert done == [{"n": 2}]
        assert len(await form.stream().replay_dead_letters()) == 1
        assert await stream.dead_letters() == []
        await process(stream, work, lambda: len(done) == 2)
        await process(other, others.append, lambda: len(others) == 2)

        async def read_all() -> bool:
            return (await other.stats()).lag == 0

        await process(other, others.append, read_all)
        assert others == [{"n": 1}, {"n": 2}]

    form.run(go)


def test_reading_begins_at_the_first_message_and_waits_when_asked(form: Form) -> None:  # defects 5 and 6
    form.be_impatient(0.3)

    async def go() -> None:
        stream = form.stream()
        ids = await stream.add_many([{"n": n} for n in range(3)])
        assert [message.id for message in await stream.read(2)] == ids[:2]
        assert [message.id for message in await stream.read(10, last_id=ids[0])] == ids[1:]
        began = time.monotonic()
        assert await stream.read(10, ids[-1], block=500) == []  # longer than the connection's timeout
        assert 0.45 < time.monotonic() - began < 1.5
        reading = asyncio.create_task(stream.read(10, "$", block=5000))
        await asyncio.sleep(0.1)
        await stream.add({"n": 3})
        assert [message.data for message in await reading] == [{"n": 3}]

    form.run(go)


def test_a_group_can_be_read_by_hand_longer_than_the_connection_would_wait(form: Form) -> None:  # defect 6
    form.be_impatient(0.3)

    async def go() -> None:
        stream = form.stream(lease=1)
        await stream.create_consumer_group("workers")
        began = time.monotonic()
        assert await stream.read_group(block=500) == []
        assert 0.45 < time.monotonic() - began < 1.5
        await stream.add({"n": 1})
        [message] = await stream.read_group(block=1000)
        assert await stream.acknowledge(message.id)
        assert not await stream.acknowledge(message.id)
        await stream.add({"n": 2})
        assert len(await stream.read_group()) == 1
        await stream.close()  # without acknowledging
        assert (await stream.stats()).waiting == 1

    form.run(go)


def test_processing_needs_a_group(form: Form) -> None:
    async def go() -> None:
        with pytest.raises(GroupMissing, match="create_consumer_group"):
            await form.stream().process_messages(print)

    form.run(go)


def test_a_key_of_another_kind_is_told_at_once(form: Form) -> None:
    async def go() -> None:
        await form.calls.set(form.prefix + "tasks", "text")
        with pytest.raises(WrongKind):
            await form.stream().add({})
        with pytest.raises(WrongKind):
            await form.stream().create_consumer_group("workers")

    form.run(go)


def test_concurrency_is_a_limit_and_is_reached(form: Form) -> None:
    async def go() -> None:
        now, most, done, lock = 0, 0, 0, threading.Lock()

        def work(_: object) -> None:
            nonlocal now, most, done
            with lock:
                now += 1
                most = max(most, now)
            time.sleep(0.02)
            with lock:
                now -= 1
                done += 1

        stream = form.stream()
        await stream.add_many([{"n": n} for n in range(40)])
        await stream.create_consumer_group("workers")
        await process(stream, work, lambda: done == 40, concurrency=4)
        assert most == 4

    form.run(go)


def test_a_task_longer_than_many_leases_is_delivered_once(form: Form) -> None:
    async def go() -> None:
        began: list[str] = []

        def long(_: object) -> None:
            began.append(threading.current_thread().name)
            time.sleep(0.9)

        one, two = form.stream(lease=0.25), form.stream(lease=0.25)
        await one.add({})
        for worker in (one, two):
            await worker.create_consumer_group("workers")

        async def all_done() -> bool:
            return bool(began) and (await one.stats()).pending == 0

        await asyncio.gather(process(one, long, all_done), process(two, long, all_done))
        assert len(began) == 1

    form.run(go)


def test_a_handler_that_blocks_its_event_loop_for_many_leases_keeps_its_message(redis_url: str, redis_prefix: str):
    form, began = Form("async", redis_url, redis_prefix), []

    async def go() -> None:
        async def blocks(_: object) -> None:
            began.append(1)
            time.sleep(0.9)  # a bad handler

        from ropewalk.messaging.redis import RedisStream

        other = RedisStream(form.prefix + "tasks", RedisClient(form.config), lease=0.3)
        other.create_consumer_group("workers")
        stream = form.stream(lease=0.3)
        await stream.add({})
        await stream.create_consumer_group("workers")
        doing = asyncio.create_task(stream.process_messages(blocks))
        await until(lambda: began)
        thread = other.process_in_thread(began.append)

        async def all_done() -> bool:
            return (await stream.stats()).pending == 0

        await until(all_done)
        stream.stop()
        other.stop()
        await doing
        await asyncio.to_thread(thread.join)

    form.run(go)
    assert began == [1]


def test_stop_lets_what_was_begun_end_and_gives_back_the_rest(form: Form) -> None:
    async def go() -> None:
        begun, ended = [], []

        def work(data: object) -> None:
            begun.append(data)
            time.sleep(0.3)
            ended.append(data)

        stream = form.stream()
        await stream.add_many([{"n": n} for n in range(30)])
        await stream.create_consumer_group("workers")
        doing = asyncio.create_task(stream.process_messages(work, count=30))
        await until(lambda: begun)
        stream.stop()
        began = time.monotonic()
        await doing
        assert time.monotonic() - began < 1.5
        assert len(ended) == len(begun) < 5
        stats = await stream.stats()
        assert stats.pending == stats.waiting == 30 - len(ended)
        rest: list[object] = []
        await process(stream, rest.append, lambda: len(rest) == 30 - len(ended))

    form.run(go)


def test_consumers_of_one_name_are_two(form: Form) -> None:
    async def go() -> None:
        one, two = form.stream(), form.stream()
        for worker in (one, two):
            await worker.create_consumer_group("workers", "worker-1")
        assert one.consumer != two.consumer
        assert one.consumer.startswith("worker-1-")

    form.run(go)


def test_a_stream_can_be_bounded_by_number_age_and_work_done(form: Form) -> None:
    async def go() -> None:
        short = form.stream("short", maxlen=100)
        await short.add_many([{"n": n} for n in range(1000)])
        assert (await short.stats()).length < 250
        young = form.stream("young", max_age=0.2)
        await young.add({"n": 1})
        await asyncio.sleep(0.3)
        await young.add({"n": 2})
        assert [message.data["n"] for message in await young.read()] == [2]
        done, tidy = [], form.stream("tidy", discard_done=True, lease=0.3)
        await tidy.add_many([{"n": n} for n in range(10)])
        await tidy.create_consumer_group("workers")

        async def empty() -> bool:
            return len(done) == 10 and (await tidy.stats()).length == 0

        await process(tidy, done.append, empty)

    form.run(go)


def test_what_cannot_be_stored_is_told_and_nothing_is_added(form: Form) -> None:
    async def go() -> None:
        from ropewalk.errors import NotStorable

        stream = form.stream()
        with pytest.raises(NotStorable):
            await stream.add_many([{"n": 1}, {"f": object()}])
        assert await stream.read() == []

    form.run(go)


def test_an_entry_of_another_program_is_read_as_its_fields(form: Form) -> None:
    async def go() -> None:
        await form.calls.execute("XADD", form.prefix + "tasks", "*", "colour", "red", "n", "1")
        await form.calls.execute("XADD", form.prefix + "tasks", "*", "data", "{broken")
        stream = form.stream()
        assert (await stream.read(1))[0].data == {"colour": "red", "n": "1"}
        with pytest.raises(NotReadable):
            await stream.read()
        done: list[object] = []
        await stream.create_consumer_group("workers")
        await process(stream, done.append, stream.dead_letters)
        assert done == [{"colour": "red", "n": "1"}]
        assert (await stream.dead_letters())[0].data == b"{broken"

    form.run(go)


def test_what_dies_with_its_worker_too_often_is_a_dead_letter_whoever_wrote_it(
    redis_url: str, redis_prefix: str
) -> None:
    name = redis_prefix + "tasks"
    with RedisClient(redis_url) as client:
        stream = RedisStream(name, client, lease=0.2, max_attempts=1)
        stream.create_consumer_group("workers")
        client.execute("XADD", name, "*", "colour", "red")
        stream.add({"n": 1})
        client.execute("XREADGROUP", "GROUP", "workers", "never-heard-of", "STREAMS", name, ">")
        thread = stream.process_in_thread(print, block=50)
        deadline = time.monotonic() + 10
        while len(stream.dead_letters()) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        stream.stop()
        thread.join()
        letters = stream.dead_letters()
        assert [letter.data for letter in letters] == [{"colour": "red"}, {"n": 1}]
        assert {letter.reason for letter in letters} == {"WorkerDied: never-heard-of was not heard of for 0.2 s"}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_server_that_is_away_is_asked_seldom_and_work_goes_on_when_it_is_back(  # defect 7
    own_redis: RedisServer, kind: str
) -> None:
    form = Form(kind, own_redis.url, "")

    async def go() -> None:
        done: list[object] = []
        stream = form.stream(lease=2)
        await stream.create_consumer_group("workers")
        doing = asyncio.create_task(stream.process_messages(done.append))
        await stream.add({"n": 1})
        await until(lambda: done)
        await asyncio.to_thread(own_redis.stop)
        asked, driver = 0, form.client.driver
        answer = driver.answer

        def counted(what: object) -> object:
            nonlocal asked
            asked += 1
            return answer(what)

        driver.answer = counted
        await asyncio.sleep(0.8)
        assert 2 <= asked < 30
        await asyncio.to_thread(own_redis.start)
        await stream.add({"n": 2})
        await until(lambda: len(done) == 2)
        stream.stop()
        await doing

    form.run(go)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_server_that_forgot_everything_is_served_on(own_redis: RedisServer, kind: str) -> None:
    form = Form(kind, own_redis.url, "")

    async def go() -> None:
        done: list[object] = []
        stream = form.stream()
        await stream.create_consumer_group("workers")
        doing = asyncio.create_task(stream.process_messages(done.append))
        await asyncio.sleep(0.2)
        await form.calls.execute("FLUSHALL")
        await form.calls.execute("SCRIPT", "FLUSH")
        await stream.add({"n": 1})
        await until(lambda: done)
        stream.stop()
        await doing

    form.run(go)


def test_an_answer_that_got_lost_is_noticed(redis_url: str, redis_prefix: str) -> None:
    """The server gave a message to a worker that lives and never heard of it."""
    form = Form("sync", redis_url, redis_prefix)
    form.config = RedisConfig(redis_url, socket_timeout=0.2)

    async def go() -> None:
        done: list[object] = []
        stream = form.stream(lease=0.6)
        await stream.create_consumer_group("workers")
        await stream.add({"n": 1})
        await form.calls.execute(
            "XREADGROUP", "GROUP", "workers", stream.consumer, "STREAMS", redis_prefix + "tasks", ">"
        )
        await process(stream, done.append, lambda: done)
        assert done == [{"n": 1}]

    form.run(go)


@pytest.mark.parametrize("kind", ["consume", "consume_async"])
def test_a_worker_that_was_frozen_for_longer_than_its_lease_begins_nothing_that_it_had_taken(
    redis_url: str, redis_prefix: str, tmp_path: Path, kind: str
) -> None:
    """It had taken a batch, and goes on in the middle of it with its signs of life given again."""
    name, path = redis_prefix + "tasks", tmp_path / "effects"

    def begun() -> list[int]:
        return [effect.number for effect in effects(path) if effect.what == "begin"]

    async def go() -> None:
        client = RedisClient(redis_url)
        stream = RedisStream(name, client, lease=0.3)
        stream.add_many([{"n": n} for n in range(10)])
        with RedisCrew([(kind, redis_url, name, str(path), "0.3", "0.05", "1", "10")]) as crew:
            await until(begun)
            frozen = crew.members[0].process
            frozen.send_signal(signal.SIGSTOP)
            in_hand, done = begun(), []
            stream.create_consumer_group(GROUP)
            thread = stream.process_in_thread(lambda data: done.append(data["n"]))
            await until(lambda: len(done) >= 10 - len(in_hand))
            stream.stop()
            await asyncio.to_thread(thread.join)
            frozen.send_signal(signal.SIGCONT)
            stream.add({"n": 10})
            await until(lambda: 10 in begun())
        assert begun() == [*in_hand, 10]
        client.close()

    asyncio.run(go())


def test_one_object_is_one_worker(form: Form) -> None:
    async def go() -> None:
        stream = form.stream()
        await stream.create_consumer_group("workers")
        doing = asyncio.create_task(stream.process_messages(print, block=50))
        await until(lambda: form_is_busy(stream))
        with pytest.raises(StreamBusy, match="concurrency"):
            await stream.process_messages(print)
        with pytest.raises(StreamBusy):
            await stream.read_group()
        stream.stop()
        await doing
        assert await stream.read_group() == []
        await stream.close()

    def form_is_busy(stream: object) -> bool:
        return getattr(stream, "thing", stream)._busy

    form.run(go)


def test_a_processor_may_be_async_in_either_form(form: Form) -> None:
    async def go() -> None:
        done: list[object] = []

        class Clerk:
            async def __call__(self, data: object) -> None:
                await asyncio.sleep(0)
                done.append(data)

        async def clerk(data: object) -> None:
            await Clerk()(data)

        stream = form.stream()
        await stream.add_many([{"n": n} for n in range(3)])
        await stream.create_consumer_group("workers")
        await process(stream, clerk, lambda: len(done) == 3)
        await stream.add({"n": 3})
        await process(stream, Clerk(), lambda: len(done) == 4)
        assert (await stream.stats()).pending == 0

    form.run(go)


def test_an_outcome_that_was_sent_twice_settles_nothing_that_came_back_meanwhile(
    redis_url: str, redis_prefix: str
) -> None:
    """The answer to a failure is lost; before it is sent again, another thread of the worker has the message anew."""
    with RedisClient(redis_url) as client:
        stream = RedisStream(redis_prefix + "tasks", client, backoff=0.0)
        stream.add({"n": 1})
        stream.create_consumer_group("workers")
        desk = Desk(stream._place, "workers", stream.consumer, start_id="0", batched=False)
        client.talk(desk.beat())
        [first] = client.talk(desk.turn(1, 1))
        desk.failed(first, ValueError("no"))
        lost = desk.turn(0, 0)
        asked = lost.send(None)
        client.driver.answer(asked)
        with pytest.raises(RedisUnavailable):
            lost.throw(RedisUnavailable("here", "the answer was lost"))
        outcomes, desk._outcomes = desk._outcomes, []  # the other thread's turn, which was on its way
        [again] = client.talk(desk.turn(1, 1))
        assert (again.id, again.attempts) == (first.id, 1)
        desk._outcomes = outcomes
        client.talk(desk.turn(0, 0))
        assert desk.held[again.id] is again
        desk.succeeded(again, None)
        client.talk(desk.turn(0, 0))
        stats = stream.stats()
        assert (stats.pending, stats.dead) == (0, 0)
