"""Promise 13, streams: a reader at number k gets k+1 and on, nothing lost, nothing twice; there is always a last event.

Run as a script, this file is the process that dies in the middle of a stream.
"""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ropewalk
from ropewalk import END, START, Graph, GraphState, History, Incremental, Retry, Token
from ropewalk.errors import RunFailed, StoreUnavailable
from ropewalk.events import parse_event_id
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore
from ropewalk.testing import Fault, FaultyRunStore, scripted_faults

SOURCE = str(Path(ropewalk.__file__).parents[1])
LAST = {"run_done", "run_paused", "run_failed", "run_cancelled"}


class Story(GraphState):
    log: History[str]


@pytest.fixture(params=["none", "memory", "sqlite"])
def store(request, tmp_path):
    kept = {"none": lambda: None, "memory": MemoryRunStore, "sqlite": lambda: SqliteRunStore(tmp_path / "runs.db")}
    made = kept[request.param]()
    yield made
    if made is not None:
        asyncio.run(made.close())


def telling(store, gates, *, tokens=5):
    """`a` and `b` side by side, each emits tokens, waits at its gate, emits more; then `c`."""
    graph = Graph(Story, store=store)

    def teller(name):
        async def tell(state, ctx):
            for part in ("1", "2"):
                for number in range(tokens):
                    ctx.emit(Token(f"{name}{part}.{number} "))
                    if number % 2:
                        await asyncio.sleep(0)
                ctx.emit({"progress": part})
                await gates[name + part].wait()
            return {"log": name}

        return tell

    for name in "ab":
        graph.add_node(teller(name), name=name).add_edge(START, name).add_edge(name, "c")
    graph.add_node(lambda: {"log": "c"}, name="c").add_edge("c", END)
    return graph


async def collected(run, after=None, *, until=None):
    """Return the events behind ``after`` as (id, type, node, data), up to and with the one of id ``until``."""
    seen = []
    async for event in run.events(after=after):
        seen.append((event.id, event.type, event.node, repr(event.data)))
        if event.id == until:
            break
    return seen


def test_a_reader_who_comes_back_at_any_id_loses_and_repeats_nothing(store):
    """Promise 13: live tokens in the middle of a step included."""

    async def main():
        gates = {key: asyncio.Event() for key in ("a1", "a2", "b1", "b2")}
        graph = telling(store, gates)
        run = graph.start(run_id="r")
        first = []
        async for event in run.events():
            first.append((event.id, event.type, event.node, repr(event.data)))
            if sum(one[1] == "custom" for one in first) == 2:
                break
        assert [parse_event_id(one[0]) for one in first] == sorted({parse_event_id(one[0]) for one in first})
        assert sum(one[1] == "text" for one in first) == 10
        for position, (event_id, *_) in enumerate(first[:-1]):
            again = await collected(run, event_id, until=first[-1][0])
            assert again == first[position + 1 :], f"came back behind {event_id}"
        for gate in gates.values():
            gate.set()
        await run.wait()
        whole = await collected(run)
        assert [one[1] for one in whole] == ["run_started", *["step_finished"] * 3, "run_done"]
        for event_id, *_ in first:
            entry = parse_event_id(event_id)[0]
            assert await collected(run, event_id) == [one for one in whole if parse_event_id(one[0])[0] > entry]

    asyncio.run(main())


def test_a_token_is_replaced_by_the_entry_that_holds_the_whole_text(store):
    """Promise 13: a reader who was away finds every word in the step's entry."""

    async def main():
        gates = {key: asyncio.Event() for key in ("a1", "a2", "b1", "b2")}
        run = telling(store, gates).start()
        heard = {"a": "", "b": ""}
        async for event in run.events():
            if event.type == "text":
                heard[event.node] += event.data["text"]
            if event.type == "custom":
                gates[event.node + event.data["progress"]].set()
            if event.type == "step_finished" and event.node in heard:
                assert event.data["text"] == heard[event.node]
        assert heard["a"] == "".join(f"a{part}.{number} " for part in "12" for number in range(5))

    asyncio.run(main())


def test_a_reader_who_reads_to_the_end_hears_all_tokens_in_order_once(store):
    """Promise 13: of a quick reader, and of many of them."""

    async def main():
        gates = {key: asyncio.Event() for key in ("a1", "a2", "b1", "b2")}
        run = telling(store, gates, tokens=50).start()
        readers = [asyncio.create_task(collected(run)) for _ in range(5)]
        for gate in gates.values():
            for _ in range(60):
                await asyncio.sleep(0)
            gate.set()
        results = [await reader for reader in readers]
        for result in results:
            ids = [parse_event_id(one[0]) for one in result]
            assert ids == sorted(set(ids))
            assert result[-1][1] == "run_done"
            assert [one for one in result if "." not in one[0]] == [one for one in results[0] if "." not in one[0]]

    asyncio.run(main())


