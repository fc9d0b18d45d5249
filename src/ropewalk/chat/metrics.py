"""What pods and workers of the chat tell Prometheus. Never a label by session or user."""

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Reads = dict[str, tuple[str, Callable[[], float | None]]]
"""Series -> what it tells, and how it is read; a name that ends in ``_total`` only grows. None: not known now."""


class ChatMetrics(Collector):
    """Series that are read when they are asked for."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Any]:
        """Yield every series that is known now."""
        for name, (told, read) in self._reads.items():
            value = read()
            if value is None:
                continue
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            series: Any = family(f"ropewalk_chat_{name}", told)
            series.add_metric([], value)
            yield series

    def text(self) -> bytes:
        """Return all of it as Prometheus reads it."""
        return generate_latest(self.registry)
