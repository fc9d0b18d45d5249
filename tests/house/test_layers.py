"""Imports go one way: the table of rooms, held by reading every import in src."""

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "ropewalk"
LIBRARIES = frozenset({"pydantic", "pydantic_core", "typing_extensions"})
"""What every room may import beside the standard library."""
OPTIONAL = frozenset({("core/picture.py", "graphviz")})
"""What a file imports only where that is asked for; without it the file raises PartMissing."""
NEVER_IN_PURE = frozenset({"asyncio", "logging", "os", "random", "secrets", "socket", "threading", "time", "uuid"})


class Room(NamedTuple):
    files: tuple[str, ...]
    """Patterns below src/ropewalk."""
    may: tuple[str, ...] = ()
    """Rooms, or single modules, that it may import; its own files always."""
    drivers: bool = False
    """Whether it may import other people's packages."""


PURE = (
    "__init__ arguments buffers check drawing* drawn facts layout* looking offers origin places plan resuming retry "
    "routes said schedule snapshot standing state sums versions view voices"
)
ACTING = (
    "admitting choosing compiler context desk drive engine feed folding following graph handing history ledger lookout "
    "owning picture raised reading run signatures step turns"
)
WITHOUT_HTTP = (
    "__init__ auth channel chat chat_replies driving example following inputs limits measuring overhearing owned "
    "policy posting problems room runs sessions standing views waiting webhooks"
)
WITH_HTTP = (
    "answering bodies counted encoded gateway graph_service joined listening mcp_door metrics more_doors openai_wire "
    "routes schedules seed_routes short_way stream tokens told told_chat ui_wire websocket"
)
SERVER = ("server, without HTTP", "server, HTTP")
CHAT_WITHOUT_HTTP = (
    "__init__ answering chunks closing demo desk frames joining noted ordering outlet place pod relay replies "
    "requests sweeping telling viewer whereabouts writing"
)
CHAT = ("chat, without HTTP", "chat, HTTP")
CORE = ("core, pure", "core, acting")
ROOMS = {
    "words": Room(("errors/*.py", "ids.py", "events.py", "codec.py")),
    "contracts": Room(("contracts/*.py",), ("words",)),
    "core, pure": Room(tuple(f"core/{name}.py" for name in PURE.split()), ("words",)),
    "core, acting": Room(tuple(f"core/{name}.py" for name in ACTING.split()), ("words", "contracts", "core, pure")),
    "stores": Room(("stores/*.py",), ("words", "contracts"), drivers=True),
    "llm": Room(("llm/*.py",), ("words", "contracts"), drivers=True),
    "agent": Room(("agent/*.py",), ("words", "contracts", *CORE)),
    "tool servers": Room(("toolservers/*.py",), ("words", "contracts", *CORE, "agent"), drivers=True),
    "messaging": Room(("messaging/*.py",), ("words", "contracts"), drivers=True),
    "workers": Room(("workers/*.py",), ("words", "contracts", *CORE)),
    "server, without HTTP": Room(
        tuple(f"server/{name}.py" for name in WITHOUT_HTTP.split()), ("words", "contracts", *CORE, "encoders")
    ),
    "encoders": Room(("server/encoders/*.py",), ("words",)),
    "server, HTTP": Room(
        tuple(f"server/{name}.py" for name in WITH_HTTP.split()),
        ("words", "contracts", "encoders", "server, without HTTP", "settings"),
        drivers=True,
    ),
    "chat, without HTTP": Room(
        tuple(f"chat/{name}.py" for name in CHAT_WITHOUT_HTTP.split()),
        ("words", "contracts", *CORE, "server, without HTTP"),
    ),
    "chat, HTTP": Room(
        ("chat/app.py", "chat/metrics.py", "chat/routes.py", "chat/stream.py"),
        ("words", "contracts", "chat, without HTTP", *SERVER),
        drivers=True,
    ),
    "settings": Room(("settings.py", "chat_settings.py"), ("words",)),
    "testing": Room(("testing.py", "testing/*.py"), ("words", "contracts", *CORE)),
    "runtime": Room(
        (
            "runtime.py",
            "doors.py",
            "live_bus.py",
            "chat_parts.py",
            "chat_service.py",
            "chat_checkup.py",
            "tool_graph.py",
            "tool_host.py",
        ),
        ("words", "contracts", *CORE, "agent", "stores", "llm", "messaging", "settings", "workers", *SERVER, *CHAT),
        drivers=True,
    ),
    "public names": Room(
        ("__init__.py", "later.py"),
        ("words", "contracts", *CORE, "agent", "stores", "llm", "tool servers", "settings", "runtime", *SERVER),
    ),
    "cli": Room(("cli/*.py",), ("runtime", "settings", "ropewalk.errors")),
    "compat": Room(("compat/*.py",), ("public names", "contracts", "stores", "messaging", "testing")),
}


