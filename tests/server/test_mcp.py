"""Graphs as MCP tools: the official SDK's client against a real server."""

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.server.graphs import plan, quick, talk
from tests.server.serving import Served

from ropewalk.server import mcp_door


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(talk(), plan(), quick()) as running:
        yield running


def asked(served: Served, *calls: tuple[str, dict[str, Any]], mode: str = "auto", key: str | None = None) -> list[Any]:
    """Return what each call of a tool gives, as structured content, and whether it is an error."""

    async def main() -> list[Any]:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            transport = streamable_http_client(f"{served.url}/mcp", http_client=http)
            async with Client(transport, mode=mode) as client:
                found: list[Any] = []
                for name, arguments in calls:
                    result = await client.call_tool(name, arguments)
                    assert result.content[0].text
                    found.append((result.structured_content, result.is_error))
                return found

    return asyncio.run(main())


def tools(served: Served, mode: str = "auto") -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        async with Client(f"{served.url}/mcp", mode=mode) as client:
            return {tool.name: tool for tool in (await client.list_tools()).tools}

    return asyncio.run(main())


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_graphs_are_tools_with_the_schema_of_their_input(served: Served, mode: str) -> None:
    found = tools(served, mode)
    assert set(found) == {"talk", "plan", "quick", "ropewalk_look", "ropewalk_answer", "ropewalk_cancel"}
    assert found["quick"].input_schema["properties"]["n"]["type"] == "integer"
    assert found["quick"].input_schema["type"] == "object"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_call_runs_the_graph_and_gives_its_state(served: Served, mode: str) -> None:
    ((told, failed),) = asked(served, ("quick", {"n": 41}), mode=mode)
    assert (told["status"], told["state"]["n"], failed) == ("DONE", 42, False)
    assert served.look(told["run_id"])["graph"] == "quick"


def test_a_run_that_asks_is_answered_by_another_call(served: Served) -> None:
    ((told, _),) = asked(served, ("talk", {"topic": "cats"}))
    assert told["status"] == "PAUSED"
    (pause,) = told["pauses"]
    assert pause["payload"] == {"print": "hello cats"}
    answer = {"run_id": told["run_id"], "pause_id": pause["id"], "value": "yes"}
    (done, _), (again, failed) = asked(served, ("ropewalk_answer", answer), ("ropewalk_answer", answer))
    assert (done["status"], done["state"]["said"]) == ("DONE", ["hello cats", "answered yes"])
    assert (again["code"], failed) == ("already_answered", True)


def test_a_breakpoint_is_released_by_an_answer_and_a_failure_is_an_error(served: Served) -> None:
    ((told, _),) = asked(served, ("plan", {"fails": True}))
    pause = told["pauses"][0]["id"]
    answer = {"run_id": told["run_id"], "pause_id": pause, "value": True}
    ((done, failed),) = asked(served, ("ropewalk_answer", answer))
    assert (done["status"], done["error"]["code"], failed) == ("FAILED", "node_failed", True)


def test_a_run_that_takes_long_is_pending_and_can_be_asked_for(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_door, "WAITS_SECONDS", 0.1)
    ((told, failed),) = asked(served, ("plan", {"seconds": 1.0}))
    assert (told["status"], failed) == ("RUNNING", False)
    assert "ropewalk_look" in told["next"]
    monkeypatch.setattr(mcp_door, "WAITS_SECONDS", 10)
    ((told, _),) = asked(served, ("ropewalk_look", {"run_id": told["run_id"]}))
    assert told["status"] == "PAUSED"
    ((told, _),) = asked(served, ("ropewalk_cancel", {"run_id": told["run_id"]}))
    assert told["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("quick", {"m": 1}, "input_invalid"),
        ("quick", {"n": "many"}, "input_invalid"),
        ("nobody", {}, "tool_not_found"),
        ("ropewalk_look", {"run_id": "run_0"}, "run_not_found"),
        ("ropewalk_look", {}, "run_not_found"),
    ],
)
def test_what_cannot_be_done_is_an_error_that_a_model_can_read(
    served: Served, name: str, arguments: dict[str, Any], code: str
) -> None:
    ((told, failed),) = asked(served, (name, arguments))
    assert (told["code"], failed) == (code, True)


def test_users_have_their_own_runs_at_this_door_too() -> None:
    with Served(talk(), api_keys=("ann:key-of-ann", "bob:key-of-bob")) as served:
        assert served.client.post("/mcp", json={}).status_code == 401
        ((told, _),) = asked(served, ("talk", {}), key="key-of-ann")
        look = ("ropewalk_look", {"run_id": told["run_id"]})
        ((of_bob, failed),) = asked(served, look, key="key-of-bob")
        assert (of_bob["code"], failed) == ("run_not_found", True)
        ((of_ann, _),) = asked(served, look, key="key-of-ann")
        assert of_ann["status"] == "PAUSED"


def test_a_page_of_another_site_cannot_call_tools(served: Served) -> None:
    answer = served.client.post("/mcp", json={}, headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    rebound = served.client.post("/mcp", json={}, headers={"host": "evil.example"})
    assert rebound.status_code == 421