def test_a_slow_reader_holds_nobody_and_is_told_what_it_missed(store):
    """Promise 13: 20,000 tokens while it reads one; the rest comes as a reset with their text, then live."""

    async def main():
        graph = Graph(Story, store=store)
        said, gate = asyncio.Event(), asyncio.Event()

        @graph.node
        async def tell(ctx):
            for number in range(20_000):
                ctx.emit(Token(f"{number} "))
            said.set()
            await gate.wait()
            ctx.emit(Token("end"))
            return {"log": "told"}

        run = graph.start()
        reader = run.events()
        assert (await anext(reader)).type == "run_started"
        await said.wait()
        gate_opened = False
        text, resets = "", 0
        async for event in reader:
            if event.type == "reset":
                text, resets = event.data["text"], resets + 1
            if event.type == "text":
                text += event.data["text"]
            if not gate_opened and text.endswith("19999 "):
                gate_opened = True
                assert text == "".join(f"{number} " for number in range(20_000))
                gate.set()
            last = event
        assert gate_opened
        assert resets == 1
        assert last.type == "run_done"

    asyncio.run(main())


def test_a_reader_of_a_long_run_misses_no_entry(store):
    """Promise 13: more entries than are kept in memory."""

    async def main():
        graph = Graph(Story, store=store, max_node_iterations=10_000)

        @graph.node
        async def turn(state):
            return {}

        graph.add_edge(START, "turn")
        rounds = iter(range(1500))
        graph.add_router_edge("turn", lambda: END if next(rounds) == 1499 else "turn", routes=["turn", END])
        run = graph.start()
        reader = run.events()
        assert (await anext(reader)).id == "1"
        await run.wait()
        ids = [event.id async for event in reader if "." not in event.id]
        assert ids == [str(number) for number in range(2, 1503)]
        assert [event.id async for event in run.events(after="1499.7")] == ["1500", "1501", "1502"]

    asyncio.run(main())


def ending(store):
    graph = Graph(Story, store=store)

    @graph.node
    async def work(state, ctx):
        if state.log[0] == "run_failed":
            raise OSError("down")
        if state.log[0] == "run_paused":
            await ctx.ask("go?")
        if state.log[0] == "run_cancelled":
            await asyncio.Event().wait()

    return graph


def test_a_reader_who_comes_after_the_oldest_entries_have_gone_is_told_how_many():
    """Promise 13: without a store only the newest entries are kept; a gap is never silent."""

    class Turns(GraphState):
        count: Incremental[int] = 0

    async def main():
        graph = Graph(Turns, max_node_iterations=20_000)

        @graph.node
        async def turn(state):
            return {"count": 1}

        graph.add_edge(START, "turn")
        graph.add_router_edge("turn", lambda state: END if state.count == 12_000 else "turn", routes=["turn", END])
        run = graph.start()
        await run
        events = [event async for event in run.events()]
        first = events[0]
        assert (first.type, first.data) == ("reset", {"dropped": 2_002})
        assert [int(event.id) for event in events] == list(range(2_002, 12_003))
        later = [event async for event in run.events(after="11999")]
        assert [event.id for event in later] == ["12000", "12001", "12002"]

    asyncio.run(main())


@pytest.mark.parametrize("last", sorted(LAST))
def test_there_is_always_a_last_event(store, last):
    """Promise 13: for one who follows from the start, one who comes late, and one who has seen everything."""

    async def main():
        run = ending(store).start(Story(log=[last]))
        if last == "run_cancelled":
            following = asyncio.create_task(collected(run))
            async for event in run.events():
                if event.type == "step_started":
                    break
            await run.cancel()
            assert (await following)[-1][1] == last
        seen = await collected(run)
        assert seen[-1][1] == last
        assert sum(one[1] in LAST for one in seen) == 1
        assert await collected(run, seen[-1][0]) == []
        assert (await collected(run, int(seen[-1][0]) - 1))[-1] == seen[-1]

    asyncio.run(main())


def test_a_reader_goes_on_behind_a_pause(store):
    """Promise 13: a stretch ends with run_paused; the next one begins behind it."""

    async def main():
        run = ending(store).start(Story(log=["run_paused"]))
        first = await collected(run)
        assert first[-1][1] == "run_paused"
        await run.answer(run.pauses[0].id, "yes")
        second = await collected(run, first[-1][0])
        assert [one[1] for one in second if "." not in one[0]] == ["answered", "step_finished", "run_done"]

    asyncio.run(main())


def test_a_reader_is_told_when_the_store_fails():
    """Promise 13: nobody waits for ever."""

    async def main():
        store = FaultyRunStore(MemoryRunStore(), scripted_faults([Fault.NONE], then=Fault.BEFORE))
        run = ending(store).start(Story(log=["well"]))
        with pytest.raises(StoreUnavailable):
            await collected(run)

    asyncio.run(main())


