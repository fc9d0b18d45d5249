"""`ropewalk run`: starts a run of a graph, prints what happens, and says how to go on where it did not end."""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from ropewalk.cli.follow import Teller, exit_code, follow
from ropewalk.cli.load import Loaded, load_graph
from ropewalk.cli.opening import next_command, opened, store_choice
from ropewalk.cli.remembered import remember
from ropewalk.cli.result import tell_result
from ropewalk.cli.screen import Screen
from ropewalk.cli.shown import shown_url
from ropewalk.cli.trouble import Trouble
from ropewalk.errors import RunExists, did_you_mean
from ropewalk.runtime import Run
from ropewalk.settings import StoreChoice


def run(options: argparse.Namespace) -> int:
    """Do `ropewalk run`."""
    screen = Screen(as_json=options.json)
    loaded = load_graph(options.target)
    state = _initial_state(loaded, options.input)
    choice = _keep(loaded, options.store)
    with contextlib.redirect_stdout(screen.output_of_nodes()):
        return asyncio.run(_run(loaded, state, choice, options, screen))


async def _run(
    loaded: Loaded, state: BaseModel | None, choice: StoreChoice, options: argparse.Namespace, screen: Screen
) -> int:
    started: Run[Any] = loaded.graph.start(state, run_id=options.run_id, timeout=options.timeout)
    try:
        try:
            await started.admitted()
        except RunExists as error:
            do = f"To go on with it: {next_command('resume', started.run_id, choice=choice)}\nElse choose another id."
            raise Trouble(f"Run {started.run_id!r} exists already.", do=do, code=error.code) from error
        remember(started.run_id, loaded.target, None if choice.origin == _BY_THE_FILE else choice.url)
        screen.line(screen.paint(f"{started.run_id}  {loaded.file.name}:{loaded.name}  {shown_url(choice.url)}", "dim"))
        status = await follow(started, started.wait(), Teller(started.run_id, screen, debug=options.debug))
        await tell_result(started, screen, choice)
        return exit_code(status)
    except asyncio.CancelledError:
        await started.let_go()
        screen.end_line()
        say_how_to_go_on(started.run_id, choice)
        raise
    finally:
        if loaded.graph.store is not None:
            await loaded.graph.store.close()


def say_how_to_go_on(run_id: str, choice: StoreChoice) -> None:
    """Tell somebody who pressed Ctrl-C that nothing is lost."""
    if choice.url.startswith("memory:"):
        print("\nStopped. The run was kept in memory and ends here.", file=sys.stderr)
        return
    command = next_command("resume", run_id, choice=choice)
    print(f"\nStopped. What is finished is kept; to go on:\n  {command}", file=sys.stderr)


_BY_THE_FILE = "the store that the file gives its graph"


def _keep(loaded: Loaded, given: str | None) -> StoreChoice:
    """Give the graph the store of this command, unless the file gave it one and the command names none."""
    if loaded.graph.store is not None and given is None:
        path: Any = getattr(loaded.graph.store, "path", None)
        if isinstance(path, Path):
            return StoreChoice(url=f"sqlite:///{path}", origin="the file")
        return StoreChoice(url=type(loaded.graph.store).__name__, origin=_BY_THE_FILE)
    choice = store_choice(given)
    loaded.graph.use_store(opened(choice, to_look=False))
    return choice


def _initial_state(loaded: Loaded, given: str | None) -> BaseModel | None:
    """Return the state that ``--input`` describes; fields it leaves out are as the file has them."""
    own, state_class = loaded.graph.state, loaded.graph.drawing.state_class
    if given is None:
        if own is not None or state_class is None:
            return None
        needed = {name: "..." for name, info in state_class.model_fields.items() if info.is_required()}
        what = f"{loaded.file.name}:{loaded.name} needs {', '.join(map(repr, needed))} to begin with."
        raise Trouble(what, do=f"Give it: --input '{json.dumps(needed)}'", code="state_missing")
    if state_class is None:
        raise Trouble(
            "This graph has no state, so it takes no --input.", do="Leave it out, or give the graph a state class."
        )
    values = _json_object(_text_of(given))
    for name in values:
        if name not in state_class.model_fields:
            hint = did_you_mean(name, state_class.model_fields).strip()
            raise Trouble(f"--input sets {name!r}, which {state_class.__name__} does not declare.", do=hint)
    held: dict[str, Any] = json.loads(own.model_dump_json(warnings=False)) if own is not None else {}
    try:
        return state_class.model_validate_json(json.dumps({**held, **values}))
    except ValidationError as error:
        raise Trouble(
            f"--input does not fit {state_class.__name__}.", why=_reasons(error), do=_fields(state_class)
        ) from error


def _text_of(given: str) -> str:
    if given == "-":
        return sys.stdin.read()
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Trouble(f"--input {given} cannot be read: {error}.", do="Look at the path behind the @.") from error


def _json_object(text: str) -> Mapping[str, Any]:
    try:
        values: Any = json.loads(text)
    except ValueError as error:
        do = """Write an object, in single quotes for the shell: --input '{"name": "value"}'"""
        raise Trouble(f"--input is no JSON: {error}.", do=do) from error
    if not isinstance(values, dict):
        raise Trouble(
            f"--input is {type(values).__name__} and not an object.", do="""Name the fields: '{"name": "value"}'"""
        )
    return cast("dict[str, Any]", values)


def _reasons(error: ValidationError) -> str:
    return "\n".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:10])


def _fields(state_class: type[BaseModel]) -> str:
    infos = state_class.model_fields.items()
    shown = [f"{name}{' (needed)' if info.is_required() else ''}" for name, info in infos]
    return f"Fields: {', '.join(shown)}"
