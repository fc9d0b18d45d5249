"""`ropewalk runs ls | show | tail`: what a store knows of runs; nothing is changed and nothing is driven on."""

import argparse
import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from ropewalk.cli.follow import Teller, exit_code
from ropewalk.cli.load import Loaded
from ropewalk.cli.opening import FoundRun, finding, graph_of, looking
from ropewalk.cli.result import COLOURS, asked, pause_data, pause_lines, state_text
from ropewalk.cli.screen import Screen, one_line, printable
from ropewalk.cli.shown import shown_url
from ropewalk.cli.tooling import KINDS, decision_in_words, in_words
from ropewalk.cli.trouble import DONE, Trouble
from ropewalk.errors import RopewalkError
from ropewalk.runtime import Entry, Pause, Picture, Run, RunRecord, RunStore, read_log, unfinished_steps

_POLL_SECONDS = 0.2
_PAGE = 1_000
_END_OF_LOG = 100
"""Entries that a list reads of each paused run."""
_NO_GRAPH = "needs the graph's file: --graph FILE:graph"


def ls(options: argparse.Namespace) -> int:
    """Do `ropewalk runs ls`."""
    return asyncio.run(_ls(options, Screen(as_json=options.json)))


def show(options: argparse.Namespace) -> int:
    """Do `ropewalk runs show`."""
    return asyncio.run(_show(options, Screen(as_json=options.json)))


def tail(options: argparse.Namespace) -> int:
    """Do `ropewalk runs tail`."""
    return asyncio.run(_tail(options, Screen(as_json=options.json)))


async def _ls(options: argparse.Namespace, screen: Screen) -> int:
    async with looking(options) as where:
        records = await where.store.runs(graph=options.graph_name, statuses=options.status, limit=options.limit)
        asks = {} if screen.as_json else await _asks(where.store, records)
    if screen.as_json:
        print(json.dumps([_record_data(record) for record in records], ensure_ascii=False, indent=2))
        return DONE
    if not records:
        screen.line(f"No runs in {shown_url(where.choice.url)} ({where.choice.origin}).")
    width = max((len(record.run_id) for record in records), default=0)
    names = max((len(record.graph) for record in records), default=0)
    for record in records:
        status = screen.paint(f"{record.status:<9}", COLOURS.get(record.status, "dim"))
        graph = printable(record.graph)
        screen.line(
            f"{printable(record.run_id):<{width}}  {status}  {graph:<{names}}  "
            f"{record.last:>6} entries  {_moment(record.created)}"
        )
        for question in asks.get(record.run_id, ()):
            screen.line(screen.paint(f"  asks     {question}", "dim"))
    if len(records) == options.limit:
        screen.line(screen.paint(f"(the newest {options.limit}; more with --limit)", "dim"))
    return DONE


async def _show(options: argparse.Namespace, screen: Screen) -> int:
    async with finding(options) as found:
        log = await _whole_log(found)
        loaded, why_not = _graph_if_any(found, options.graph)
        state = None
        if loaded is not None:
            try:
                state = loaded.graph.open(found.run_id).state
            except RopewalkError as error:
                loaded, why_not = None, str(error)
        if options.svg:
            await _draw(loaded, why_not, found, log, options.svg)
    pauses = open_pauses(log, found.record.status)
    if screen.as_json:
        data = _record_data(found.record)
        data["pauses"] = [pause_data(found.run_id, pause, found.where.choice) for pause in pauses]
        data["state"] = None if state is None else json.loads(state.model_dump_json(warnings=False))
        data["history"] = [_entry_data(entry) for entry in log]
        print(json.dumps(data, ensure_ascii=False, indent=2))
        return DONE
    _show_head(screen, found, log, pauses)
    screen.line()
    screen.line(screen.paint("state", "bold"))
    screen.line(state_text(state) if state is not None else f"  {'none' if loaded else why_not}")
    _show_history(screen, log, options.entries)
    if options.svg:
        screen.line(f"\nPicture: {options.svg}")
    return DONE


async def _tail(options: argparse.Namespace, screen: Screen) -> int:
    async with finding(options) as found:
        teller = Teller(found.run_id, screen, debug=options.debug)
        after = options.after
        while True:
            record = await found.where.store.look(found.run_id)  # before reading: what is read is at least as new
            while entries := await read_log(found.where.store, found.run_id, after=after, limit=_PAGE):
                for entry in entries:
                    teller.tell_entry(entry)
                after = entries[-1].number
            if options.no_follow or record.status != "RUNNING":
                break
            await asyncio.sleep(_POLL_SECONDS)
    if screen.as_json:
        screen.record({"type": "run", **_record_data(record)})
    else:
        screen.line(screen.paint(record.status, "bold", COLOURS.get(record.status, "dim")) + f"  {found.run_id}")
    return exit_code(record.status) if record.status != "RUNNING" else DONE


async def _asks(store: RunStore, records: Sequence[RunRecord]) -> dict[str, list[str]]:
    """Return run id -> what a paused run asks, as the end of its log tells; what it asked long before is left out."""
    found: dict[str, list[str]] = {}
    for record in records:
        if record.status == "PAUSED":
            log = await read_log(store, record.run_id, after=max(0, record.last - _END_OF_LOG))
            pauses = open_pauses(log, record.status)
            found[record.run_id] = [
                f"{pause.kind} at {printable(pause.node)}: {asked(pause.payload, 100, kind=pause.kind)}"
                for pause in pauses
            ]
    return found


