"""The tool snippets of seed 000 run when only the import root is replaced, through the vendors' SDKs, against the
strict local provider; each says what of it was mended.
"""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import redis
from tests.servers.valkey import RedisServer

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

    def run(self, name: str, *args: Any, file: Path | None = None) -> "subprocess.CompletedProcess[str]":
        file = file or HERE / f"snippet_{name}.py"
        address = {"OPENAI_BASE_URL": self.base_url, "ANTHROPIC_BASE_URL": self.root}
        ran = subprocess.run(
            [sys.executable, "-W", "error", file, *map(str, args)],  # the seed never closes its client
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


@pytest.fixture(name="open_redis")
def _open_redis() -> Iterator[RedisServer]:
    """A server that wants no password, as the seed's snippets expect it."""
    with RedisServer({"requirepass": '""'}) as server:
        yield server


def at(server: RedisServer, name: str, folder: Path) -> Path:
    """Return a copy of a snippet in which nothing but host and port is replaced."""
    text = (HERE / f"snippet_{name}.py").read_text(encoding="utf-8")
    assert text.count('"localhost"') == text.count("6379") == 1
    file = folder / f"{name}.py"
    file.write_text(text.replace('"localhost"', '"127.0.0.1"').replace("6379", str(server.port)), encoding="utf-8")
    return file


@pytest.mark.parametrize("vendor", ["openai", "anthropic"])
def test_streaming_with_redis(provider: Provider, open_redis: RedisServer, vendor: str, tmp_path: Path) -> None:
    """The last events are there although the publishing process ends at once."""
    text = "Ropes are laid of strands."
    provider.script(text)
    consumer = subprocess.Popen(
        [sys.executable, "-u", at(open_redis, "streaming_consumer", tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert consumer.stdout is not None
    try:
        with redis.Redis(port=open_redis.port) as looking:
            ends_at = time.monotonic() + 10
            while looking.pubsub_numsub("my_stream_channel")[0][1] == 0 and time.monotonic() < ends_at:
                time.sleep(0.01)
        ran = provider.run("streaming", vendor, file=at(open_redis, "streaming", tmp_path))
        assert ran.stdout == text + "\n"
        heard: list[str] = []
        while "content_block_stop" not in "".join(heard[-1:]):
            heard.append(consumer.stdout.readline())
            assert heard[-1], heard
    finally:
        consumer.kill()
        consumer.wait(10)
        consumer.stdout.close()
    # the seed's loop writes no end of line behind a text
    assert "".join(heard).replace("Received event: text\n", "") == text + "Received event: content_block_stop\n"
    assert len(heard) == len(text.split()) + 1


def test_every_import_path_of_the_seed_s_tool_snippets_is_there() -> None:
    from ropewalk.compat.primegraph.graph import llm_clients, llm_tools

    assert set(llm_tools.__all__) >= {"tool", "ToolNode", "ToolGraph", "ToolState", "ToolLoopOptions", "LLMMessage"}
    assert set(llm_clients.__all__) >= {"OpenAIClient", "AnthropicClient", "StreamingConfig", "StreamingEventType"}
    assert llm_tools.ToolGraph is ropewalk.ToolGraph
    assert llm_clients.OpenAIClient is ropewalk.OpenAIClient
