"""How a command says that it could not do what was asked: what happened, why, what to do, and an exit code."""

import json
import sys
import traceback

from ropewalk.errors import RopewalkError

DONE, FAILED, USAGE, PAUSED, INTERRUPTED = 0, 1, 2, 75, 130
"""The exit codes; 75 is the EX_TEMPFAIL of sysexits: not over, go on later."""

_OURS_TO_RETYPE = frozenset(
    {"graph_invalid", "state_missing", "part_unknown", "invalid_id", "run_not_found", "pause_not_found"}
    | {"answer_invalid", "entry_not_found", "run_exists", "unknown_field", "wrong_type"}
)
"""Codes of errors that mean: what was typed, or the file it names, cannot be right."""


class Trouble(Exception):
    """What a person at the keyboard can mend."""

    def __init__(self, what: str, *, why: str = "", do: str = "", status: int = USAGE, code: str = "usage") -> None:
        self.what, self.why, self.do, self.status, self.code = what, why, do, status, code
        super().__init__(what)


def tell(error: Exception, *, as_json: bool) -> int:
    """Say what went wrong, without a traceback; return the exit code."""
    trouble = error if isinstance(error, Trouble) else _in_words(error)
    if as_json:
        parts = {"code": trouble.code, "message": trouble.what, "why": trouble.why, "do": trouble.do}
        print(json.dumps({"type": "error", **{name: text for name, text in parts.items() if text}}))
        return trouble.status
    print(f"ropewalk: {trouble.what}", file=sys.stderr)
    for title, text in (("why", trouble.why), ("do", trouble.do)):
        if text:
            print(f"  {title + ':':<5}" + text.replace("\n", "\n       "), file=sys.stderr)
    return trouble.status


def _in_words(error: Exception) -> Trouble:
    if isinstance(error, RopewalkError):  # its message says all three already
        status = USAGE if error.code in _OURS_TO_RETYPE else FAILED
        return Trouble(str(error), status=status, code=error.code)
    if isinstance(error, OSError):
        return Trouble(str(error), do="Look at the path and its permissions.", status=FAILED, code="os_error")
    where = traceback.extract_tb(error.__traceback__)[-1:]
    at = f" ({where[0].filename}:{where[0].lineno})" if where else ""
    return Trouble(
        f"{type(error).__name__}: {error}{at}",
        why="This is most likely a mistake in Ropewalk.",
        do="Run the command again with --debug and report what it prints.",
        status=FAILED,
        code="unexpected",
    )
