"""Counters and histograms that take in a number for next to nothing, and are made into series when somebody asks.

Each run brings a dozen numbers, and somebody asks every few seconds at most.
"""

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

_PREFIX = "ropewalk_"
_Labels = tuple[str, ...]


class Counted(Collector):
    """The counters and histograms of one server; any thread may count."""

    def __init__(
        self,
        counters: Mapping[str, tuple[str, Sequence[str]]],
        histograms: Mapping[str, tuple[str, Sequence[str], Sequence[float]]],
    ) -> None:
        self._told = {name: (words, labels) for name, (words, labels, *_) in {**counters, **histograms}.items()}
        self._bounds = {name: bounds for name, (_, _, bounds) in histograms.items()}
        self._counters: dict[str, dict[_Labels, float]] = {name: {} for name in counters}
        self._histograms: dict[str, dict[_Labels, list[float]]] = {name: {} for name in histograms}
        """How many were in each bucket and beyond the last, then the sum of all."""
        self._lock = threading.Lock()
        for name, (_, labels) in self._told.items():
            if not labels:  # what can only be one series is told from the beginning
                self._begin(name)

    def count(self, series: str, labels: _Labels, by: float) -> None:
        counter = self._counters[series]
        with self._lock:
            counter[labels] = counter.get(labels, 0.0) + by

    def observe(self, series: str, value: float, labels: _Labels) -> None:
        histogram = self._histograms[series].get(labels) or self._begin(series, labels)
        place = bisect_left(self._bounds[series], value)
        with self._lock:
            histogram[place] += 1
            histogram[-1] += value

    def _begin(self, series: str, labels: _Labels = ()) -> list[float]:
        if series in self._counters:
            self._counters[series].setdefault(labels, 0.0)
            return []
        with self._lock:
            return self._histograms[series].setdefault(labels, [0.0] * (len(self._bounds[series]) + 2))

    def collect(self) -> Iterator[Any]:
        """Yield every series as it stands now."""
        with self._lock:
            counters = {name: [*counter.items()] for name, counter in self._counters.items()}
            histograms = {
                name: [(labels, [*numbers]) for labels, numbers in histogram.items()]
                for name, histogram in self._histograms.items()
            }
        for name, counter in counters.items():
            words, labels = self._told[name]
            family = CounterMetricFamily(_PREFIX + name, words, labels=labels)
            for values, count in counter:
                family.add_metric(values, count)
            yield family
        for name, histogram in histograms.items():
            words, labels = self._told[name]
            told = HistogramMetricFamily(_PREFIX + name, words, labels=labels)
            bounds = [*map(_bound, self._bounds[name]), "+Inf"]
            for values, numbers in histogram:
                told.add_metric(values, [*zip(bounds, _summed(numbers[:-1]), strict=True)], numbers[-1])
            yield told


def _bound(seconds: float) -> str:
    return repr(float(seconds))


def _summed(counts: Sequence[float]) -> Iterator[float]:
    """Yield what was in each bucket or below it."""
    total = 0.0
    for count in counts:
        total += count
        yield total
