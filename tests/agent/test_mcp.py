"""Tools of MCP servers, real processes over stdio and HTTP: called, killed in the middle, called again."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.agent.scenes import drawn, results, said, started

from ropewalk import Happened, McpServer, RunStatus, ScriptedModel, ToolCall, ToolState, tool
from ropewalk.errors import RunFailed, ToolServerFailed

SERVER = str(Path(__file__).with_name("mcp_server.py"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(name="notes")
def _notes(tmp_path: Path) -> Path:
    file = tmp_path / "notes"
    file.touch()
    return file


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Served:
    """An HTTP server that can be killed and started again on its port."""

    def __init__(self, notes: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self._notes = notes
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = os.environ | {"ROPEWALK_TEST_NOTES": str(self._notes)}
        self.process = subprocess.Popen(
            [sys.executable, SERVER, str(self.port)],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError("the MCP server does not listen")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@contextmanager
def served(kind: str, notes: Path, **settings: Any) -> Iterator[tuple[McpServer, Served | None]]:
    if kind == "stdio":
        yield McpServer(sys.executable, [SERVER], env={"ROPEWALK_TEST_NOTES": str(notes)}, **settings), None
        return
    http = Served(notes)
    http.start()
    try:
        yield McpServer(url=http.url, **settings), http
    finally:
        http.kill()


async def killed(server: McpServer, http: Served | None) -> None:
    """Kill the server, by its own word of who it is."""
    if http is not None:
        http.kill()
        return
    (who,) = [one for one in await server.tools() if one.name == "whoami"]
    run = await started(drawn([ToolCall("whoami", {}), "ok"], [who]))
    os.kill(run.state.tool_calls[0].result["result"], signal.SIGKILL)


@pytest.mark.parametrize("kind", ["stdio", "http"])
def test_a_server_s_tools_are_told_called_and_reconnected(kind: str, notes: Path) -> None:
    async def main() -> None:
        with served(kind, notes) as (server, http):
            try:
                script = [
                    [ToolCall("add", {"a": 1}), ToolCall("say_it", {"text": "x"}), ToolCall("fail", {"why": "y"})]
                ]
                model = ScriptedModel([*script, "done"])
                run = await started(drawn(model, [server]))
                assert run.status is RunStatus.DONE
                told = results(run.state.messages)
                assert told[0] == ('{"result": "3"}', False)
                assert told[1] == ('{"said": "x"}', False)
                assert "no: y" in told[2][0]
                assert told[2][1]
                specs = {spec.name: spec for spec in model.requests[0].tools}
                assert set(specs) == {"whoami", "add", "say_it", "fail", "hang", "hang_once"}
                assert specs["add"].description == "Add two numbers."
                assert specs["add"].parameters["required"] == ["a"]
                effects = {one.name: one.effects for one in await server.tools()}
                assert (effects["whoami"], effects["say_it"], effects["add"]) == ("none", "idempotent", "once")

                await killed(server, http)
                if http is not None:
                    http.start()
                again = await started(
                    drawn([[ToolCall("add", {"a": 5}), ToolCall("say_it", {"text": "z"})], "ok"], [server])
                )
                assert results(again.state.messages) == [('{"result": "7"}', False), ('{"said": "z"}', False)]
                assert notes.read_text().split("\n")[:-1] == ["add 1", "add 5"]
            finally:
                await server.close()

    asyncio.run(main())


async def hanging(server: McpServer, notes: Path, name: str) -> Any:
    """Return a run whose call is under way in the server."""
    run = drawn([ToolCall(name, {}, "c"), "end"], [server]).start(ToolState(messages=said()))
    while name not in notes.read_text():
        await asyncio.sleep(0.01)
    return run


@pytest.mark.parametrize("kind", ["stdio", "http"])
def test_a_call_under_way_in_a_server_that_dies_is_settled_by_what_the_tool_says(kind: str, notes: Path) -> None:
    async def main() -> None:
        with served(kind, notes) as (server, http):
            try:
                (who,) = [one for one in await server.tools() if one.name == "whoami"]
                probe = await started(drawn([ToolCall("whoami"), "ok"], [who]))
                pid = probe.state.tool_calls[0].result["result"]

                run = await hanging(server, notes, "hang")
                os.kill(pid, signal.SIGKILL)
                if http is not None:
                    http.kill()
                    http.start()
                assert await run.wait() is RunStatus.PAUSED
                assert run.pauses[0].payload["outcome"] == "unknown"
                await run.answer(run.pauses[0].id, Happened("it did"))
                assert results((await run).messages) == [("it did", False)]
                assert notes.read_text().count("hang\n") == 1

                probe = await started(drawn([ToolCall("whoami"), "ok"], [who]))
                pid = probe.state.tool_calls[0].result["result"]
                run = await hanging(server, notes, "hang_once")
                os.kill(pid, signal.SIGKILL)
                if http is not None:
                    http.kill()
                    http.start()
                assert results((await run).messages) == [('{"result": "done"}', False)]
                assert notes.read_text().count("hang_once") == 2
            finally:
                await server.close()

    asyncio.run(main())


def test_progress_of_a_server_s_tool_is_a_live_event(notes: Path) -> None:
    async def main() -> None:
        with served("stdio", notes, timeout=1) as (server, _):
            try:
                run = drawn([ToolCall("hang", {}, "c"), "end"], [server]).start(ToolState(messages=said()))
                async for event in run.events():
                    if event.type == "tool_progress":
                        assert event.data["call_id"] == "c"
                        assert event.data["data"] == {"progress": 1, "total": 2, "message": "half way"}
                        break
                await run.cancel()
            finally:
                await server.close()

    asyncio.run(main())


def test_tools_may_be_chosen_renamed_and_guarded(notes: Path) -> None:
    async def main() -> None:
        with served("stdio", notes, only=["add"], prefix="notes-", approve=["add"]) as (server, _):
            try:
                (add,) = await server.tools()
                assert (add.name, add.pause_before_execution, add.effects) == ("notes-add", True, "once")
                run = await started(drawn([ToolCall("notes-add", {"a": 1}, "c"), "end"], [server]))
                assert run.pauses[0].payload["tool"] == "notes-add"
                assert not notes.read_text()
                await run.answer(run.pauses[0].id, True)
                assert results((await run).messages) == [('{"result": "3"}', False)]
            finally:
                await server.close()

    asyncio.run(main())


def test_a_server_that_is_not_there_is_a_typed_error() -> None:
    async def main() -> None:
        with pytest.raises(ToolServerFailed, match="McpServer"):
            await McpServer("/nowhere/at-all").tools()
        with pytest.raises(ToolServerFailed):
            await McpServer(url=f"http://127.0.0.1:{free_port()}/mcp").tools()
        run = await started(drawn(["never"], [McpServer("/nowhere/at-all")]))
        assert isinstance(run.error, RunFailed)
        assert run.error.reason == "tool_server_failed"

    asyncio.run(main())


def test_a_server_is_a_command_or_a_url() -> None:
    with pytest.raises(ValueError, match="a command or a URL"):
        McpServer()
    with pytest.raises(ValueError, match="a command or a URL"):
        McpServer("python", url="http://localhost/mcp")


def test_a_connection_ends_with_its_event_loop(notes: Path) -> None:
    """Without a word from the user: no process is left, and nothing complains."""

    async def main() -> int:
        server = McpServer(sys.executable, [SERVER], env={"ROPEWALK_TEST_NOTES": str(notes)})
        run = await started(drawn([ToolCall("whoami"), "ok"], [server]))
        return run.state.tool_calls[0].result["result"]

    pid = asyncio.run(main())
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("the server's process is still there")


def test_one_server_beside_tools_of_one_s_own(notes: Path) -> None:
    @tool("Mine")
    def mine() -> str:
        return "mine"

    async def main() -> None:
        with served("stdio", notes) as (server, _):
            try:
                calls = [ToolCall("mine"), *(ToolCall("say_it", {"text": str(number)}) for number in range(10))]
                run = await started(drawn([calls, "end"], [mine, server]))
                assert [is_error for _, is_error in results(run.state.messages)] == [False] * 11
            finally:
                await server.close()

    asyncio.run(main())
