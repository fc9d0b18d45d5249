"""limits with its Redis storage; its exact strategy is the moving window."""

from collections.abc import Callable

from limits import parse, storage, strategies

from benchmarks.measure import Clock, Costs


def moving_window(url: str, times: int) -> Callable[[], Costs]:
    limiter = strategies.MovingWindowRateLimiter(storage.storage_from_string(url))
    rate = parse("1000/second")

    def repeat() -> Costs:
        with Clock(times) as clock:
            for _ in range(times):
                limiter.hit(rate, "bench", "a")
        return clock.costs

    return repeat
