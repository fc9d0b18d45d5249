"""What every file of the house keeps to, whoever wrote it."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "ropewalk"
FORBIDDEN_NAMES = frozenset({"utils", "helpers", "common", "base", "types", "misc", "main", "manager"})
LONGEST = 400
EXPLAINED = re.compile(r"\bone file\b", re.IGNORECASE)
"""How a docstring begins to say why its file is longer: "It is one file because ..."."""
LOADS_BY_PATH = "cli/load.py"
"""The one file that may import what a user named: FILE:graph on the command line."""
UNSAFE_MODULES = frozenset({"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"})
UNSAFE_CALLS = frozenset({"eval", "exec", "compile", "__import__"})
BY_NAME = frozenset({"import_module", "spec_from_file_location", "run_path", "run_module", "pydoc.locate"})
LOADED_BY_IMPORT = frozenset({"annotated_types", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"})
"""Other people's packages that `import ropewalk` may load: pydantic and what it needs."""


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8")))


def kept_files() -> Iterator[Path]:
    """Yield the project's files: all that .gitignore does not leave out. No git is needed."""
    lines = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    ignored = [".git", *(line.strip("/ ") for line in lines if line.strip() and not line.startswith("#"))]
    pending = [ROOT]
    while pending:
        for path in pending.pop().iterdir():
            if any(fnmatch(path.name, pattern) or fnmatch(shown(path), pattern) for pattern in ignored):
                continue
            if path.is_dir() and not path.is_symlink():
                pending.append(path)
            elif path.is_file():
                yield path


def test_no_file_has_a_name_that_says_nothing() -> None:
    named_by_seeds = PACKAGE / "compat"
    found = [
        shown(path)
        for path in kept_files()
        if path.suffix == ".py" and path.stem in FORBIDDEN_NAMES and not path.is_relative_to(named_by_seeds)
    ]
    assert not found, f"{found}: a helper lives beside its only user, or under a noun that says what it is."


def test_only_the_command_line_prints() -> None:
    found = [
        f"{shown(path)}:{node.lineno}"
        for path in sources()
        if not path.is_relative_to(PACKAGE / "cli")
        for node in nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not found, f"print() outside cli/: {', '.join(found)}. Return it, emit it or log it."


def test_nothing_stored_or_named_by_data_is_ever_executed() -> None:
    found = [f"{shown(path)}:{line} {what}" for path in sources() for line, what in unsafe(path)]
    assert not found, "Stored data is plain JSON and names no code:\n" + "\n".join(found)


def unsafe(path: Path) -> Iterator[tuple[int, str]]:
    by_path = path == PACKAGE / LOADS_BY_PATH
    for node in nodes(path):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
            yield from ((node.lineno, f"imports {name}") for name in names if name in UNSAFE_MODULES)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            constant = bool(node.args) and isinstance(node.args[0], ast.Constant)
            if name in UNSAFE_CALLS or (name.split(".")[-1] in BY_NAME and not constant and not by_path):
                yield node.lineno, f"calls {name}"


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("import pickle", True),
        ("from pickle import loads", True),
        ("eval(text)", True),
        ("importlib.import_module(name)", True),
        ("importlib.import_module('asyncpg')", False),
        ("re.compile('x')", False),
    ],
)
def test_the_check_for_execution_catches(source: str, caught: bool, tmp_path: Path) -> None:
    file = tmp_path / "sample.py"
    file.write_text(source, encoding="utf-8")
    assert bool(list(unsafe(file))) is caught


def test_every_module_begins_with_a_sentence() -> None:
    found: list[str] = []
    for path in sources():
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n\n", 1)[0]
        if not re.match(r"\S[^.]+[.?:]", first):
            found.append(f"{shown(path)}: {first!r}")
    assert not found, "A module's docstring begins with one sentence that tells its one job:\n" + "\n".join(found)


def test_a_long_file_says_why_it_is_one_file() -> None:
    found: list[str] = []
    for path in sources():
        text = path.read_text(encoding="utf-8")
        lines = text.count("\n")
        if lines > LONGEST and not EXPLAINED.search(ast.get_docstring(ast.parse(text)) or ""):
            found.append(f"{shown(path)} ({lines} lines)")
    hint = "Split it where deciding meets acting, or let its docstring say why it is one file"
    assert not found, f"Over {LONGEST} lines: {', '.join(found)}. {hint}."


def test_importing_the_package_loads_nothing_that_a_script_may_not_need() -> None:
    script = """if True:
        import json, sys
        before = set(sys.modules)
        import ropewalk
        print(json.dumps({name: str(sys.modules[name]) for name in set(sys.modules) - before}))
    """
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    loaded: dict[str, str] = json.loads(ran.stdout)
    foreign = {name.partition(".")[0] for name, module in loaded.items() if "site-packages" in module}
    extra = sorted(foreign - LOADED_BY_IMPORT)
    assert not extra, f"`import ropewalk` loads {extra}: import drivers where a part is made."
    assert "sqlite3" not in loaded, "`import ropewalk` loads sqlite3: import it where the store is made."


def test_the_package_is_marked_as_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()


def test_the_version_is_told_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for node in nodes(PACKAGE / "__init__.py"):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            value = node.value
            assert not isinstance(value, ast.Constant) or value.value == project["version"]


def test_an_older_python_can_read_dev_as_far_as_its_version_check() -> None:
    ast.parse((ROOT / "dev").read_text(encoding="utf-8"), feature_version=(3, 6))


def test_requirements_name_hashes_and_no_host() -> None:
    found: list[str] = []
    for path in sorted((ROOT / "requirements").iterdir()):
        text = path.read_text(encoding="utf-8")
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"://|index-url|find-links|trusted-host|^\s*-[if]\b|^\s*-e\b|\s@\s", line):
                found.append(f"{shown(path)}:{number} {line.strip()}")
        if path.suffix == ".txt":
            blocks = re.split(r"\n(?=[a-z0-9])", re.sub(r"(?m)^\s*#.*\n", "", text), flags=re.IGNORECASE)
            loose = [
                block.split("\n")[0]
                for block in blocks
                if not re.match(r"[\w.-]+==[^\s\\]+[^\n]*\\\n\s+--hash=sha256:", block)
            ]
            found += [f"{shown(path)} {line}: no pinned version with a hash" for line in loose]
    assert found == [], "requirements/*.txt are made by ./dev pin:\n" + "\n".join(found)


def test_no_lock_file_that_records_hosts_is_kept() -> None:
    names = {"uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock", "pylock.toml"}
    assert not [shown(path) for path in kept_files() if path.name in names]


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    home = re.compile(r"(?<![\w.~})\]-])/(?:work|root|home|Users)/")
    found: list[str] = []
    for path in kept_files():
        if path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if home.search(line):
                found.append(f"{shown(path)}:{number} {line.strip()[:100]}")
    assert not found, "Absolute paths of one machine:\n" + "\n".join(found)
