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

from ropewalk.chat_parts import open_parts
from ropewalk.chat_service import ChatWorker, demo_graph, may_chat, serving_metrics
from ropewalk.chat_settings import ChatSettings
from ropewalk.cli.chat import chat_settings
from ropewalk.cli.garbage import what_is_here_stays
from ropewalk.cli.load import load_graphs
from ropewalk.cli.opening import opened, store_choice
from ropewalk.cli.screen import Screen, printable
from ropewalk.cli.serve import aliases_of
from ropewalk.cli.shown import shown_url
from ropewalk.cli.trouble import DONE, INTERRUPTED, Trouble
from ropewalk.live_bus import open_live
from ropewalk.runtime import Graph, QueuesRuns, RunStore, Worker

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def worker(options: argparse.Namespace) -> int:
    """Do `ropewalk worker`."""
    screen = Screen(as_json=options.json)
    _log_to_stderr()
    with contextlib.redirect_stdout(screen.output_of_nodes()):
        status = asyncio.run(_work(chat_settings(options), options, screen))
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # a plain function that does not return keeps nobody waiting: what it does counts for nothing
    return status


async def _work(settings: ChatSettings, options: argparse.Namespace, screen: Screen) -> int:
    loaded = load_graphs(settings.graphs)
    graphs = [one.graph for one in loaded] or [demo_graph()]
    store, shown = _store_of(graphs, options.store or settings.store)
    bus = options.bus or os.environ.get("NATS_URL") or (None if loaded else settings.bus)
    name = f"worker-{settings.pod_id}"
    parts = (
        open_parts(bus, settings.sessions, name=name, reconnects=settings.reconnects)
        if bus and may_chat(graphs)
        else None
    )
    live = open_live(bus, name=name, reconnects=settings.reconnects) if bus and parts is None else None
    try:
        try:
            works = ChatWorker(
                graphs, parts, settings, live=live and live.live, aliases=aliases_of(loaded), **_options(options)
            )
        except (TypeError, ValueError) as error:
            raise Trouble(str(error)) from error
        names = ", ".join(graph.name for graph in graphs)
        _tell(screen, "worker_started", works.worker, graphs=names, store=shown)
        stopped = _stop_at_signals(works.worker, screen)
        with serving_metrics(works, options.metrics_host, options.metrics_port), what_is_here_stays():
            await works.run()
        _tell(screen, "worker_stopped", works.worker)
        return INTERRUPTED if len(stopped) > 1 else DONE
    finally:
        for opened_parts in (parts, live):
            if opened_parts is not None:
                await opened_parts.close()
        await store.close()


def _options(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "concurrency": options.concurrency,
        "lease": options.lease,
        "on_mismatch": options.on_mismatch,
        "grace": options.grace,
    }


def _store_of(graphs: Sequence[Graph[Any]], given: str | None) -> tuple[RunStore, str]:
    """Return the one store of all graphs: that of the command, or that which the files give their graphs."""
    stores = {id(graph.store): graph.store for graph in graphs if graph.store is not None}
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
    for graph in graphs:
        graph.use_store(store)
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
