"""The tool snippets of seed 000 run when only the import root is replaced, through the vendors' SDKs, against the
strict local provider; each says what of it was mended.
"""

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

import ropewalk

HERE = Path(__file__).parent
SOURCE = str(Path(ropewalk.__file__).parents[1])
pytestmark = pytest.mark.slow


class Provider:
    """The local provider as a process of its own."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.root: str = told["root"]
        self.base_url: str = told["base_url"]

    def script(self, *cues: Any) -> None:
        body = json.dumps({"key": "your-api-key-here", "cues": cues}).encode()
        with urllib.request.urlopen(f"{self.root}/_script", data=body) as answer:
            assert answer.status == 200

    def run(self, name: str, *args: Any) -> "subprocess.CompletedProcess[str]":
        file = HERE / f"snippet_{name}.py"
        address = {"OPENAI_BASE_URL": self.base_url, "ANTHROPIC_BASE_URL": self.root}
        ran = subprocess.run(
            # the seed never closes its client, so its connections are left to the end of the process
            [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", file, *map(str, args)],
            env=os.environ | {"PYTHONPATH": SOURCE} | address,
            timeout=45,
            check=False,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == ""
        return ran


@pytest.fixture(scope="module", name="provider")
def _provider() -> Iterator[Provider]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ropewalk.testing.provider"],
        env=os.environ | {"PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Provider(json.loads(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def call(name: str, **arguments: Any) -> Any:
    return {"call": {"name": name, "arguments": arguments}}


def test_llm_tool_nodes(provider: Provider) -> None:
    provider.script(
        [call("search_web", query="quantum"), call("save_to_state", result_id="r1")],
        [call("summarize", text="what was found"), call("save_to_state", result_id="r2")],
        "Much was advanced.",
    )
    assert provider.run("llm_tool_nodes").stdout.splitlines() == [
        "Tool calls: 4",
        "Final output: Much was advanced.",
        "Saved search results: [{'id': 'r1', 'saved_at': 'now'}, {'id': 'r2', 'saved_at': 'now'}]",
    ]


def test_message_callbacks(provider: Provider) -> None:
    provider.script(["I search.", call("search_web", query="rope", num_results=1)], "Found.")
    assert provider.run("message_callbacks").stdout.splitlines() == [
        "LLM MESSAGE: I search.",
        "Is final: False",
        "Contains 1 tool calls",
        "TOOL EXECUTED: search_web",
        "Arguments: {'query': 'rope', 'num_results': 1}",
        "Result: {'results': ['rope']}",
        'LLM MESSAGE: {"results": ["rope"]}',
        "Is final: False",
        "LLM MESSAGE: Found.",
        "Is final: True",
    ]


@pytest.mark.parametrize("decision", ["approve", "reject"])
@pytest.mark.parametrize("storage", ["memory:", "sqlite", "postgresql"])
def test_tool_pause_and_resume(
    provider: Provider, decision: str, storage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if storage == "sqlite":
        storage = f"sqlite:///{tmp_path}/runs.db"
    elif storage == "postgresql":
        storage = request.getfixturevalue("postgres_url")
    provider.script(
        call("process_payment", order_id="7", amount=12.5),
        call("update_account", user_id="u", new_email="a@b.c"),
        "Both are dealt with.",
    )
    paid = ["EFFECT: paid"] if decision == "approve" else []
    assert provider.run("tool_pause", storage, decision).stdout.splitlines() == [
        "Paused before execution",
        "Tool: process_payment",
        "Arguments: {'order_id': '7', 'amount': 12.5}",
        *paid,
        "EFFECT: updated",
        "Paused after execution",
        "Tool: update_account",
        "Result: updated",
        "DONE False Both are dealt with.",
        f"[('process_payment', {decision == 'approve'}), ('update_account', True)]",
    ]


@pytest.mark.parametrize("storage", ["sqlite", "postgresql"])
def test_a_tool_that_paused_in_one_process_is_approved_in_another(
    provider: Provider, storage: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if storage == "sqlite":
        place: tuple[Any, ...] = (tmp_path / "runs.db", 0, "", "", "")
    else:
        url = urlsplit(request.getfixturevalue("postgres_url"))
        place = (url.hostname, url.port, url.path.removeprefix("/"), url.username, unquote(url.password or ""))
    provider.script(
        [call("get_user_details", user_id="u"), call("process_payment", order_id="ORDER-7", amount=12.5)],
        "Paid.",
    )
    paused = provider.run("tool_pause_postgresql", *place, "pause").stdout.splitlines()
    assert paused[0] == "EFFECT: looked up u"
    assert re.fullmatch(r"[\w.:@-]+", paused[1])
    approved = provider.run("tool_pause_postgresql", *place, "approve", paused[1])
    assert approved.stdout.splitlines() == [
        "PAUSED process_payment {'order_id': 'ORDER-7', 'amount': 12.5}",
        "EFFECT: paid ORDER-7 12.5",
        "DONE Paid.",
    ]
    again = provider.run("tool_pause_postgresql", *place, "approve", paused[1])
    assert again.stdout.splitlines() == ["DONE None None", "DONE Paid."]


def test_streaming_configuration(provider: Provider) -> None:
    assert provider.run("streaming").stdout == ""


def test_every_import_path_of_the_seed_s_tool_snippets_is_there() -> None:
    from ropewalk.compat.primegraph.graph import llm_clients, llm_tools

    assert set(llm_tools.__all__) >= {"tool", "ToolNode", "ToolGraph", "ToolState", "ToolLoopOptions", "LLMMessage"}
    assert set(llm_clients.__all__) >= {"OpenAIClient", "AnthropicClient", "StreamingConfig", "StreamingEventType"}
    assert llm_tools.ToolGraph is ropewalk.ToolGraph
    assert llm_clients.OpenAIClient is ropewalk.OpenAIClient
