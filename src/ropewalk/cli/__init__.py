"""The command `ropewalk`: reads what was typed, loads the one file that does it, and turns every mistake into words."""

import argparse
import os
import sys
import threading
from collections.abc import Callable, Sequence

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


def _function(command: str) -> Callable[[argparse.Namespace], int]:
    """Load what does the command, and nothing else: help comes at once."""
    match command:
        case "serve" | "dev" | "gateway" | "chat" | "worker":
            return _server(command)
        case "run":
            from ropewalk.cli.run import run as function  # noqa: PLC0415
        case "doctor":
            from ropewalk.cli.doctor import doctor as function  # noqa: PLC0415
        case "upgrade":
            from ropewalk.cli.db import upgrade as function  # noqa: PLC0415
        case "graph":
            from ropewalk.cli.draw import draw as function  # noqa: PLC0415
        case "new":
            from ropewalk.cli.new import new as function  # noqa: PLC0415
        case "ls" | "show" | "tail":
            from ropewalk.cli import look  # noqa: PLC0415

            function = {"ls": look.ls, "show": look.show, "tail": look.tail}[command]
        case _:
            from ropewalk.cli import act  # noqa: PLC0415

            functions = {"answer": act.answer, "resume": act.resume, "cancel": act.cancel, "fork": act.fork}
            function = functions[command]
    return function


def _server(command: str) -> Callable[[argparse.Namespace], int]:
    """Load what stays until it is stopped."""
    match command:
        case "serve":
            from ropewalk.cli.serve import serve as function  # noqa: PLC0415
        case "dev":
            from ropewalk.cli.dev import dev as function  # noqa: PLC0415
        case "worker":
            from ropewalk.cli.worker import worker as function  # noqa: PLC0415
        case _:
            from ropewalk.cli import chat  # noqa: PLC0415

            function = {"gateway": chat.gateway, "chat": chat.chat}[command]
    return function
