"""What pods and workers of the chat tell Prometheus. Never a label by session or user."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from ropewalk.chat.answering import Answering
from ropewalk.chat.outlet import Told
from ropewalk.chat.pod import Pod
from ropewalk.chat.relay import Relay
from ropewalk.contracts.pod_bus import PodBus

Reads = Mapping[str, tuple[str, Callable[[], float]]]
"""Series -> what it tells, and how it is read; a name that ends in ``_total`` only grows."""


class Series(Collector):
    """Series that are read when somebody asks for them."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    def collect(self) -> Iterator[Any]:
        """Yield every series as it stands now."""
        for name, (told, read) in self._reads.items():
            family = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            series: Any = family(f"ropewalk_chat_{name}", told)
            series.add_metric([], read())
            yield series


def pod_series(pod: Pod, relay: Relay) -> Reads:
    """Return what a pod tells."""
    counts = pod.counts
    return {
        "connections": ("Clients that are connected here", lambda: len(pod.viewers)),
        "sessions": ("Sessions with a client here", lambda: len(pod.places)),
        "messages_open": ("Answers under way that a client here follows", lambda: sum(map(_open, pod.places.values()))),
        "chunks_heard_total": ("Chunks that came over the bus", lambda: counts.chunks),
        "gaps_filled_total": ("Times that chunks were missing and were read from the log", lambda: counts.gaps),
        "clients_resumed_total": ("Clients that went on behind the last event they had", lambda: counts.resumed),
        "clients_unrecovered_total": ("Clients that were told anew: their log was gone", lambda: counts.unrecovered),
        "foreign_messages": ("Answers of other services' workers that are put in order", lambda: len(relay.orderings)),
        "foreign_chunks_refused_total": ("Chunks of theirs there was no room for", lambda: relay.orderings.refused),
    }


def worker_series(answering: Answering) -> Reads:
    """Return what a worker tells."""
    return {
        "messages_writing": ("Answers that are told at the moment", lambda: answering.writing),
        "requests_admitted_total": ("Requests of other services' pods", lambda: answering.admitted),
        "requests_buried_total": ("Requests that nobody can answer", lambda: answering.buried),
        "request_attempts_total": ("Requests that were handed to this worker", lambda: answering.taken),
    }


def told_series(told: Told, bus: PodBus) -> Reads:
    """Return what whoever writes chunks tells."""
    return {
        "chunks_told_total": ("Chunks that were put into the log and sent to pods", lambda: told.chunks),
        "resets_total": ("Answers that were told anew", lambda: told.resets),
        "log_unavailable_total": ("Times that the log of chunks could not be reached", lambda: told.unavailable),
        "chunks_dropped_total": ("Chunks the bus could not take; pods find them in the log", lambda: bus.dropped),
    }


def register(registry: CollectorRegistry, *reads: Reads) -> None:
    """Let a registry tell these series."""
    for one in reads:
        registry.register(Series(one))


def serve_metrics(registry: CollectorRegistry, host: str, port: int) -> Callable[[], None]:
    """Serve ``/metrics`` from a thread of its own; return what ends it. Raises OSError."""
    server, thread = start_http_server(port, host, registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return stop


def _open(place: Any) -> int:
    return len(place.open)
