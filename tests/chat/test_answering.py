"""What a worker does before a message is answered: whose history it begins with, which requests it knows already."""

import asyncio
from typing import Any

import pytest
from tests.chat.service import Service

from ropewalk import END, START, Graph, GraphState, History
from ropewalk.chat.answering import Answering
from ropewalk.chat.desk import ChatDesk
from ropewalk.chat.requests import WorkflowRequest
from ropewalk.contracts import RunRecord
from ropewalk.contracts.session_registry import Connection
from ropewalk.errors import InvalidSession, RequestUnreadable, SessionNotFound
from ropewalk.messaging.memory.chat_requests import MemoryChatRequests
from ropewalk.server.owned import Caller
from ropewalk.workers import Worker


class Talk(GraphState):
    messages: History[dict[str, Any]]


def talking(steps: int) -> Graph[Talk]:
    """A graph that takes so many steps to say how many messages it knows."""
    graph: Graph[Talk] = Graph(Talk, name="talk")

    async def think() -> None:
        pass

    async def say(state: Talk) -> dict[str, Any]:
        return {"messages": {"role": "assistant", "content": f"I know {len(state.messages)}."}}

    last = START
    for number in range(steps - 1):
        name = f"think{number}"
        graph.add_node(think, name=name).add_edge(last, name)
        last = name
    return graph.add_node(say).add_edge(last, "say").add_edge("say", END)


def request(message_id: str, user_id: str = "ann") -> WorkflowRequest:
    return WorkflowRequest(message_id=message_id, session_id="s", user_id=user_id, message="hi")


async def answer_of(service: Service) -> str:
    return (await service.chunks())[-2]["chunk"]


@pytest.mark.parametrize("steps", [1, 30])
def test_a_message_goes_on_with_the_one_before_however_long_its_log_is(steps: int) -> None:
    async def main() -> None:
        service = Service(talking(steps))
        for number in range(1, 4):
            await service.send("hi", f"m-{number}")
            assert await service.work(f"m-{number}") == "DONE"
            assert await answer_of(service) == f"I know {2 * number - 1}."

    asyncio.run(main())


def test_the_history_is_that_of_the_message_before_when_another_one_was_newest() -> None:
    async def main() -> None:
        service = Service(talking(1))
        await service.send("hi", "m-1")
        assert await service.work("m-1") == "DONE"
        await service.send("hi", "m-2")
        assert await service.work("m-2") == "DONE"
        await service.send("hi", "m-3")  # behind m-2
        await service.store.delete("m-2")
        assert await service.work("m-3") == "DONE"
        assert await answer_of(service) == "I know 3."

    asyncio.run(main())


def test_a_message_that_waits_behind_another_begins_with_what_that_one_has_said() -> None:
    async def main() -> None:
        service = Service(talking(1))
        for number in range(1, 4):
            await service.send("hi", f"m-{number}")
        assert await service.work("m-3") == "DONE"
        assert await answer_of(service) == "I know 5."

    asyncio.run(main())


@pytest.mark.parametrize(("user", "asks"), [("ann", False), ("eve", True)])
def test_the_store_is_not_asked_for_a_request_whose_run_is_claimed_here_by_its_user(user: str, asks: bool) -> None:
    async def main() -> None:
        service, requests = Service(talking(1)), MemoryChatRequests()
        await service.send("hi", "m-1")
        worker = Worker(service.graphs)
        asked: list[str] = []

        async def in_hand(run_id: str) -> RunRecord | None:
            record = await worker.in_hand(run_id)
            asked.append(run_id)
            service.store.inner.look = look  # from now on
            return record

        async def look(run_id: str) -> RunRecord:
            asked.append("the store")
            return await type(service.store.inner).look(service.store.inner, run_id)

        answering = Answering(service.desk, service.ways, requests, in_hand=in_hand)
        await requests.publish("s", request("m-1", user).body(), message_id="m-1")
        async with worker:
            await asyncio.sleep(0)  # its first claim is under way
            answering.start()
            async with asyncio.timeout(10):
                while await requests.waiting():
                    await asyncio.sleep(0.01)
        await answering.close()
        assert asked[0] == "m-1"
        assert ("the store" in asked) == asks
        assert [dead.reason for dead in requests.dead] == (["request_unreadable"] if asks else [])

    asyncio.run(main())


def test_where_a_session_s_clients_are_is_known_when_the_first_token_comes() -> None:
    async def main() -> None:
        service = Service(talking(1))
        connection = Connection("s", "pod-1", "c-1")
        await service.parts.registry.announce([connection], ttl_seconds=30)
        service.ways.whereabouts.expect("s")
        await asyncio.sleep(0)  # it is asked beside, and what is in memory answers at once
        await service.parts.registry.forget([connection])
        assert await service.ways.whereabouts.of("s") == {"pod-1"}

    asyncio.run(main())


def test_a_session_of_somebody_else_stays_closed_though_it_is_looked_at_meanwhile() -> None:
    async def main() -> None:
        service = Service(talking(1))
        await service.send("hi", "m-1")
        other = ChatDesk(service.service, service.parts.registry)  # another pod's
        for user, expected in (("eve", SessionNotFound), ("a\0", RequestUnreadable)):
            with pytest.raises(expected):
                await other.send(Caller(), request("m-2", user))
        with pytest.raises(InvalidSession):
            await other.send(Caller(), request("m-2").model_copy(update={"session_id": "not a session"}))
        assert (await other.send(Caller(), request("m-2"))).message_id == "m-2"
        assert [(one.run_id, one.turn) for one in await service.store.runs()] == [("m-2", 2), ("m-1", 1)]

    asyncio.run(main())


def test_a_message_that_was_cancelled_before_it_began_is_passed_over() -> None:
    async def main() -> None:
        service = Service(talking(1))
        await service.send("hi", "m-1")
        assert await service.work("m-1") == "DONE"
        await service.send("hi", "m-2")
        await service.desk.cancel(service.caller, "m-2")
        await service.send("hi", "m-3")
        assert await service.work("m-3") == "DONE"
        assert await answer_of(service) == "I know 3."

    asyncio.run(main())


def test_a_message_that_had_seen_the_session_before_another_came_goes_on_with_that_one() -> None:
    async def main() -> None:
        service = Service(talking(1))
        await service.send("hi", "m-1")
        assert await service.work("m-1") == "DONE"
        seen = await service.service.glance("ann", "s")
        await service.send("hi", "m-2")
        assert await service.work("m-2") == "DONE"
        await service.desk._take(service.caller, request("m-3"), None, comes_again=False, glance=seen)
        assert (await service.store.look("m-3")).turn == 3
        assert await service.work("m-3") == "DONE"
        assert await answer_of(service) == "I know 5."

    asyncio.run(main())