def open_pauses(log: Sequence[Entry], status: str) -> list[Pause]:
    """Return what a run waits for, as its log tells; a fork asks again, so what its parent asked is not its own."""
    pauses: dict[str, Pause] = {}
    for entry in log:
        data = entry.data
        if entry.type == "paused":
            node = entry.node or ""
            pauses[data["pause"]] = Pause(id=data["pause"], kind=data["kind"], node=node, payload=data["payload"])
        elif entry.type == "answered":
            pauses.pop(data["pause"], None)
        elif entry.type == "run_started":
            pauses.clear()
    return [] if status in {"DONE", "CANCELLED"} else list(pauses.values())


def _graph_if_any(found: FoundRun, given: str | None) -> tuple[Loaded | None, str]:
    """Load the graph, or say why not: what the store tells is shown all the same, unless a wrong file was named."""
    try:
        with contextlib.redirect_stdout(None):
            return graph_of(found, given), _NO_GRAPH
    except (Trouble, RopewalkError) as error:
        if given:
            raise
        return None, f"{error} ({_NO_GRAPH})"


async def _draw(loaded: Loaded | None, why_not: str, found: FoundRun, log: list[Entry], file: str) -> None:
    if loaded is None:
        raise Trouble(
            "The run cannot be drawn.", why=why_not, do="Name the file that draws the graph: --graph FILE:graph"
        )
    run: Run[Any] = loaded.graph.open(found.run_id)
    picture = Picture.of_run(loaded.graph.plan, log, await unfinished_steps(run), run.status)
    try:
        picture.save(file)
    except (OSError, ValueError) as error:
        raise Trouble(f"The picture cannot be written: {error}", do="Name another file: --svg run.svg") from error


async def _whole_log(found: FoundRun) -> list[Entry]:
    log: list[Entry] = []
    while page := await read_log(found.where.store, found.run_id, after=log[-1].number if log else 0, limit=_PAGE):
        log += page
    return log


def _show_head(screen: Screen, found: FoundRun, log: Sequence[Entry], pauses: Sequence[Pause]) -> None:
    record, choice = found.record, found.where.choice
    status = screen.paint(record.status, "bold", COLOURS.get(record.status, "dim"))
    screen.line(f"{status}  {printable(record.run_id)}")
    screen.line(f"graph    {printable(record.graph)}" + (f"  ({found.known.graph})" if found.known else ""))
    screen.line(f"started  {_moment(record.created)}, last entry {_moment(record.updated)}, {record.last} entries")
    if record.parent:
        screen.line(f"fork of  {record.parent} at entry {record.fork_at}")
    stopped = next((entry for entry in reversed(log) if entry.type in {"run_failed", "run_cancelled"}), None)
    if stopped is not None and record.status in {"FAILED", "CANCELLED"}:
        at = f"at {stopped.node}: " if stopped.node else ""
        screen.line(f"why      {at}{printable(str(stopped.data.get('message') or 'no reason was given'))}")
        failed = next((entry for entry in reversed(log) if entry.type == "step_failed"), None)
        if failed is not None and failed.data.get("trace"):
            screen.line(screen.paint(printable(failed.data["trace"].rstrip("\n")), "dim"))
    for pause in pauses:
        head, *more = pause_lines(record.run_id, pause, choice)
        screen.line(f"waits    {head}")
        for line in more:
            screen.line(f"       {line}")


def _show_history(screen: Screen, log: Sequence[Entry], limit: int) -> None:
    screen.line()
    screen.line(screen.paint("history", "bold"))
    if len(log) > limit:
        screen.line(screen.paint(f"  ... {len(log) - limit} earlier entries; more with --entries", "dim"))
    for entry in log[-limit:]:
        at = datetime.fromtimestamp(entry.at).strftime("%H:%M:%S.%f")[:-3]
        where = entry.data.get("step") or entry.node or ""
        screen.line(f"{entry.number:>5}  {at}  {entry.type:<14} {printable(where):<24} {_told(entry)}".rstrip())


def _told(entry: Entry) -> str:
    """Return what an entry is about, in a few words."""
    data = entry.data
    match entry.type:
        case "step_finished":
            return one_line(", ".join(str(write[0]) for write in data.get("writes", ())), 80)
        case "step_failed":
            return one_line(f"{data['error']}: {data['message']}", 80)
        case "paused":
            return one_line(f"{data['kind']} {data['pause']}  {asked(data['payload'], kind=data['kind'])}", 120)
        case "answered":
            value = decision_in_words(data["value"]) or json.dumps(data["value"], ensure_ascii=False)
            return one_line(f"{data['pause']} = {value}", 80)
        case "step_recorded":
            return one_line(str(data.get("name", "")), 80)
        case kind if kind in KINDS:
            return one_line(in_words(kind, data), 80)
        case _:
            return one_line(str(data.get("message") or data.get("reason") or data.get("fork_of") or ""), 80)


def _record_data(record: RunRecord) -> dict[str, Any]:
    return {
        "run_id": record.run_id,
        "status": record.status,
        "graph": record.graph,
        "entries": record.last,
        "created": _iso(record.created),
        "updated": _iso(record.updated),
        "parent": record.parent,
        "fork_at": record.fork_at or None,
    }


def _entry_data(entry: Entry) -> dict[str, Any]:
    return {"number": entry.number, "at": entry.at, "type": entry.type, "node": entry.node, "data": entry.data}


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _moment(at: float) -> str:
    """Return a time as people here read it; the day is left out when it is today."""
    moment = time.localtime(at)
    return time.strftime("%H:%M:%S" if moment[:3] == time.localtime()[:3] else "%Y-%m-%d %H:%M:%S", moment)
