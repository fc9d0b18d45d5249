"""The reply that ends a node is committed with the node's end, where nothing can come between; else before it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from tests.agent.scenes import drawn, said

from ropewalk import END, START, Agent, Graph, Limits, RunStatus, ScriptedModel, ToolCall, ToolNode, ToolState, tool
from ropewalk.core.facts import read_entry
from ropewalk.stores.sqlite import SqliteRunStore


@tool("Search")
async def search(query: str) -> str:
    return f"found {query}"


class Seen(SqliteRunStore):
    """A store that remembers what came in one append."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.appends: list[list[str]] = []

    async def append(self, run_id: str, **more: Any) -> None:
        bodies: list[bytes] = more["bodies"]
        self.appends.append([read_entry(more["after"] + 1, body).type for body in bodies])
        await super().append(run_id, **more)


TOGETHER = [["model_replied", "tool_call"], ["tool_result"], ["model_replied", "step_finished", "run_done"]]
APART = [*TOGETHER[:2], ["model_replied"], ["step_finished", "run_done"]]
SCRIPT = [ToolCall("search", {"query": "rope"}), "found it"]


async def appends(tmp_path: Path, script: Any = SCRIPT, **node: Any) -> list[list[str]]:
    store = Seen(tmp_path / "runs.db")
    run = drawn(script, [search], store=store, **node).start(ToolState(messages=said()))
    async for event in run.events():
        assert event.type != "step_finished" or "text" not in event.data  # it is in the reply, which comes before
    assert run.status is RunStatus.DONE
    assert run.usage.output_tokens > 0
    again = drawn(script, [search], store=store, **node).open(run.run_id)
    assert await again.resume() is RunStatus.DONE
    assert again.state.final_output == run.state.final_output
    await store.close()
    return store.appends


@pytest.mark.parametrize("stream", [False, True])
def test_the_last_reply_and_the_end_of_the_node_are_one_append(tmp_path: Path, stream: bool) -> None:
    assert asyncio.run(appends(tmp_path, stream=stream)) == TOGETHER


class Found(BaseModel):
    what: str


@pytest.mark.parametrize(
    ("script", "node"),
    [
        (SCRIPT, {"on_message": lambda _: None}),  # what a callback is told is in the log
        (SCRIPT, {"limits": Limits(calls=5)}),  # whoever counts finds it there
        ([SCRIPT[0], '{"what": "rope"}'], {"output_schema": Found}),  # it may have to be asked again
    ],
)
def test_it_is_written_at_once_where_something_may_come_between(tmp_path: Path, script: Any, node: Any) -> None:
    assert asyncio.run(appends(tmp_path, script, **node)) == APART


def test_it_is_written_at_once_where_a_router_may_take_its_time(tmp_path: Path) -> None:
    async def main() -> None:
        store = Seen(tmp_path / "runs.db")
        graph: Graph[ToolState] = Graph(ToolState, store=store)
        graph.add_node(ToolNode(Agent(name="a", model=ScriptedModel(["said"]))), name="a")

        async def route(state: ToolState) -> str:
            assert store.appends == [["model_replied"]]
            await asyncio.sleep(0)
            return END

        graph.add_edge(START, "a").add_router_edge("a", route, routes=[END])
        await graph.start(ToolState(messages=said()))
        await store.close()

    asyncio.run(main())


def test_a_node_that_fails_after_its_last_reply_has_kept_it() -> None:
    class Strict(ToolState):
        final_output: int = 0  # type: ignore[assignment]  # what the model says does not fit

    async def main() -> None:
        run = drawn(["no number"], state_class=Strict).start(Strict(messages=said()))
        assert await run.wait() is RunStatus.FAILED
        assert [entry.type for entry in await run.history()][1:] == ["model_replied", "step_failed", "run_failed"]
        assert run.usage.output_tokens > 0

    asyncio.run(main())
