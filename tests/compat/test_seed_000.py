"""The core snippets of seed 000 run when only the import root is replaced; each says what of it was mended."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import ropewalk

HERE = Path(__file__).parent
SOURCE = str(Path(ropewalk.__file__).parents[1])


def run(name, *args, typed=""):
    return subprocess.run(
        [sys.executable, "-W", "error", HERE / f"snippet_{name}.py", *map(str, args)],
        env=os.environ | {"PYTHONPATH": SOURCE},
        input=typed,
        timeout=15,
        check=False,
        capture_output=True,
        text=True,
    )


ITEMS = (
    "('Adventurer', 'Embarks on quests'), ('Mystic Robe', 'Adorned with ancient runes'), "
    "('Samwise Gamgee', 'Loyal companion')"
)
SUMMARY = (
    r"Frodo Baggins is accompanied by:\nAdventurer: Embarks on quests\nMystic Robe: Adorned with ancient runes\n"
    "Samwise Gamgee: Loyal companion"
)
PRINTED = {
    "basics": "processed_files=['document1.txt'] current_status='completed' number_of_executed_steps=3",
    "router_nodes": "processed_files=['document1.txt'] current_status='invoice_cancelled' number_of_executed_steps=3",
    "repeatable_nodes": (
        "processed_files=['document1.txt', 'batch_3', 'batch_3', 'batch_3'] current_status='completed' "
        "number_of_executed_steps=7"
    ),
    "subgraphs": "processed_files=['document1.txt'] current_status='completed' number_of_executed_steps=3",
    "flow_control": (
        "State after interruption: processed_files=['document1.txt'] current_status='loading' "
        "number_of_executed_steps=1\n"
        "State after resuming: processed_files=['document1.txt'] current_status='completed' number_of_executed_steps=3"
    ),
    "async_support": "processed_files=['async_processed'] current_status='async_complete'",
    "async_workflow": f"character_name='Frodo Baggins' character_items=[{ITEMS}] character_summary='{SUMMARY}'",
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_snippet_prints_what_the_seed_says(name):
    result = run(name)
    assert result.returncode == 0, result.stderr
    assert result.stdout == PRINTED[name] + "\n"
    assert result.stderr == ""


def test_the_persistence_snippet_pauses_loads_and_goes_on(tmp_path):
    result = run("persistence", tmp_path / "runs.db")
    assert result.returncode == 0, result.stderr
    assert result.stdout == "PAUSED current_status='initializing'\nDONE current_status='needs_review'\n"


def parts(url):
    """Return host, port, database, user and password: what the seed gives its storage."""
    place = urlsplit(url)
    return place.hostname, place.port, place.path.removeprefix("/"), place.username, unquote(place.password or "")


@pytest.mark.slow
def test_the_persistence_snippet_does_the_same_on_postgresql(postgres_url):
    result = run("persistence_postgresql", *parts(postgres_url))
    assert result.returncode == 0, result.stderr
    assert result.stdout == "PAUSED current_status='initializing'\nDONE current_status='needs_review'\n"
    assert result.stderr == ""


def test_the_chatbot_talks_until_its_input_ends():
    result = run("chatbot", typed="Hello\nHow are you?\n")
    assert "EOFError" in result.stderr
    said = "Your message: You: {}\nHello, how can I assist?\n"
    assert result.stdout == said.format("Hello") + said.format("How are you?") + "Your message: "


def test_the_chatbot_says_bye_when_its_service_says_the_user_wants_to_quit(tmp_path):
    """The line that the seed says to replace, replaced."""
    script = (HERE / "snippet_chatbot.py").read_text()
    wants = 'user_requested_to_quit=state.chat_history[-1]["content"] == "quit"'
    changed = tmp_path / "snippet_chatbot.py"
    changed.write_text(script.replace("user_requested_to_quit=False", wants))
    result = subprocess.run(
        [sys.executable, "-W", "error", changed],
        env=os.environ | {"PYTHONPATH": SOURCE},
        input="Hello\nquit\nnever read\n",
        timeout=15,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("You: quit\nHello, how can I assist?\nBye\n")
    assert result.stdout.count("Your message: ") == 2


def test_every_import_path_of_the_seed_s_core_snippets_is_there():
    script = """
from ropewalk.compat.primegraph import END, START, Graph
from ropewalk.compat.primegraph.buffer import History, Incremental, LastValue
from ropewalk.compat.primegraph.buffer.factory import History as History2
from ropewalk.compat.primegraph.checkpoint import LocalStorage
from ropewalk.compat.primegraph.checkpoint.local_storage import LocalStorage as LocalStorage2
from ropewalk.compat.primegraph.checkpoint.postgresql import PostgreSQLConfig, PostgreSQLStorage
from ropewalk.compat.primegraph.constants import END as END2, START as START2
from ropewalk.compat.primegraph.graph import Graph as Graph2
from ropewalk.compat.primegraph.graph.executable import Graph as Graph3
from ropewalk.compat.primegraph.models import GraphState
from ropewalk.compat.primegraph.models.state import GraphState as GraphState2
from ropewalk.compat.primegraph.types import ChainStatus

assert Graph is Graph2 is Graph3 and GraphState is GraphState2 and LocalStorage is LocalStorage2 and History is History2
assert callable(PostgreSQLStorage.from_config) and PostgreSQLConfig(dsn="postgresql://localhost/documents_db")
assert (START, END) == (START2, END2) == ("__start__", "__end__")
assert {status.name for status in ChainStatus} >= {"IDLE", "RUNNING", "FAILED", "DONE"}
assert ChainStatus.PAUSE.value == "PAUSED"
"""
    environment = os.environ | {"PYTHONPATH": SOURCE}
    subprocess.run([sys.executable, "-W", "error", "-c", script], env=environment, timeout=15, check=True)


def test_the_storage_in_memory_keeps_runs_for_the_seed_s_calls():
    """Seed 000's `LocalStorage`: execute, load by chain id, resume; and an edit in between."""
    import asyncio

    from ropewalk.compat.primegraph import END, START, Graph
    from ropewalk.compat.primegraph.buffer import History
    from ropewalk.compat.primegraph.checkpoint import LocalStorage
    from ropewalk.compat.primegraph.models import GraphState
    from ropewalk.compat.primegraph.types import ChainStatus

    class Simple(GraphState):
        messages: History[str]

    storage = LocalStorage()

    def drawn():
        graph = Graph(state=Simple(messages=[]), checkpoint_storage=storage)

        @graph.node()
        def add_hello(state: GraphState):
            return {"messages": "Hello"}

        @graph.node(interrupt="before")
        def add_world(state: GraphState):
            return {"messages": "World"}

        return graph.add_edge(START, "add_hello").add_edge("add_hello", "add_world").add_edge("add_world", END)

    async def main():
        graph = drawn()
        chain_id = await graph.execute(chain_id="my-chain")
        assert chain_id == "my-chain"
        assert graph.chain_status == ChainStatus.PAUSE
        again = drawn()
        again.load_from_checkpoint("my-chain")
        assert again.state.messages == ["Hello"]
        again.update_state_and_checkpoint({"messages": "dear"})
        assert await again.resume() == "my-chain"
        assert again.chain_status == ChainStatus.DONE
        assert again.state.messages == ["Hello", "dear", "World"]

    asyncio.run(main())