def files() -> list[str]:
    return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def room_of(file: str) -> str | None:
    found = [name for name, room in ROOMS.items() if any(fnmatch(file, pattern) for pattern in room.files)]
    return found[0] if len(found) == 1 else None


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every import: deferred, under TYPE_CHECKING, by import_module too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{start}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names = [a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            yield from ((node.lineno, name) for name in names)


def file_of(module: str) -> str:
    """Return the file that `import module` reads; ``module`` may end in a name that lives in that file."""
    inside = module.removeprefix("ropewalk").lstrip(".").replace(".", "/")
    for file in (f"{inside}.py", f"{inside}/__init__.py".lstrip("/")):
        if (PACKAGE / file).is_file():
            return file
    return file_of(module.rpartition(".")[0]) if inside else "__init__.py"


def objection(file: str, module: str) -> str | None:
    """Say why ``file`` may not import ``module``; None when it may."""
    name = room_of(file)
    assert name is not None, f"{file} belongs to no room, or to two. Give it one in ROOMS."
    room, top = ROOMS[name], module.partition(".")[0]
    if module.startswith("."):
        return "imports are absolute"
    if top == "ropewalk":
        target = file_of(module)
        there = "ropewalk." + target.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if room_of(target) in (None, name, *room.may) or there in room.may:  # None: another test tells
            return None
        return f"{name!r} may import {', '.join(repr(other) for other in room.may) or 'nothing else of ours'}"
    if name == "core, pure" and top in NEVER_IN_PURE:
        return f"{name!r} has no clock, chance, loop or I/O: never {', '.join(sorted(NEVER_IN_PURE))}"
    known = sys.stdlib_module_names | LIBRARIES
    if not room.drivers and top not in known and (file, top) not in OPTIONAL:
        return f"{name!r} needs no package beside {', '.join(sorted(LIBRARIES))}; drivers belong to parts"
    return None


def test_every_file_belongs_to_one_room() -> None:
    homeless = [file for file in files() if room_of(file) is None]
    assert not homeless, f"No room, or two, for {', '.join(homeless)}. Give each one in ROOMS (core: pure or acting?)."


def test_every_room_imports_only_what_it_may() -> None:
    found: list[str] = []
    for file in filter(room_of, files()):
        for line, module in imports((PACKAGE / file).read_text(encoding="utf-8")):
            why = objection(file, module)
            if why:
                found.append(f"src/ropewalk/{file}:{line} imports {module}: {why}.")
    assert not found, "\n" + "\n".join(found)


def test_compat_holds_only_re_exports() -> None:
    found = [
        f"src/ropewalk/{file}:{statement.lineno} {ast.unparse(statement).splitlines()[0]}"
        for file in files()
        if room_of(file) == "compat"
        for statement in ast.parse((PACKAGE / file).read_text(encoding="utf-8")).body[1:]
        if not isinstance(statement, ast.ImportFrom)
        if not (isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__")
    ]
    assert not found, "compat is a docstring, `from ... import ...` and __all__; elsewhere:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("file", "source", "word"),
    [
        ("core/plan.py", "import asyncio", "clock"),
        ("core/plan.py", "def f():\n    from time import time", "clock"),
        ("core/plan.py", "from ropewalk.contracts import RunStore", "may import"),
        (
            "core/engine.py",
            "if TYPE_CHECKING:\n    from ropewalk.stores.sqlite import SqliteRunStore",
            "may import",
        ),
        ("core/engine.py", "import redis", "drivers"),
        ("core/engine.py", "from ropewalk import Graph", "may import"),
        ("errors/root.py", "from ropewalk.core import plan", "nothing else"),
        ("events.py", "from . import errors", "absolute"),
        ("stores/memory.py", "importlib.import_module('ropewalk.core.engine')", "may import"),
        ("workers/worker.py", "from ropewalk.stores.postgres import PostgresRunStore", "may import"),
        ("workers/heartbeat.py", "import psycopg", "drivers"),
        ("llm/scripted.py", "from ropewalk.core.run import Run", "may import"),
        ("messaging/redis/client.py", "from ropewalk.stores.memory import MemoryRunStore", "may import"),
        ("messaging/redis/client.py", "from ropewalk.core.engine import drive", "may import"),
        ("messaging/nats/connection.py", "from ropewalk.core.run import Run", "may import"),
        ("messaging/memory/pod_bus.py", "from ropewalk.stores.memory import MemoryRunStore", "may import"),
    ],
)
def test_the_table_objects_to(file: str, source: str, word: str) -> None:
    ((_, module),) = imports(source)
    assert word in (objection(file, module) or "")


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("core/engine.py", "ropewalk.core.plan.Plan"),
        ("core/engine.py", "asyncio"),
        ("contracts/__init__.py", "ropewalk.contracts.run_store.RunStore"),
        ("cli/__init__.py", "ropewalk.errors.RopewalkError"),
        ("compat/primegraph/__init__.py", "ropewalk.Graph"),
        ("stores/postgres.py", "asyncpg"),
        ("llm/openai.py", "openai"),
        ("messaging/redis/connecting.py", "redis.asyncio"),
        ("messaging/nats/installed.py", "nats.aio.client"),
        ("messaging/memory/chunk_log.py", "ropewalk.contracts.chunk_log.Appended"),
        ("messaging/redis/client.py", "ropewalk.errors.RedisProblem"),
        ("compat/primegraph/__init__.py", "ropewalk.messaging.redis.RedisStream"),
    ],
)
def test_the_table_allows(file: str, module: str) -> None:
    assert objection(file, module) is None
