"""The documentation is true: its code runs, its commands exist, and all that it must explain has a heading.

A ```python block is a script of its own; ```python continues goes on from the block before it.
"""

import argparse
import ast
import inspect
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "ropewalk"
SERVER = re.compile(r"postgresql://me(:secret)?@localhost/runs")
"""The database of the examples; a block that names it gets one of its own."""
REDIS = re.compile(r"^from ropewalk\.(messaging\.redis|compat\.ailf)", re.MULTILINE)
"""How a block begins that needs a Redis server; it gets one of its own."""
RUNNER = """
import ast, asyncio, inspect, sys
path = sys.argv[1]
with open(path, encoding="utf-8") as file:
    code = compile(file.read(), path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
__file__ = path
if code.co_flags & inspect.CO_COROUTINE:
    asyncio.run(eval(code))
else:
    exec(code)
"""
"""Runs a file as `python FILE` would, with `await` allowed outside of functions, as in notebooks."""


class Block(NamedTuple):
    page: str
    line: int
    """Where its first line of code stands."""
    info: tuple[str, ...]
    code: str


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    fence, indent, info, start = "", "", "", 0
    code: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        opened = re.match(r"(\s*)(`{3,}|~{3,})\s*(.*)$", line)
        if not fence and opened:
            (indent, fence, info), code, start = opened.groups(), [], number + 1
        elif fence and line.strip() == fence:
            yield Block(page.relative_to(ROOT).as_posix(), start, tuple(info.split()), "\n".join(code))
            fence = ""
        elif fence:
            code.append(line.removeprefix(indent))


def all_blocks(language: str) -> list[Block]:
    existing = (page for page in pages() if page.exists())
    return [block for page in existing for block in blocks(page) if block.info[:1] == (language,)]


def chains() -> list[list[Block]]:
    """Return the python blocks, each with those that it is continued by."""
    found: list[list[Block]] = []
    for block in all_blocks("python"):
        if "continues" in block.info and found and found[-1][0].page == block.page:
            found[-1].append(block)
        else:
            found.append([block])
    return found


def headings(page: str) -> str:
    path = ROOT / "docs" / page
    assert path.exists(), f"docs/{page} is missing."
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.startswith("#"))


def without_heading(names: set[str], page: str) -> list[str]:
    there = headings(page)
    return sorted(name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", there))


@pytest.mark.parametrize("chain", chains(), ids=lambda chain: f"{chain[0].page}:{chain[0].line}")
def test_a_code_block_runs(chain: list[Block], tmp_path: Path, request: pytest.FixtureRequest) -> None:
    script: list[str] = []
    for block in chain:
        script += [""] * (block.line - 1 - len(script))  # so that a traceback's line is the page's line
        script += block.code.split("\n")
    file = tmp_path / f"page_{Path(chain[0].page).stem}.py"  # a page may be called like a module that its code imports
    text = "\n".join(script)
    if SERVER.search(text):
        text = SERVER.sub(request.getfixturevalue("postgres_url"), text)
    file.write_text(text, encoding="utf-8")
    found = {"REDIS_URL": request.getfixturevalue("own_redis").url} if REDIS.search(text) else {}
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", RUNNER, str(file)],
        cwd=tmp_path,
        env=os.environ | found,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"{chain[0].page}:{chain[0].line} failed:\n{ran.stdout}{ran.stderr}"


def test_every_command_that_is_shown_exists() -> None:
    known = {
        "./dev": set(runpy.run_path(str(ROOT / "dev"), run_name="dev")["COMMANDS"]),
        "ropewalk": set[str](),
    }
    if any(line.startswith("$ ropewalk ") for block in all_blocks("console") for line in block.code.split("\n")):
        known["ropewalk"] = {command.split()[0] for command in commands()}
    unknown = [
        f"{block.page}:{block.line + offset} {line}"
        for block in all_blocks("console")
        for offset, line in enumerate(block.code.split("\n"))
        if (asked := re.match(r"\$ (\./dev|(?:\.dev/bin/)?ropewalk) +([\w-]+)", line))
        if not asked[2].startswith("-") and asked[2] not in known[asked[1].rpartition("bin/")[2]]
    ]
    assert not unknown, "No such command:\n" + "\n".join(unknown)


def test_the_readme_is_there() -> None:
    assert (ROOT / "README.md").exists()


def test_every_error_code_has_a_heading() -> None:
    from ropewalk import errors

    codes = {
        error.code
        for name, error in inspect.getmembers(errors, inspect.isclass)
        if issubclass(error, errors.RopewalkError) and "code" in vars(error) and not name.startswith("_")
    }
    assert not without_heading(codes, "errors.md"), f"Not in docs/errors.md: {without_heading(codes, 'errors.md')}"


def test_every_event_type_has_a_heading() -> None:
    missing = without_heading(event_types(), "events.md")
    assert not missing, f"Not in docs/events.md: {missing}"


def test_every_command_has_a_heading() -> None:
    missing = without_heading(commands(), "cli.md")
    assert not missing, f"Not in docs/cli.md: {missing}"


def test_the_types_of_events_are_found() -> None:
    assert event_types() >= {"run_started", "step_recorded", "run_done", "step_started", "text", "custom"}
    assert event_types() >= {"model_replied", "tool_call", "tool_result", "tool_progress", "thinking"}


def event_types() -> set[str]:
    """Find the types where they come into being: what `facts.decode` reads, what engine and contexts say."""
    found: list[ast.AST] = []
    for path in (*(PACKAGE / "core").glob("*.py"), *(PACKAGE / "agent").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.FunctionDef(name="decode") if path.name == "facts.py":
                    found += [below.value for below in ast.walk(node) if isinstance(below, ast.MatchValue)]
                case ast.Call(func=ast.Attribute(attr="live" | "say")):
                    found += node.args
                case ast.Assign(value=constant) if path.name == "journal.py":
                    found.append(constant)
                case ast.ClassDef(name="StepRecorded"):
                    found += [below.value for below in node.body if isinstance(below, ast.AnnAssign) and below.value]
                case ast.Call(func=ast.Name(id="Event")):
                    found += [keyword.value for keyword in node.keywords if keyword.arg == "type"]
                case ast.Return(value=ast.Tuple(elts=[first, _])) if path.name == "context.py":
                    found.append(first)
                case _:
                    pass
    return {node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def commands() -> set[str]:
    """Return every command of the command line, `runs ls` as two words, from its own parser."""
    from ropewalk import cli

    return set(leaves(cli.parser()))


def leaves(parser: argparse.ArgumentParser, path: str = "") -> Iterator[str]:
    groups = [action for action in parser._actions if type(action).__name__ == "_SubParsersAction"]
    for action in groups:
        for name, below in cast("dict[str, argparse.ArgumentParser]", action.choices).items():
            yield from leaves(below, f"{path} {name}".strip())
    if path and not groups:
        yield path
