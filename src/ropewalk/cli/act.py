"""`ropewalk runs answer | resume | cancel | fork`: goes on with a run and prints what happens.

It is driven in this process, unless it was left to workers: then they go on with it, and it is followed here.
"""

import argparse
import asyncio
import contextlib
import getpass
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from ropewalk.cli.answering import answer_meant, pause_meant
from ropewalk.cli.follow import Teller, exit_code, follow
from ropewalk.cli.opening import FoundRun, finding, next_command, run_to_go_on_with
from ropewalk.cli.remembered import remember
from ropewalk.cli.result import how_to_answer, tell_result
from ropewalk.cli.run import say_how_to_go_on
from ropewalk.cli.screen import Screen
from ropewalk.cli.trouble import DONE, FAILED, Trouble
from ropewalk.runtime import Run

Act = Callable[[Run[Any], FoundRun, argparse.Namespace, Screen], Awaitable[int]]


def answer(options: argparse.Namespace) -> int:
    """Do `ropewalk runs answer`."""
    return _on_run(options, _answer)


def resume(options: argparse.Namespace) -> int:
    """Do `ropewalk runs resume`."""
    return _on_run(options, _resume)


def cancel(options: argparse.Namespace) -> int:
    """Do `ropewalk runs cancel`."""
    return _on_run(options, _cancel)


def fork(options: argparse.Namespace) -> int:
    """Do `ropewalk runs fork`."""
    return _on_run(options, _fork)


def _on_run(options: argparse.Namespace, act: Act) -> int:
    screen = Screen(as_json=options.json)

    async def whole() -> int:
        async with finding(options) as found:
            _, run = run_to_go_on_with(found, options)
            return await _until_it_stops(act(run, found, options, screen), run, found, screen)

    with contextlib.redirect_stdout(screen.output_of_nodes()):
        return asyncio.run(whole())


async def _until_it_stops(acting: Awaitable[int], run: Run[Any], found: FoundRun, screen: Screen) -> int:
    try:
        return await acting
    except asyncio.CancelledError:
        await run.let_go()
        screen.end_line()
        if await run.is_for_workers():
            command = next_command("tail", run.run_id, choice=found.where.choice)
            print(f"\nNothing was stopped: workers drive the run. To follow it:\n  {command}", file=sys.stderr)
        else:
            say_how_to_go_on(run.run_id, found.where.choice)
        raise


async def _answer(run: Run[Any], found: FoundRun, options: argparse.Namespace, screen: Screen) -> int:
    pauses = run.pauses
    pause = _pause_id(run, found, pause_meant(options, pauses))
    await run.answer(pause, answer_meant(options, pause, pauses), by=options.by or _user())
    return await _told(run, found, options, screen, run.wait(), after=found.record.last)


async def _resume(run: Run[Any], found: FoundRun, options: argparse.Namespace, screen: Screen) -> int:
    return await _told(run, found, options, screen, run.resume(), after=found.record.last)


async def _cancel(run: Run[Any], found: FoundRun, options: argparse.Namespace, screen: Screen) -> int:
    await run.cancel(options.reason)
    await tell_result(run, screen, found.where.choice)
    return DONE if run.status == "CANCELLED" else FAILED


async def _fork(run: Run[Any], found: FoundRun, options: argparse.Namespace, screen: Screen) -> int:
    new = await run.fork(options.at, dict(_field_and_value(text) for text in options.set))
    known = found.known.graph if found.known else options.graph
    remember(new.run_id, known, found.where.choice.url)
    screen.line(
        screen.paint(f"{new.run_id}  forked from {run.run_id} at entry {options.at or found.record.last}", "dim")
    )
    told = _told(new, found, options, screen, new.wait(), after=options.at or found.record.last)
    return await _until_it_stops(told, new, found, screen)


async def _told(
    run: Run[Any],
    found: FoundRun,
    options: argparse.Namespace,
    screen: Screen,
    going: Awaitable[Any],
    *,
    after: int,
) -> int:
    if await run.is_for_workers():
        screen.line(screen.paint("The run is left to workers; this only follows it.", "dim"))
    status = await follow(run, going, Teller(run.run_id, screen, debug=options.debug), after=after)
    await tell_result(run, screen, found.where.choice)
    return exit_code(status)


def _pause_id(run: Run[Any], found: FoundRun, given: str | None) -> str:
    """Return the pause that is meant: the one named, or the only one there is."""
    if given is not None:
        return given
    pauses = run.pauses
    if len(pauses) == 1:
        return pauses[0].id
    if not pauses:
        do = f"Look at it: ropewalk runs show {run.run_id}"
        raise Trouble(f"Run {run.run_id} asks nothing; it is {run.status}.", do=do, code="pause_not_found")
    choices = "\n".join(how_to_answer(run.run_id, pause, found.where.choice) for pause in pauses)
    raise Trouble(
        f"Run {run.run_id} waits for {len(pauses)} answers.", do=f"Say which:\n{choices}", code="pause_not_found"
    )


def _field_and_value(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Trouble(f"--set {text!r} names no value.", do="Write --set FIELD=VALUE; VALUE is JSON or text.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without a user database
        return None
