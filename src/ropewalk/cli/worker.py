"""`ropewalk worker`: drives the runs of graphs that were left to workers, until it is told to stop."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from ropewalk.cli.load import Loaded, load_graphs
from ropewalk.cli.opening import opened, store_choice
from ropewalk.cli.screen import Screen, printable
from ropewalk.cli.shown import shown_url
from ropewalk.cli.trouble import DONE, INTERRUPTED, Trouble
from ropewalk.runtime import QueuesRuns, RunStore, Worker

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def worker(options: argparse.Namespace) -> int:
    """Do `ropewalk worker`."""
    screen = Screen(as_json=options.json)
    _log_to_stderr()
    with contextlib.redirect_stdout(screen.output_of_nodes()):
        loaded = load_graphs(options.targets)
        status = asyncio.run(_work(loaded, options, screen))
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # a plain function that does not return keeps nobody waiting: what it does counts for nothing
    return status


async def _work(loaded: Sequence[Loaded], options: argparse.Namespace, screen: Screen) -> int:
    store, shown = _store_of(loaded, options.store)
    try:
        graphs = [one.graph for one in loaded]
        try:
            worker = Worker(
                graphs,
                concurrency=options.concurrency,
                lease=options.lease,
                on_mismatch=options.on_mismatch,
                grace=options.grace,
            )
        except (TypeError, ValueError) as error:
            raise Trouble(str(error)) from error
        names = [graph.name for graph in graphs]
        _tell(screen, "worker_started", worker, graphs=", ".join(names), store=shown)
        stopped = _stop_at_signals(worker, screen)
        await worker.run()
        _tell(screen, "worker_stopped", worker)
        return INTERRUPTED if len(stopped) > 1 else DONE
    finally:
        await store.close()


def _store_of(loaded: Sequence[Loaded], given: str | None) -> tuple[RunStore, str]:
    """Return the one store of all graphs: that of the command, or that which the files give their graphs."""
    stores = {id(one.graph.store): one.graph.store for one in loaded if one.graph.store is not None}
    if given is None and len(stores) > 1:
        raise Trouble(
            "The graphs have stores of their own, and a worker has one.",
            do="Name it: --store postgresql://user@host/database",
        )
    if given is None and stores:
        (store,) = stores.values()
        shown = type(store).__name__
    else:
        choice = store_choice(given)
        store, shown = opened(choice, to_look=False), shown_url(choice.url)
    if not isinstance(store, QueuesRuns):
        raise Trouble(
            f"{shown} has no queue, so no runs are left to workers in it.",
            why="A worker may run on any machine; a file or a process's memory cannot be shared out.",
            do="Name a store that has one: --store postgresql://user@host/database",
            code="store_without_queue",
        )
    for one in loaded:
        one.graph.use_store(store)
    return store, shown


def _stop_at_signals(worker: Worker, screen: Screen) -> list[int]:
    """Drain at the first signal, cut off at the second; return those that came."""
    loop = asyncio.get_running_loop()
    came: list[int] = []

    def heard(number: int) -> None:
        came.append(number)
        if len(came) == 1:
            _tell(screen, "worker_draining", worker, runs=len(worker.driving))
        worker.stop(at_once=len(came) > 1)

    for number in _SIGNALS:
        loop.add_signal_handler(number, heard, number)
    return came


def _tell(screen: Screen, what: str, worker: Worker, **more: Any) -> None:
    if screen.as_json:
        screen.record({"type": what, "worker": worker.name, **more})
        return
    words = {
        "worker_started": "serves {graphs} from {store}",
        "worker_draining": "stops: {runs} runs come to rest and are handed over; a second signal cuts them off",
        "worker_stopped": "has handed everything over",
    }
    screen.line(printable(f"worker {worker.name} {words[what].format(**more)}"))


def _log_to_stderr() -> None:
    """Let people read what workers say of single runs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    ours = logging.getLogger("ropewalk")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False
