"""What a lock promises its holders, in both forms."""

import asyncio
import threading
import time

import pytest
from tests.messaging.forms import Form, until
from tests.servers.valkey import RedisServer

from ropewalk.messaging.redis import LockHeld, LockLost, LockNotAcquired, RedisClient, RedisLock, RedisUnavailable


def test_one_holds_it_and_the_next_gets_a_larger_number(form: Form) -> None:
    async def go() -> None:
        one, two = form.lock(), form.lock()
        assert await one.acquire()
        assert await one.locked()
        assert not await two.acquire(timeout=0)
        assert not await two.acquire(timeout=0.2)
        assert await one.release()
        assert await two.acquire(timeout=0)
        assert isinstance(two.fencing_token, int)
        assert two.fencing_token > one.fencing_token > 0
        assert await two.release()
        assert not await two.release()
        assert not await one.locked()

    form.run(go)


def test_it_is_renewed_for_as_long_as_it_is_held(form: Form) -> None:  # defect 9
    async def go() -> None:
        one, two = form.lock(expire=0.3), form.lock()
        async with one:
            await asyncio.sleep(0.7)
            assert not await two.acquire(timeout=0)
            assert not one.lost

    form.run(go)


def test_a_holder_that_loses_it_is_told(form: Form) -> None:  # defect 9
    async def go() -> None:
        told: list[int] = []
        one = form.lock(expire=0.3, on_lost=lambda: told.append(1))
        assert await one.acquire()
        await form.calls.delete(f"lock:{form.prefix}door")
        await until(lambda: told)
        assert one.lost
        assert not await one.release()
        with pytest.raises(LockLost, match="fencing token"):  # noqa: PT012
            async with form.lock(expire=0.3) as held:
                await form.calls.delete(f"lock:{form.prefix}door")
                await until(lambda: held.lost)
        assert told == [1]
        assert await one.acquire(timeout=1)
        assert not one.lost
        await one.release()

    form.run(go)


def test_entering_twice_is_an_error_and_harms_nothing(form: Form) -> None:  # defect 10
    async def go() -> None:
        one = form.lock()
        await one.acquire()
        with pytest.raises(LockHeld, match="entered twice"):
            await one.acquire(timeout=0)
        assert await one.release()
        assert await form.lock().acquire(timeout=0)

    form.run(go)


def test_a_with_block_is_not_entered_without_the_lock(form: Form) -> None:  # defect 11
    async def go() -> None:
        holder = form.lock()
        await holder.acquire()
        entered = []
        with pytest.raises(LockNotAcquired):
            async with form.lock(timeout=0.1):
                entered.append(1)
        with pytest.raises(LockNotAcquired):
            async with form.lock(expire=0.1):  # waits three times that
                entered.append(1)
        assert not entered
        await holder.release()

    form.run(go)


def test_it_is_let_go_when_the_body_raises(form: Form) -> None:
    async def go() -> None:
        with pytest.raises(ZeroDivisionError):
            async with form.lock():
                _ = 1 / 0
        assert await form.lock().acquire(timeout=0)

    form.run(go)


def test_who_asks_first_is_served_first(form: Form) -> None:
    async def go() -> None:
        order: list[int] = []
        holder = form.lock()
        await holder.acquire()

        async def wait(number: int) -> None:
            async with form.lock():
                order.append(number)

        waiting = []
        for number in range(6):
            waiting.append(asyncio.create_task(wait(number)))

            async def in_line(number: int = number) -> bool:
                return await form.calls.execute("LLEN", f"{{lock:{form.prefix}door}}:line") == number + 1

            await until(in_line)
        await holder.release()
        await asyncio.gather(*waiting)
        assert order == [0, 1, 2, 3, 4, 5]

    form.run(go)


def test_waiting_asks_the_server_little(form: Form) -> None:
    async def go() -> None:
        holder, others = form.lock(), [form.lock() for _ in range(8)]
        await holder.acquire()
        waiting = [asyncio.create_task(one.acquire()) for one in others]
        await asyncio.sleep(0.2)

        async def calls() -> int:
            said = (await form.calls.execute("INFO", "stats")).decode()
            return int(said.split("total_commands_processed:")[1].split()[0])

        before = await calls()
        await asyncio.sleep(0.7)
        assert await calls() - before < 8 * 21  # two or three questions a second for each, scripts included
        await holder.release()
        for _ in others:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            waiting = [one for one in waiting if one not in done]
            for lock in others:
                if lock.held:
                    await lock.release()
            if not waiting:
                break

    form.run(go)


def test_who_gave_up_waiting_is_passed_over(form: Form) -> None:
    async def go() -> None:
        holder, gone, last = form.lock(), form.lock(), form.lock()
        await holder.acquire()
        assert not await gone.acquire(timeout=0.1)
        waiting = asyncio.create_task(last.acquire())
        await asyncio.sleep(0.2)
        began = time.monotonic()
        await holder.release()
        assert await waiting
        assert time.monotonic() - began < 0.5
        await last.release()

    form.run(go)


def test_a_dead_holder_is_followed_as_soon_as_its_lease_ends(form: Form) -> None:
    async def go() -> None:
        await form.calls.execute("SET", f"lock:{form.prefix}door", "dead:5", "PX", "400")
        began = time.monotonic()
        one = form.lock()
        assert await one.acquire(timeout=5)
        assert 0.3 < time.monotonic() - began < 0.8
        await one.release()

    form.run(go)


def test_numbers_grow_even_where_the_server_forgot_them(form: Form) -> None:
    async def go() -> None:
        async with form.lock() as one:
            pass
        await form.calls.delete(f"{{lock:{form.prefix}door}}:fence")
        async with form.lock() as two:
            pass
        assert two.fencing_token > one.fencing_token

    form.run(go)


def test_a_cancelled_wait_leaves_the_line(redis_url: str, redis_prefix: str) -> None:
    form = Form("async", redis_url, redis_prefix)

    async def go() -> None:
        holder, gone = form.lock(), form.lock()
        await holder.acquire()
        waiting = asyncio.create_task(gone.acquire())
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await form.calls.execute("LLEN", f"{{lock:{form.prefix}door}}:line") == 0
        await holder.release()
        assert await form.lock().acquire(timeout=0)

    form.run(go)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_the_body_raised_is_not_hidden_by_a_server_that_is_away(own_redis: RedisServer, kind: str) -> None:
    form = Form(kind, own_redis.url, "", socket_timeout=0.5)

    async def go() -> None:
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with form.lock():
                await asyncio.to_thread(own_redis.stop)
                _ = 1 / 0
        await asyncio.to_thread(own_redis.start)
        with pytest.raises(RedisUnavailable):
            async with form.lock("other"):
                await asyncio.to_thread(own_redis.stop)

    form.run(go)


def test_a_slow_on_lost_holds_up_no_other_lock(redis_url: str, redis_prefix: str) -> None:
    with RedisClient(redis_url) as client:
        told, end = threading.Event(), threading.Event()

        def slow() -> None:
            told.set()
            end.wait(10)

        one = RedisLock(redis_prefix + "one", 0.3, client, slow)
        two = RedisLock(redis_prefix + "two", 0.3, client)
        one.acquire()
        two.acquire()
        client.delete(f"lock:{redis_prefix}one")
        assert told.wait(5)
        time.sleep(0.6)
        assert two.held
        end.set()
        assert two.release()
