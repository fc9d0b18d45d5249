"""What `ropewalk runs answer` was told: which pause is meant, and the answer as the run takes it."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from ropewalk.cli.said import Said
from ropewalk.cli.tooling import is_call
from ropewalk.cli.trouble import Trouble
from ropewalk.runtime import Pause

_WORDS = {"yes": True, "no": False}


def value_of(text: str) -> Any:
    """Return what was typed: yes and no as true and false, JSON as what it is, all else as text."""
    if text.strip().lower() in _WORDS:
        return _WORDS[text.strip().lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text


def pause_meant(options: argparse.Namespace, pauses: Sequence[Pause]) -> str | None:
    """Return the id of the pause that was typed, or of the one call that a decision can be about; None: not told.

    An option is the whole answer, so what stands in the place of a value, or behind a --reject without a reason, may be
    the pause.
    """
    said: Said | None = options.decision
    if said is None and options.arguments is None:
        return options.pause
    if options.pause is not None:
        raise Trouble(
            f"The answer is given twice: {options.value!r}, and by an option.",
            do="Leave one out: one VALUE or options.",
        )
    if options.value is not None:
        return options.value
    if said is not None and said.what == "reject" and said.more in {pause.id for pause in pauses}:
        return said.more
    calls = [pause.id for pause in pauses if is_call(pause.kind, pause.payload)]
    return calls[0] if len(calls) == 1 else None


def answer_meant(options: argparse.Namespace, pause: str, pauses: Sequence[Pause]) -> Any:
    """Return the answer for the pause. Raises `Trouble` for a decision that a question cannot take."""
    said: Said | None = options.decision
    if said is None and options.arguments is None:
        return value_of(options.value)
    said = said or Said("approve")
    if options.arguments is not None and said.what != "approve":
        raise Trouble("--arguments goes with --approve alone: they are those that the call runs with.")
    asks = next((one for one in pauses if one.id == pause), None)
    if asks is not None and not is_call(asks.kind, asks.payload):
        return _yes_or_no(asks, said, options.arguments)
    match said.what:
        case "approve":
            return {"approve": True} | ({} if options.arguments is None else {"arguments": _object(options.arguments)})
        case "reject":
            reason = None if said.more == pause else said.more
            return {"approve": False} | ({} if reason is None else {"reason": reason})
        case _:
            return {"happened": True, "result": None if said.more is None else value_of(said.more)}


def _yes_or_no(pause: Pause, said: Said, arguments: str | None) -> bool:
    if arguments is not None or said.what == "happened" or said.more not in (None, pause.id):
        raise Trouble(
            f"Pause {pause.id} waits for the answer to a question; no call of a tool waits there.",
            do="Give the answer itself: yes, no, JSON or text. `ropewalk runs show RUN` tells what is asked.",
        )
    return said.what == "approve"


def _object(text: str) -> dict[str, Any]:
    try:
        found: Any = json.loads(_text_of(text))
    except ValueError as error:
        do = """Write all of them as an object, in single quotes for the shell: --arguments '{"name": "value"}'"""
        raise Trouble(f"--arguments is no JSON: {error}.", do=do) from error
    if not isinstance(found, dict):
        raise Trouble(f"--arguments is {found!r}, and no object.", do="""Write --arguments '{"name": "value"}'""")
    return cast("dict[str, Any]", found)


def _text_of(given: str) -> str:
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Trouble(f"--arguments {given} cannot be read: {error}.", do="Look at the path behind the @.") from error