def test_live_events_of_a_failed_attempt_are_closed_by_its_entry(store):
    """Promise 13: the tokens of the next attempt are not mixed with them."""

    async def main():
        graph = Graph(Story, store=store)

        @graph.node(retry=Retry(attempts=2, backoff=0))
        async def tell(ctx):
            ctx.emit(Token(f"attempt {ctx.attempt}"))
            await asyncio.sleep(0)
            if ctx.attempt == 1:
                raise OSError("down")

        heard = [(event.type, event.data) async for event in graph.start().events()]
        assert [kind for kind, _ in heard if kind not in ("step_started", "text")] == [
            "run_started",
            "step_failed",
            "step_finished",
            "run_done",
        ]
        assert heard[-2][1]["text"] == "attempt 2"

    asyncio.run(main())


async def tell_and_hang(file):
    graph = Graph(Story, store=f"sqlite:///{file}")

    @graph.node
    async def tell(ctx):
        for number in range(5):
            ctx.emit(Token(f"{number} "))
        await asyncio.Event().wait()

    async for event in graph.start(run_id="r").events():
        print(event.id, event.type, flush=True)


def test_tokens_of_an_attempt_that_died_are_closed_by_a_reset(tmp_path):
    """Promise 13: the reader of the dead process comes back to another one with the last id it saw."""
    file = tmp_path / "runs.db"
    command = [sys.executable, "-W", "error", __file__, "tell_and_hang", str(file)]
    seen = []
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": SOURCE}, stdout=subprocess.PIPE, text=True) as child:
        for line in child.stdout:
            seen.append(tuple(line.split()))
            if sum(kind == "text" for _, kind in seen) == 5:
                child.kill()
                break
    assert child.returncode == -signal.SIGKILL

    async def come_back():
        store = SqliteRunStore(file)
        graph = Graph(Story, store=store)

        @graph.node
        async def tell(ctx):
            ctx.emit(Token("again"))
            await asyncio.sleep(0)
            return {"log": "told"}

        run = graph.open("r")
        following = asyncio.create_task(collected(run, seen[-1][0]))
        await run.resume()
        events = await following
        await store.close()
        return events

    events = asyncio.run(come_back())
    ids = [parse_event_id(seen[-1][0])] + [parse_event_id(one[0]) for one in events]
    assert ids == sorted(set(ids)), "ids never collide"
    kinds = [one[1] for one in events]
    assert kinds[0] == "reset"
    assert [kind for kind in kinds if kind not in ("text", "step_started")] == ["reset", "step_finished", "run_done"]


def test_another_process_may_follow_a_live_run(tmp_path):
    """Promise 13: entries, without taking anything from its owner."""

    async def main():
        one, two = SqliteRunStore(tmp_path / "runs.db"), SqliteRunStore(tmp_path / "runs.db")
        gates = {key: asyncio.Event() for key in ("a1", "a2", "b1", "b2")}
        run = telling(one, gates).start(run_id="r")
        await run.admitted()
        following = asyncio.create_task(collected(telling(two, gates).open("r")))
        for gate in gates.values():
            gate.set()
        await run
        assert [event[1] for event in await following if "." not in event[0]] == [
            "run_started",
            *["step_finished"] * 3,
            "run_done",
        ]
        await one.close()
        await two.close()

    asyncio.run(main())


def test_what_a_sync_node_says_from_its_thread_is_heard(store):
    """Promise 13."""

    async def main():
        graph = Graph(Story, store=store)

        @graph.node
        def tell(ctx):
            for number in range(10):
                ctx.emit({"type": "text", "text": f"{number}"})
            return {"log": "told"}

        run = graph.start()
        text = [event.data["text"] async for event in run.events() if event.type == "step_finished"]
        assert text == ["0123456789"]

    asyncio.run(main())


def test_an_event_that_is_too_large_or_not_plain_fails_the_step_with_its_name(store):
    """Promise 13 and 10."""

    async def main():
        for data, message in ((object(), "event of 'tell'"), ({"x": "y" * 2_000_000}, "event of 'tell'.*limit")):
            graph = Graph(Story, store=store)

            @graph.node
            async def tell(ctx, data=data):
                ctx.emit(data)

            with pytest.raises(RunFailed, match=message):
                await graph.start()

    asyncio.run(main())


@pytest.mark.parametrize("after", ["x", "1.x", "-1", "1.2.3", ""])
def test_an_id_that_is_none_is_refused(after):
    """Promise 13."""
    with pytest.raises(ValueError, match="event id"):
        parse_event_id(after)


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]](*sys.argv[2:]))
