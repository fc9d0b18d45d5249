"""What a rate limiter promises, in both forms and both algorithms."""

import asyncio
import time

import pytest
from tests.messaging.forms import Form

ALGORITHMS = pytest.mark.parametrize("algorithm", ["token_bucket", "sliding_window"])


@ALGORITHMS
def test_a_burst_is_exactly_the_rate(form: Form, algorithm: str) -> None:  # defects 12 and 13
    async def go() -> None:
        limiter = form.limiter(rate=5, period=60, algorithm=algorithm)
        answers = await asyncio.gather(*(limiter.is_allowed("a") for _ in range(20)))
        assert sum(answers) == 5
        assert await limiter.is_allowed("b")

    form.run(go)


@ALGORITHMS
def test_overload_starves_nobody(form: Form, algorithm: str) -> None:  # defect 12
    async def go() -> None:
        limiter, allowed = form.limiter(rate=20, period=0.2, algorithm=algorithm), 0
        began = time.monotonic()
        while time.monotonic() - began < 0.6:
            allowed += await limiter.is_allowed("a")
        passed = time.monotonic() - began
        assert allowed <= 100 * passed + 20
        assert allowed >= 0.95 * 60

    form.run(go)


@ALGORITHMS
def test_it_says_what_remains_and_when_to_come_again(form: Form, algorithm: str) -> None:
    async def go() -> None:
        limiter = form.limiter(rate=2, period=0.4, algorithm=algorithm)
        first, second, third = [await limiter.check("a") for _ in range(3)]
        assert (first.allowed, first.remaining, first.retry_after) == (True, 1, 0)
        assert (second.allowed, second.remaining) == (True, 0)
        assert not third.allowed
        assert 0 < third.retry_after <= 0.4
        assert third.retry_after <= third.reset_after <= 0.4
        await asyncio.sleep(third.retry_after)
        assert (await limiter.check("a")).allowed

    form.run(go)


@ALGORITHMS
def test_who_waits_goes_in_the_order_of_asking_and_as_fast_as_allowed(form: Form, algorithm: str) -> None:
    async def go() -> None:
        limiter, order = form.limiter(rate=10, period=0.2, algorithm=algorithm), []
        began = time.monotonic()

        async def one(number: int) -> None:
            assert await limiter.wait("a")
            order.append(number)

        waiting = []
        for number in range(30):
            waiting.append(asyncio.create_task(one(number)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*waiting)
        passed = time.monotonic() - began
        assert 0.38 <= passed < 1.2  # 10 at once, then 20 in two periods
        if algorithm == "token_bucket":
            overtaken = [number - place for place, number in enumerate(order[10:], 10)]  # the first ten do not wait
            assert max(map(abs, overtaken)) <= 3  # whose times have come while the machine was busy go on in any order

    form.run(go)


@ALGORITHMS
def test_waiting_that_would_take_too_long_is_refused_at_once_and_costs_nothing(form: Form, algorithm: str) -> None:
    async def go() -> None:
        limiter = form.limiter(rate=1, period=0.4, algorithm=algorithm)
        assert await limiter.wait("a", timeout=0)
        began = time.monotonic()
        for _ in range(10):
            assert not await limiter.wait("a", timeout=0.1)
        assert time.monotonic() - began < 0.3
        assert await limiter.wait("a", timeout=1)
        assert 0.38 < time.monotonic() - began < 0.9

    form.run(go)


def test_a_window_never_holds_more_than_the_rate(form: Form) -> None:
    async def go() -> None:
        limiter, granted = form.limiter(rate=5, period=0.2, algorithm="sliding_window"), []
        ends = time.monotonic() + 0.6
        while time.monotonic() < ends:
            before = time.monotonic()
            if await limiter.is_allowed("a"):
                granted.append((before, time.monotonic()))
        for (first, _), (_, last) in zip(granted, granted[5:], strict=False):
            assert last - first >= 0.2

    form.run(go)


@ALGORITHMS
def test_a_key_that_rests_is_forgotten_and_a_busy_one_stays_small(form: Form, algorithm: str) -> None:
    async def go() -> None:
        limiter = form.limiter(rate=100, period=0.1, algorithm=algorithm)
        key = f"ratelimit:{form.prefix}limit:a" + (":window" if algorithm == "sliding_window" else "")
        for _ in range(500):
            await limiter.is_allowed("a")
        assert await form.calls.execute("MEMORY", "USAGE", key) < 4000
        assert 0 < await form.calls.execute("PTTL", key) <= 1200  # the period, and a second

    form.run(go)


def test_what_could_never_be_allowed_is_an_error(form: Form) -> None:
    async def go() -> None:
        with pytest.raises(ValueError, match="rate and period"):
            form.limiter(rate=0)
        with pytest.raises(ValueError, match="never be allowed"):
            await form.limiter(rate=2).is_allowed("a", cost=3)
        assert await form.limiter(rate=0.5, burst=3).is_allowed("a", cost=3)

    form.run(go)
