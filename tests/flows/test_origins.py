"""Where a run comes from is kept with it: its turn in a session, and a note for the door that admitted it."""

import asyncio

import pytest

from ropewalk import END, START, Graph, GraphState, History
from ropewalk.core.origin import Origin
from ropewalk.errors import NotStorable, TurnTaken
from ropewalk.runtime import open_store

NOTE = {"pod": "pod-7", "words": ["ünïcode", 1, None], "inner": {"at": 2.5}}


class Talk(GraphState):
    said: History[str]


def talking(store):
    graph = Graph(Talk, store=store, name="talk")
    graph.add_node(lambda: {"said": "hello"}, name="say")
    return graph.add_edge(START, "say").add_edge("say", END)


@pytest.fixture(params=["memory:", "sqlite"])
def url(request, tmp_path):
    return request.param if request.param == "memory:" else f"sqlite:///{tmp_path}/runs.db"


def test_a_run_gives_back_its_turn_and_the_note_of_its_door(url):
    async def main():
        store = open_store(url)
        graph = talking(store)
        run = graph.start(origin=Origin(owner="ann", session="s", turn=1, note=NOTE))
        await run
        assert await run.note() == NOTE
        assert await talking(store).open(run.run_id).note() == NOTE
        record = await store.look(run.run_id)
        assert (record.owner, record.session, record.turn) == ("ann", "s", 1)
        assert await graph.desk.note_of(record) == NOTE
        started = (await run.history())[0].data
        assert (started["turn"], started["note"]) == (1, NOTE)
        await store.close()

    asyncio.run(main())


def test_a_note_is_as_it_was_when_the_run_was_admitted(url):
    async def main():
        store = open_store(url)
        note = {"words": ["one"]}
        run = talking(store).start(origin=Origin(note=note))
        note["words"].append("two")
        await run
        assert await run.note() == {"words": ["one"]}
        await store.close()

    asyncio.run(main())


def test_a_run_without_a_note_has_none_and_without_a_store_it_is_kept_here():
    async def main():
        graph = talking(open_store("memory:"))
        run = graph.start()
        await run
        assert await run.note() is None
        assert not {"turn", "note"} & set((await run.history())[0].data)
        await graph.store.close()
        alone = talking(None).start(origin=Origin(note=NOTE))
        await alone
        assert await alone.note() == NOTE

    asyncio.run(main())


def test_a_fork_has_a_note_of_its_own(url):
    async def main():
        store = open_store(url)
        run = talking(store).start(origin=Origin(session="s", turn=1, note=NOTE))
        await run
        plain = await run.fork()
        noted = await run.fork(at=1, origin=Origin(session="s", turn=2, note={"fork": True}))
        await noted
        assert await plain.note() is None
        assert await noted.note() == {"fork": True}
        assert [(await store.look(fork.run_id)).turn for fork in (plain, noted)] == [None, 2]
        await store.close()

    asyncio.run(main())


def test_a_note_that_is_no_plain_data_is_refused_and_nothing_is_admitted():
    async def main():
        store = open_store("memory:")
        with pytest.raises(NotStorable, match="note"):
            talking(store).start(origin=Origin(note={"bytes": b"\xff", "of": {1, 2}}))
        assert await store.runs() == []
        await store.close()

    asyncio.run(main())


def test_a_turn_that_is_taken_is_told_and_the_same_id_may_try_again(url):
    async def main():
        store = open_store(url)
        graph = talking(store)
        await graph.start(origin=Origin(session="s", turn=1))
        with pytest.raises(TurnTaken):
            await graph.start(run_id="r", origin=Origin(session="s", turn=1))
        await graph.start(run_id="r", origin=Origin(session="s", turn=2))
        assert (await store.look("r")).turn == 2
        await store.close()

    asyncio.run(main())
