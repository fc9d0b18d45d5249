"""`ropewalk doctor`: finds unfinished runs that nothing moves on, and says what to do."""

import argparse
import asyncio
import json
import os
from shlex import quote

from ropewalk.chat_checkup import Complaint, check_bus, check_sessions
from ropewalk.chat_settings import told_settings
from ropewalk.cli.chat import chat_settings
from ropewalk.cli.opening import OpenStore, looking, next_command
from ropewalk.cli.screen import Screen, printable
from ropewalk.cli.shown import shown_url
from ropewalk.cli.trouble import DONE, FAILED
from ropewalk.runtime import StuckRun, stuck_runs
from ropewalk.settings import StoreChoice

_WHY = {
    "stranded": "was left to workers and is not in their queue; this is a mistake in Ropewalk, please report it",
    "unserved": "has been due for {time}, and no worker holds a run of its graph",
    "waiting": "has been due for {time}; the workers of its graph have no room, or code that does not fit it",
    "silent": "has no worker, and nothing was written for {time}: its process died, or a step takes long",
}


def doctor(options: argparse.Namespace) -> int:
    """Do `ropewalk doctor`."""
    return asyncio.run(_doctor(options, Screen(as_json=options.json)))


async def _doctor(options: argparse.Namespace, screen: Screen) -> int:
    complaints = await _about_parts(options)
    async with looking(options) as where:
        found = await stuck_runs(where.store, for_seconds=options.after)
    if screen.as_json:
        about_parts = [{"problem": one.part, "why": one.why, "do": one.do} for one in complaints]
        about_runs = [_data(stuck, where.choice) for stuck in found]
        print(json.dumps(about_parts + about_runs, ensure_ascii=False, indent=2))
    else:
        for told in told_settings(os.environ):
            screen.line(printable(f"setting   {told}"))
        for one in complaints:
            screen.line(printable(f"{one.part:<9} {one.why}"))
            screen.line(printable(f"  do: {one.do}"))
        _tell(found, where, screen)
    return FAILED if found or complaints else DONE


async def _about_parts(options: argparse.Namespace) -> list[Complaint]:
    """Look at the chat's parts, where somebody has named them."""
    settings = chat_settings(options)
    complaints: list[Complaint] = []
    if options.bus or os.environ.get("NATS_URL"):
        complaints += await check_bus(settings)
    if options.sessions or any(os.environ.get(name) for name in ("REDIS_URL", "REDIS_HOST")):
        complaints += await check_sessions(settings)
    return complaints


def _tell(found: list[StuckRun], where: OpenStore, screen: Screen) -> None:
    if not found:
        screen.line(f"Every unfinished run in {shown_url(where.choice.url)} has a reason to move.")
    for stuck in found:
        screen.line(printable(f"{stuck.problem:<9} {stuck.run_id}  ({stuck.graph})"))
        screen.line(f"  {_why(stuck)}")
        screen.line(f"  do: {_do(stuck, where.choice)}")


def _why(stuck: StuckRun) -> str:
    return _WHY[stuck.problem].format(time=_span(stuck.seconds or 0.0))


def _do(stuck: StuckRun, choice: StoreChoice) -> str:
    match stuck.problem:
        case "unserved":
            store = f" --store {quote(shown_url(choice.url))}" if choice.origin == "--store" else ""
            return (
                f"start a worker with the file that draws {printable(stuck.graph)!r}: ropewalk worker FILE:graph{store}"
            )
        case "waiting":
            return "start more workers, or more --concurrency; where their code does not fit, one with the older code"
        case _:
            return next_command("resume", stuck.run_id, choice=choice)


def _data(stuck: StuckRun, choice: StoreChoice) -> dict[str, object]:
    return {
        "run_id": stuck.run_id,
        "graph": stuck.graph,
        "problem": stuck.problem,
        "seconds": stuck.seconds,
        "why": _why(stuck),
        "do": _do(stuck, choice),
    }


def _span(seconds: float) -> str:
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
