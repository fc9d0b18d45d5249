"""The commands `gateway` and `chat`: the chat service as one of many pods, or as one process."""

import argparse
import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ropewalk.chat_parts import memory_parts, open_parts
from ropewalk.chat_service import Chat, Gateway, demo_graph
from ropewalk.chat_settings import ChatSettings, pod_id_of, read_chat_settings
from ropewalk.cli.garbage import what_is_here_stays
from ropewalk.cli.load import load_graphs
from ropewalk.cli.opening import store_choice
from ropewalk.cli.screen import Screen, printable
from ropewalk.cli.serve import aliases_of, door_settings, listening_socket, log_to_stderr
from ropewalk.cli.shown import shown_url
from ropewalk.cli.trouble import DONE, Trouble
from ropewalk.runtime import Graph, RunStore, open_queued_store, open_store
from ropewalk.settings import DoorSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """The graphs that answer, on their store."""

    graphs: Sequence[Graph[Any]]
    aliases: dict[str, str]
    store: RunStore
    shown: str


def chat_settings(options: argparse.Namespace) -> ChatSettings:
    """Return what was typed, and what the environment says where nothing was."""
    try:
        settings = read_chat_settings(os.environ)
    except ValueError as error:
        raise Trouble(str(error), code="setting_invalid") from error
    given = {name: getattr(options, name, None) for name in ("bus", "sessions", "store", "host", "port")}
    if getattr(options, "pod_id", None):
        given["pod_id"] = pod_id_of(options.pod_id)
    given["graphs"] = tuple(getattr(options, "targets", ())) or None
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def served(settings: ChatSettings, *, embedded: bool) -> Served:
    """Load the graphs, or take the demonstration, and give them their store."""
    if settings.graphs:
        loaded = load_graphs(settings.graphs)
        graphs: list[Any] = [one.graph for one in loaded]
        aliases = dict(aliases_of(loaded))
    else:
        graphs, aliases = [demo_graph()], {}
    choice = store_choice(settings.store)
    store = open_queued_store(choice.url) if embedded else open_store(choice.url)
    for graph in graphs:
        graph.use_store(store)
    return Served(graphs=graphs, aliases=aliases, store=store, shown=shown_url(choice.url))


def gateway(options: argparse.Namespace) -> int:
    """Be a pod until a signal comes."""
    settings = chat_settings(options)
    doors = door_settings(options, host=settings.host, for_workers=True)
    log_to_stderr()
    return asyncio.run(_gateway(settings, doors, Screen(as_json=options.json)))


async def _gateway(settings: ChatSettings, doors: DoorSettings, screen: Screen) -> int:
    given = served(settings, embedded=False)
    parts = open_parts(settings.bus, settings.sessions, name=settings.pod_id, reconnects=settings.reconnects)
    try:
        try:
            pod = Gateway(given.graphs, parts, settings, doors, aliases=given.aliases)
        except ValueError as error:
            raise Trouble(str(error)) from error
        listening = listening_socket(pod, settings.host, settings.port)
        _tell(screen, listening, given, settings, doors)
        with what_is_here_stays():
            await pod.serve(listening)
        return DONE
    finally:
        await parts.close()
        await given.store.close()


def chat(options: argparse.Namespace) -> int:
    """Serve a chat from this process until a signal comes."""
    settings = chat_settings(options)
    doors = door_settings(options, host=settings.host, for_workers=True)
    log_to_stderr()
    return asyncio.run(_chat(settings, doors, Screen(as_json=options.json)))


async def _chat(settings: ChatSettings, doors: DoorSettings, screen: Screen) -> int:
    given = served(settings, embedded=True)
    parts = memory_parts()
    try:
        try:
            both = Chat(given.graphs, parts, settings, doors, aliases=given.aliases)
        except ValueError as error:
            raise Trouble(str(error)) from error
        listening = listening_socket(both.gateway, settings.host, settings.port)
        _tell(screen, listening, given, settings, doors)
        with what_is_here_stays():
            await both.serve(listening)
        return DONE
    finally:
        await parts.close()
        await given.store.close()


def _tell(screen: Screen, listening: socket.socket, given: Served, settings: ChatSettings, doors: DoorSettings) -> None:
    host, port = listening.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    names = [graph.name for graph in given.graphs]
    auth = "keys" if doors.asks_who else "none"
    if screen.as_json:
        told = {"url": url, "graphs": names, "store": given.shown, "auth": auth, "pod_id": settings.pod_id}
        screen.record({"type": "serving", **told, "pid": os.getpid()})
        return
    screen.line(printable(f"pod {settings.pod_id} answers with {', '.join(names)} from {given.shown} at {url}"))
    who = "anybody who reaches it may use it" if auth == "none" else "callers show a key"
    screen.line(f'  {who}; follow a session: curl -N "{url}/api/sse?session_id=test&user_id=user1"')
