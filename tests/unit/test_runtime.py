"""The runtime: which URL means which part."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ropewalk
from ropewalk import Graph, GraphState
from ropewalk.errors import PartUnknown
from ropewalk.runtime import open_store
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore


def test_a_url_is_a_store(tmp_path):
    assert isinstance(open_store("memory:"), MemoryRunStore)
    for url in (f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b c.db?durability=normal"):
        store = open_store(url)
        assert isinstance(store, SqliteRunStore)
        asyncio.run(store.close())


@pytest.mark.parametrize("url", ["", "runs.db", "sqlite://host/runs.db", "sqlite:", "sqlite://", "nonsense://x"])
def test_a_url_that_means_no_part_is_refused_with_those_that_do(url):
    with pytest.raises(PartUnknown, match="sqlite"):
        open_store(url)


def test_a_durability_that_is_none_is_refused(tmp_path):
    with pytest.raises(PartUnknown, match="full"):
        open_store(f"sqlite:///{tmp_path}/a.db?durability=maybe")


def test_a_password_in_a_url_is_not_told():
    with pytest.raises(PartUnknown) as caught:
        open_store("nonsense://user:secret@host/db?password=secret2")
    assert "secret" not in str(caught.value)


def test_a_graph_takes_a_store_or_its_url_under_both_names(tmp_path):
    class Doc(GraphState):
        pass

    store = MemoryRunStore()
    assert Graph(Doc, store=store).store is store
    assert Graph(Doc, checkpoint_storage=store).store is store
    assert isinstance(Graph(Doc, store="memory:").store, MemoryRunStore)
    opened = Graph(Doc, checkpoint_storage=f"sqlite:///{tmp_path}/a.db").store
    assert isinstance(opened, SqliteRunStore)
    asyncio.run(opened.close())


@pytest.mark.parametrize("wrong", [..., 5, "text", dict, {"a": 1}, (1,)])
def test_a_state_that_is_none_is_refused_with_what_to_do(wrong):
    """Seed 000's `state = ...` is a clear error."""
    with pytest.raises(TypeError, match=r"class MyState\(GraphState\)"):
        Graph(state=wrong)


def test_importing_ropewalk_loads_no_driver_and_no_server():
    script = "import ropewalk, sys; print(*sorted(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(Path(ropewalk.__file__).parents[1])}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env=environment, check=True, capture_output=True, text=True
    )
    loaded = set(result.stdout.split())
    assert not loaded & {"sqlite3", "asyncpg", "psycopg", "redis", "nats", "fastapi", "openai", "anthropic", "graphviz"}


def test_another_store_may_be_named_by_its_url_too(tmp_path):
    graph = Graph(name="empty")
    graph.use_store(f"sqlite:///{tmp_path}/a.db")
    assert isinstance(graph.store, SqliteRunStore)
    asyncio.run(graph.store.close())
