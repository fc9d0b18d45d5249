"""The last thing a command says of a run: its status, its state, and what to type next."""

import json
from shlex import quote
from typing import Any, cast

from ropewalk.cli.opening import next_command
from ropewalk.cli.screen import Screen, cut, one_line, printable
from ropewalk.cli.shown import shown_url
from ropewalk.cli.tooling import in_brief, in_full, is_call, question
from ropewalk.runtime import Pause, Run
from ropewalk.settings import StoreChoice

COLOURS = {"DONE": "green", "PAUSED": "yellow", "FAILED": "red", "CANCELLED": "red", "RUNNING": "blue", "IDLE": "dim"}
_LONGEST_CALL_LINES, _LONGEST_LINE = 60, 400
_WAITS = frozenset({"FAILED", "RUNNING", "PAUSED"})
_RESUMES = frozenset({"FAILED", "RUNNING"})


async def tell_result(run: Run[Any], screen: Screen, choice: StoreChoice) -> None:
    """Print where the run stands now and what can be done."""
    if screen.as_json:
        screen.record(result_of(run, choice))
        return
    screen.line()
    screen.line(screen.paint(run.status, "bold", COLOURS[run.status]) + f"  {run.run_id}")
    if run.error is not None:
        screen.line(printable(str(run.error)))
    if choice.url.startswith("memory:") and run.status in _WAITS:
        screen.line("It was kept in memory, which ends here. To go on with runs, keep them: --store sqlite:///runs.db")
        return
    for pause in run.pauses if run.status == "PAUSED" else ():
        for line in pause_lines(run.run_id, pause, choice):
            screen.line(line)
    if run.status in _RESUMES:
        screen.line(f"  {next_command('resume', run.run_id, choice=choice)}")
    if run.status == "DONE" and run.state is not None:
        screen.line(state_text(run.state))


def result_of(run: Run[Any], choice: StoreChoice) -> dict[str, Any]:
    """Return the run as the last line of a command with ``--json``."""
    state = run.state
    return {
        "type": "run",
        "run_id": run.run_id,
        "status": run.status,
        "state": None if state is None else json.loads(state.model_dump_json(warnings=False)),
        "pauses": [pause_data(run.run_id, pause, choice) for pause in run.pauses] if run.status == "PAUSED" else [],
        "error": None if run.error is None else str(run.error),
        "store": shown_url(choice.url),
    }


def pause_data(run_id: str, pause: Pause, choice: StoreChoice) -> dict[str, Any]:
    """Return a pause as JSON, with the command that answers it."""
    command = how_to_answer(run_id, pause, choice)
    return {"id": pause.id, "kind": pause.kind, "node": pause.node, "payload": pause.payload, "command": command}


def how_to_answer(run_id: str, pause: Pause, choice: StoreChoice) -> str:
    """Return the command that lets a run go on behind a pause."""
    if pause.kind == "breakpoint":
        return next_command("resume", run_id, choice=choice)
    if is_call(pause.kind, pause.payload):
        return next_command("answer", run_id, f"{quote(printable(pause.id))} --approve", choice=choice)
    return next_command("answer", run_id, f"{quote(printable(pause.id))} yes", choice=choice)


def pause_lines(run_id: str, pause: Pause, choice: StoreChoice) -> list[str]:
    """Return what a pause asks, all of it where a call of a tool is to be approved, and what to type."""
    command = how_to_answer(run_id, pause, choice)
    if pause.kind == "breakpoint":
        return [f"{pause.kind} at {printable(pause.node)}: {asked(pause.payload)}", f"  {command}"]
    if not is_call(pause.kind, pause.payload):
        return [
            f"{pause.kind} at {printable(pause.node)}: {asked(pause.payload)}",
            f"  {command}    (or no, JSON, any text)",
        ]
    lines = in_full(pause.payload)
    shown = [f"    {cut(line, _LONGEST_LINE)}".rstrip() for line in lines[:_LONGEST_CALL_LINES]]
    more = len(lines) - _LONGEST_CALL_LINES
    return [
        f"{pause.kind} at {printable(pause.node)}: {printable(question(pause.payload))}",
        *shown,
        *([f"    ... and {more} more lines"] if more > 0 else []),
        f"  {command}    ({_instead(pause.payload)})",
    ]


def _instead(payload: dict[str, Any]) -> str:
    if payload.get("outcome") == "unknown":
        return 'or --reject "why"; or --happened RESULT, if it did'
    return 'or --reject "why"' if payload.get("when") == "after" else 'or --reject "why", or --arguments JSON'


def asked(payload: Any, limit: int = 400, *, kind: str = "question") -> str:
    """Return what a pause asks as people read it, on one line: the question itself first, if it has one."""
    if is_call(kind, payload):
        return one_line(in_brief(payload), limit)
    if not isinstance(payload, dict) or "question" not in payload:
        return one_line(payload, limit)
    parts = dict(cast("dict[str, Any]", payload))
    question = one_line(parts.pop("question"), limit)
    return f"{question}  {one_line(parts, limit)}" if parts else question


def state_text(state: Any) -> str:
    """Return the state as JSON that people can read."""
    return printable(json.dumps(json.loads(state.model_dump_json(warnings=False)), indent=2, ensure_ascii=False))
