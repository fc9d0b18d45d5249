"""The command `serve`: graphs behind HTTP, until somebody stops it."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ropewalk.cli.garbage import what_is_here_stays
from ropewalk.cli.load import Loaded, load_graphs
from ropewalk.cli.opening import opened, store_choice
from ropewalk.cli.screen import Screen, printable
from ropewalk.cli.shown import shown_url
from ropewalk.cli.trouble import DONE, FAILED, Trouble
from ropewalk.doors import Doors
from ropewalk.runtime import QueuesRuns, RunStore
from ropewalk.settings import DoorSettings, chosen_doors


class OpensSockets(Protocol):
    """What listens."""

    def open_socket(self, host: str, port: int) -> socket.socket: ...


def serve(options: argparse.Namespace) -> int:
    """Serve until a signal comes."""
    screen = Screen(as_json=options.json)
    settings = _settings(options)
    loaded = load_graphs(options.targets)
    log_to_stderr()
    return asyncio.run(_serve(loaded, settings, options, screen))


def _settings(options: argparse.Namespace) -> DoorSettings:
    return door_settings(options, host=options.host, for_workers=options.workers, bus=options.bus)


def door_settings(options: argparse.Namespace, *, host: str, for_workers: bool, bus: str | None = None) -> DoorSettings:
    """Return who may ask, and how much, as it was typed and as the environment says."""
    given = DoorSettings(
        api_keys=tuple(options.api_key),
        jwks=options.jwks,
        jwt_issuer=options.jwt_issuer,
        jwt_audience=options.jwt_audience,
        no_auth=options.auth == "none",
        allowed_hosts=(*options.allow_host, host),
        allowed_origins=tuple(options.allow_origin),
        for_workers=for_workers,
        bus=bus,
        requests_per_second=options.requests_per_second,
        limits=options.limits,
        streams_per_user=options.streams_per_user,
        runs_per_user=options.runs_per_user,
        max_body_bytes=options.max_body,
    )
    try:
        return chosen_doors(given, host=host, environ=os.environ)
    except ValueError as error:
        raise Trouble(str(error), code="setting_invalid") from error


async def _serve(loaded: Sequence[Loaded], settings: DoorSettings, options: argparse.Namespace, screen: Screen) -> int:
    store, shown = store_of(loaded, options.store)
    try:
        if settings.for_workers and not isinstance(store, QueuesRuns):
            raise Trouble(
                f"{shown} has no queue, so runs cannot be left to workers in it.",
                do="Leave --workers out, or name a store that has one: --store postgresql://user@host/database",
                code="store_without_queue",
            )
        graphs = {id(one.graph): one.graph for one in loaded}
        try:
            doors = Doors([*graphs.values()], settings, aliases=aliases_of(loaded))
        except ValueError as error:
            raise Trouble(str(error)) from error
        listening = listening_socket(doors, options.host, options.port)
        _tell(screen, doors, listening, shown, settings)
        with what_is_here_stays():
            await doors.serve(listening)
        return DONE
    finally:
        await store.close()


def aliases_of(loaded: Sequence[Loaded]) -> Mapping[str, str]:
    """Return the names that graphs have in their files, where only one graph has that."""
    names = [one.name for one in loaded]
    return {one.name: one.graph.name for one in loaded if names.count(one.name) == 1}


def store_of(loaded: Sequence[Loaded], given: str | None) -> tuple[RunStore, str]:
    """Return the one store of all graphs: that of the command, or that which the files give their graphs."""
    stores = {id(one.graph.store): one.graph.store for one in loaded if one.graph.store is not None}
    if given is None and len(stores) > 1:
        raise Trouble("The graphs have stores of their own, and one server has one.", do="Name it: --store URL")
    if given is None and stores:
        (store,) = stores.values()
        shown = type(store).__name__
    else:
        choice = store_choice(given)
        store, shown = opened(choice, to_look=False), shown_url(choice.url)
    for one in loaded:
        one.graph.use_store(store)
    return store, shown


def listening_socket(doors: OpensSockets, host: str, port: int) -> socket.socket:
    try:
        return doors.open_socket(host, port)
    except (OSError, OverflowError) as error:
        raise Trouble(
            f"{host}:{port} cannot be bound: {error}.",
            do="Choose another port: --port 0 is any free one.",
            status=FAILED,
            code="port_unavailable",
        ) from error


def _tell(screen: Screen, doors: Doors, listening: socket.socket, store: str, settings: DoorSettings) -> None:
    host, port = listening.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    names = [*doors.service.graphs]
    auth = "keys" if settings.asks_who else "none"
    if screen.as_json:
        screen.record(
            {"type": "serving", "url": url, "graphs": names, "store": store, "auth": auth, "pid": os.getpid()}
        )
        return
    screen.line(printable(f"serves {', '.join(names)} from {store} at {url}"))
    whoever = "anybody who reaches it may use it" if auth == "none" else "callers show a key"
    screen.line(f"  {whoever}; GET {url}/openapi.json tells what can be asked")


def log_to_stderr() -> None:
    """Let people read what is said of single runs; requests are not logged, nor anything that is in them."""
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    for name, level in (("ropewalk", logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger: Any = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
