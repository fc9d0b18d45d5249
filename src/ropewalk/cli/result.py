"""The last thing a command says of a run: its status, its state, and what to type next."""

import json
from shlex import quote
from typing import Any, cast

from ropewalk.cli.opening import next_command
from ropewalk.cli.screen import Screen, one_line, printable
from ropewalk.cli.shown import shown_url
from ropewalk.runtime import Pause, Run
from ropewalk.settings import StoreChoice

COLOURS = {"DONE": "green", "PAUSED": "yellow", "FAILED": "red", "CANCELLED": "red", "RUNNING": "blue", "IDLE": "dim"}
ANSWERS = ("", "    (or no, JSON, any text)")
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
        screen.line(f"{pause.kind} at {printable(pause.node)}: {asked(pause.payload)}")
        screen.line(f"  {how_to_answer(run.run_id, pause, choice)}{ANSWERS[pause.kind != 'breakpoint']}")
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
    return next_command("answer", run_id, f"{quote(printable(pause.id))} yes", choice=choice)


def asked(payload: Any, limit: int = 400) -> str:
    """Return what a pause asks as people read it: the question itself first, if it has one."""
    if not isinstance(payload, dict) or "question" not in payload:
        return one_line(payload, limit)
    parts = dict(cast("dict[str, Any]", payload))
    question = one_line(parts.pop("question"), limit)
    return f"{question}  {one_line(parts, limit)}" if parts else question


def state_text(state: Any) -> str:
    """Return the state as JSON that people can read."""
    return printable(json.dumps(json.loads(state.model_dump_json(warnings=False)), indent=2, ensure_ascii=False))
