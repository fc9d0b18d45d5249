"""One contestant in a process of its own: prepare once, then repeat when told.

1. Started with ``module:function`` and the arguments as JSON; the function prepares and returns a repetition:
   a function, plain or async, that does the work and returns its costs.
2. It answers one line of JSON: ``{"ready": true, "version": ...}`` or ``{"not_run": why}``.
3. For each line it reads it repeats once and answers ``{"costs": {...}}`` or ``{"not_run": why}``.
"""

import asyncio
import gc
import importlib
import inspect
import json
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import TextIO


def main() -> None:
    does, arguments, distribution = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a contestant prints must not be read as an answer
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    try:
        repeat = _prepare(does, arguments)
    except ImportError as error:
        why = str(error).replace(f" ({error.path})", "")  # the page names no place of the machine it was made on
        _answer(answers, {"not_run": f"cannot be imported: {why}"})
        return
    except Exception as error:  # noqa: BLE001  whatever a contestant raises is its answer
        _answer(answers, _failure(error))
        return
    _answer(answers, {"ready": True, "version": getattr(repeat, "version", None) or _version(distribution)})
    with asyncio.Runner() as runner:
        for _ in sys.stdin:
            _answer(answers, _repetition(repeat, runner))
    answers.flush()
    os._exit(0)  # peers leave threads behind that are not ours to wait for


def _prepare(does: str, arguments: dict[str, object]) -> Callable[[], object]:
    module, function = does.split(":")
    return getattr(importlib.import_module(module), function)(**arguments)


def _repetition(repeat: Callable[[], object], runner: asyncio.Runner) -> dict[str, object]:
    gc.collect()
    try:
        result = repeat()
        if inspect.iscoroutine(result):
            result = runner.run(result)
    except Exception as error:  # noqa: BLE001  the same
        return _failure(error)
    return {"costs": result}


def _failure(error: Exception) -> dict[str, object]:
    traceback.print_exception(error)
    return {"not_run": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:160]}


def _answer(answers: TextIO, message: dict[str, object]) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _version(distribution: str) -> str | None:
    try:
        return version(distribution) if distribution else None
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
