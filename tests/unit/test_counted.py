"""Numbers are taken in by any thread, none is lost, and Prometheus reads what its own counters would have told."""

import threading

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ropewalk.server.counted import Counted

BOUNDS = (0.01, 0.5, 1.0, 5.0)


def samples(collector: object) -> dict[tuple[object, ...], float]:
    registry = collector if isinstance(collector, CollectorRegistry) else CollectorRegistry()
    if registry is not collector:
        registry.register(collector)  # type: ignore[arg-type]
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_a_histogram_is_that_of_prometheus() -> None:
    counted = Counted({}, {"waits": ("How long", ["kind"], BOUNDS)})
    theirs = CollectorRegistry()
    histogram = Histogram("ropewalk_waits", "How long", ["kind"], registry=theirs, buckets=BOUNDS)
    for value in (0.0, 0.01, 0.010001, 0.5, 3, 5, 5.1, 1e9):
        counted.observe("waits", value, ("long",))
        histogram.labels("long").observe(value)
    assert samples(counted) == samples(theirs)


def test_what_has_no_labels_is_told_from_the_beginning_and_the_rest_when_it_happens() -> None:
    counted = Counted({"errors_total": ("Errors", []), "runs_total": ("Runs", ["graph"])}, {})
    assert samples(counted) == {("ropewalk_errors_total",): 0.0}
    counted.count("runs_total", ("a",), 1)
    counted.count("runs_total", ("a",), 2.5)
    assert samples(counted)[("ropewalk_runs_total", ("graph", "a"))] == 3.5


def test_no_number_of_any_thread_is_lost() -> None:
    counted = Counted({"runs_total": ("Runs", ["graph"])}, {"waits": ("How long", ["kind"], BOUNDS)})

    def work() -> None:
        for _ in range(2_000):
            counted.count("runs_total", ("a",), 1)
            counted.observe("waits", 1.0, ("long",))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = samples(counted)
    assert told[("ropewalk_runs_total", ("graph", "a"))] == 16_000
    assert told[("ropewalk_waits_count", ("kind", "long"))] == told[("ropewalk_waits_sum", ("kind", "long"))] == 16_000
