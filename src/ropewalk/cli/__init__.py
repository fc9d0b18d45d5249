"""The command `ropewalk`: reads what was typed, loads the one file that does it, and turns every mistake into words."""

import argparse
import os
import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module

from ropewalk.cli.arguments import parser
from ropewalk.cli.trouble import FAILED, INTERRUPTED, Trouble, tell

__all__ = ["main", "parser"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code."""
    typed = sys.argv[1:] if arguments is None else arguments
    try:
        options = parser().parse_args(typed)
    except Trouble as trouble:
        return tell(trouble, as_json="--json" in typed)
    try:
        return _function(options.command)(options)
    except KeyboardInterrupt:
        return _left_at_once()
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if options.debug:
            raise
        return tell(error, as_json=options.json)


def _left_at_once() -> int:
    """Leave after Ctrl-C without waiting for threads: what a plain function still does there is discarded anyway."""
    sys.stdout.flush()
    sys.stderr.flush()
    if any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread()):
        os._exit(INTERRUPTED)
    return INTERRUPTED


_COMMANDS = {
    "run": ("run", "run"),
    "serve": ("serve", "serve"),
    "dev": ("dev", "dev"),
    "gateway": ("chat", "gateway"),
    "chat": ("chat", "chat"),
    "worker": ("worker", "worker"),
    "doctor": ("doctor", "doctor"),
    "upgrade": ("db", "upgrade"),
    "graph": ("draw", "draw"),
    "new": ("new", "new"),
    "ls": ("look", "ls"),
    "show": ("look", "show"),
    "tail": ("look", "tail"),
    "answer": ("act", "answer"),
    "resume": ("act", "resume"),
    "cancel": ("act", "cancel"),
    "fork": ("act", "fork"),
}
"""The last word of a command -> file here, function in it."""


def _function(command: str) -> Callable[[argparse.Namespace], int]:
    """Load what does the command, and nothing else: help comes at once."""
    file, name = _COMMANDS[command]
    return getattr(import_module(f"ropewalk.cli.{file}"), name)
