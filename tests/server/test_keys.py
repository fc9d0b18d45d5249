"""A request with a key is one run, however often it comes, whatever the rule of its session."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from ropewalk import END, START, Graph, GraphState
from ropewalk.errors import KeyReused
from ropewalk.runtime import open_store
from ropewalk.server.owned import ANYBODY
from ropewalk.server.runs import Request, RunService


class Message(GraphState):
    n: int = 0


def service(gate: asyncio.Event) -> RunService:
    graph: Any = Graph(Message, name="chat")

    @graph.node
    async def work(state: Message) -> None:
        await gate.wait()

    graph.add_edge(START, "work").add_edge("work", END)
    graph.use_store(open_store("memory:"))
    return RunService([graph])


def test_of_requests_with_one_key_that_come_at_once_all_are_told_of_the_one_run() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        gate.set()
        doors = service(gate)
        told: Counter[bool] = Counter()
        for n in range(20):
            asked = [doors.start(ANYBODY, "chat", Request(input={"n": n}, key=f"k{n}")) for _ in range(8)]
            started = await asyncio.gather(*asked)
            assert len({one.run_id for one in started}) == 1
            told.update(one.is_new for one in started)
        assert told == {True: 20, False: 140}
        await doors.close()

    asyncio.run(main())


@pytest.mark.parametrize("rule", ["reject", "interrupt", "queue"])
def test_the_rule_of_a_session_is_not_asked_about_a_request_that_was_taken(rule: Any) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        doors = service(gate)
        asked = Request(input={"n": 1}, key="k", session="s", on_busy=rule)
        first = await doors.start(ANYBODY, "chat", asked)
        again = await doors.start(ANYBODY, "chat", asked)
        assert (again.run_id, again.is_new, again.status) == (first.run_id, False, "RUNNING")
        with pytest.raises(KeyReused):
            await doors.start(ANYBODY, "chat", Request(input={"n": 2}, key="k", session="s", on_busy=rule))
        gate.set()
        await doors.close()

    asyncio.run(main())
