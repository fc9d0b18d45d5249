"""Maps and repeats: one step an item, joined in item order; many times, side by side or one after the other."""

import asyncio
import time

import pytest
from pydantic import BaseModel

from ropewalk import END, START, Graph, GraphState, History, Incremental, LastValue
from ropewalk.errors import GraphInvalid, RunFailed
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore


class Files(GraphState):
    files: LastValue[list[str]] = []
    log: History[str]
    count: Incremental[int] = 0
    seen: LastValue[int] = -1


@pytest.fixture(params=["none", "memory", "sqlite"])
def store(request, tmp_path):
    kept = {"none": lambda: None, "memory": MemoryRunStore, "sqlite": lambda: SqliteRunStore(tmp_path / "runs.db")}
    made = kept[request.param]()
    yield made
    if made is not None:
        asyncio.run(made.close())


def mapping(store=None, *, over=lambda state: state.files):
    graph = Graph(Files, store=store)

    @graph.node
    async def begin(state):
        return {"log": "begin"}

    @graph.node
    async def read(state, item, index):
        assert state.log == ["begin"], "an item sees what came before the map, not its siblings"
        return {"log": f"{index} {item}", "count": 1}

    @graph.node
    async def end(state):
        return {"log": f"end {state.count}"}

    graph.add_edge(START, "begin").add_map_edge("begin", "read", "end", over=over)
    return graph.add_edge("end", END)


def test_a_map_runs_a_node_once_an_item_and_joins_in_item_order(store):
    async def main():
        state = await mapping(store).start(Files(files=["x", "y", "z"]))
        assert state.log == ["begin", "0 x", "1 y", "2 z", "end 3"]

    asyncio.run(main())


def test_an_empty_map_starts_its_target(store):
    async def main():
        assert (await mapping(store).start()).log == ["begin", "end 0"]

    asyncio.run(main())


def test_over_may_be_any_iterable_and_may_be_async():
    async def fetched(state):
        await asyncio.sleep(0)
        return ["x", "y"]

    for over in (lambda: (word for word in "xy"), lambda state: {"x": 1, "y": 2}.keys(), lambda: ("x", "y"), fetched):
        assert mapping(over=over).run_sync().log == ["begin", "0 x", "1 y", "end 2"]


@pytest.mark.parametrize("over", [lambda: "text", lambda: 5, lambda: None])
def test_over_that_gives_no_list_is_an_error_with_the_source(over):
    with pytest.raises(RunFailed, match=r"'begin'.*list of items"):
        mapping(over=over).run_sync()


def test_ten_thousand_items_are_no_matter():
    graph = Graph(Files)

    @graph.node
    async def work(item):
        return {"count": item}

    graph.add_node(lambda: None, name="end").add_edge("end", END)
    graph.add_map_edge(START, "work", "end", over=lambda: range(10_000))
    began = time.process_time()
    assert graph.run_sync().count == sum(range(10_000))
    assert time.process_time() - began < 8


class Page(BaseModel):
    number: int
    text: str


def test_items_may_be_typed_and_come_back_from_the_log_with_their_type(tmp_path):
    async def main():
        store = SqliteRunStore(tmp_path / "runs.db")

        def drawn(well):
            graph = Graph(Files, store=store)

            @graph.node
            async def read(item: Page):
                assert type(item) is Page
                if not well and item.number:
                    raise OSError("down")
                return {"log": f"{item.number} {item.text}"}

            graph.add_node(lambda: None, name="end").add_edge("end", END)
            return graph.add_map_edge(START, "read", "end", over=lambda: [Page(number=n, text="t") for n in range(3)])

        assert await drawn(well=False).start(run_id="r").wait() == "FAILED"
        run = drawn(well=True).open("r")
        assert await run.resume() == "DONE"
        assert run.state.log == ["0 t", "1 t", "2 t"]
        await store.close()

    asyncio.run(main())


def subgraph_of_two(graph):
    @graph.subgraph()
    def sub():
        inner = Graph(Files)

        @inner.node
        async def one(state, ctx):
            return {"log": f"one {ctx.item}"}

        @inner.node
        async def two(state, item):
            return {"log": f"two {item} after {state.log[-1]}"}

        return inner.add_edge(START, "one").add_edge("one", "two").add_edge("two", END)

    return graph


def test_a_map_may_run_a_subgraph(store):
    async def main():
        graph = subgraph_of_two(Graph(Files, store=store))
        graph.add_node(lambda: {"log": "end"}, name="end").add_edge("end", END)
        graph.add_map_edge(START, "sub", "end", over=lambda: ["x", "y"])
        state = await graph.start()
        assert state.log == ["one x", "two x after one x", "one y", "two y after one y", "end"]

    asyncio.run(main())


def test_maps_may_be_nested_through_a_subgraph():
    graph = Graph(Files)

    @graph.subgraph()
    def row():
        inner = Graph(Files)

        @inner.node
        async def cell(item, ctx):
            return {"log": f"{ctx.idempotency_key.partition('/')[2]} {item}"}

        @inner.node
        async def close(ctx):
            return {"log": f"row {ctx.item}"}

        inner.add_map_edge(START, "cell", "close", over=lambda: ["a", "b"])
        return inner.add_edge("close", END)

    graph.add_node(lambda: {"log": "end"}, name="end").add_edge("end", END)
    graph.add_map_edge(START, "row", "end", over=lambda: [1, 2])
    assert graph.run_sync().log == [
        "row#1[0]/cell#1[0] a",
        "row#1[0]/cell#1[1] b",
        "row 1",
        "row#1[1]/cell#1[0] a",
        "row#1[1]/cell#1[1] b",
        "row 2",
        "end",
    ]


def test_two_map_edges_may_run_one_node():
    graph = Graph(Files)

    @graph.node
    async def work(item):
        return {"log": item}

    for name in ("middle", "end"):
        graph.add_node(lambda name=name: {"log": name}, name=name)
    graph.add_map_edge(START, "work", "middle", over=lambda: ["a", "b"])
    graph.add_map_edge("middle", "work", "end", over=lambda: ["c"]).add_edge("end", END)
    assert graph.run_sync().log == ["a", "b", "middle", "c", "end"]


def test_a_map_in_a_loop_runs_again():
    graph = Graph(Files)

    @graph.node
    async def work(item):
        return {"log": item, "count": 1}

    graph.add_node(lambda: {"log": "end"}, name="end").add_node(lambda: None, name="begin").add_edge(START, "begin")
    graph.add_map_edge("begin", "work", "end", over=lambda state: ["a", "b"] if state.count < 4 else ["c"])
    graph.add_router_edge("end", lambda s: "begin" if s.count < 5 else END, routes=["begin", END])
    assert graph.run_sync().log == ["a", "b", "end", "a", "b", "end", "c", "end"]


def test_items_run_side_by_side_and_no_more_of_them_than_allowed():
    async def main():
        for limit, most in ((None, 18), (3, 3)):
            now = highest = 0
            together = asyncio.Barrier(most)
            graph = Graph(Files, max_concurrency=limit)

            @graph.node
            async def work(item, *, together=together):
                nonlocal now, highest
                now += 1
                highest = max(highest, now)
                await together.wait()
                now -= 1
                return {"count": 1}

            graph.add_node(lambda: None, name="end").add_edge("end", END)
            graph.add_map_edge(START, "work", "end", over=lambda: range(18))
            assert (await graph.start()).count == 18
            assert highest == most

    asyncio.run(main())


# -- repeats


def repeating(node, *, parallel, repeat=3, names=None):
    graph = Graph(Files)
    graph.add_node(lambda: {"log": "begin"}, name="begin").add_node(node, name="work")
    graph.add_node(lambda: {"log": "end"}, name="end").add_edge(START, "begin").add_edge("end", END)
    return graph.add_repeating_edge("begin", "work", "end", repeat=repeat, parallel=parallel, repeat_names=names)


def test_repeats_in_sequence_see_the_one_before():
    async def work(state, index):
        return {"log": f"{index} saw {state.count}", "count": 1}

    log = repeating(work, parallel=False).run_sync().log
    assert log == ["begin", "0 saw 0", "1 saw 1", "2 saw 2", "end"]


def test_parallel_repeats_see_what_came_before_all_of_them():
    async def work(state, index):
        return {"log": f"{index} saw {state.count}", "count": 1}

    state = repeating(work, parallel=True).run_sync()
    assert state.log == ["begin", "0 saw 0", "1 saw 0", "2 saw 0", "end"]
    assert state.count == 3


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("repeat", [1, 5])
def test_a_node_repeats_as_often_as_it_is_told(parallel, repeat):
    async def work():
        return {"count": 1}

    assert repeating(work, parallel=parallel, repeat=repeat).run_sync().count == repeat


def test_repeats_may_have_names_which_pictures_show():
    async def work(index):
        return {"log": str(index)}

    graph = repeating(work, parallel=True, names=["left", "middle", "right"])
    assert graph.run_sync().log == ["begin", "0", "1", "2", "end"]
    assert graph.plan.by_name["work"].labels == ("left", "middle", "right")
    assert "middle" in graph.visualize().mermaid


@pytest.mark.parametrize("parallel", [True, False])
def test_a_subgraph_may_be_repeated(parallel):
    graph = Graph(Files)

    @graph.subgraph()
    def sub():
        inner = Graph(Files)
        inner.add_node(lambda state, ctx: {"log": f"in {ctx.item} saw {state.count}", "count": 1}, name="one")
        inner.add_node(lambda state: {"log": f"out saw {state.count}"}, name="two")
        return inner.add_edge(START, "one").add_edge("one", "two").add_edge("two", END)

    graph.add_node(lambda: {"log": "end"}, name="end").add_edge("end", END)
    graph.add_repeating_edge(START, "sub", "end", repeat=2, parallel=parallel)
    expected = {
        True: ["in 0 saw 0", "out saw 1", "in 1 saw 0", "out saw 1", "end"],
        False: ["in 0 saw 0", "out saw 1", "in 1 saw 1", "out saw 2", "end"],
    }
    assert graph.run_sync().log == expected[parallel]


def test_start_may_begin_a_repeat_and_end_may_end_it():
    """primeGraph refused START."""
    graph = Graph(Files)
    graph.add_node(lambda: {"count": 1}, name="work")
    graph.add_repeating_edge(START, "work", END, repeat=4, parallel=True)
    assert graph.run_sync().count == 4


def test_repeats_that_are_none_or_misnamed_are_compile_errors():
    with pytest.raises(GraphInvalid, match="repeats 0 times"):
        repeating(lambda: None, parallel=True, repeat=0).compile()
    with pytest.raises(GraphInvalid, match="2 repeat_names are given for 3 repeats"):
        repeating(lambda: None, parallel=True, names=["a", "b"]).compile()


def test_a_node_may_be_repeated_and_be_a_node_of_its_own():
    graph = Graph(Files)
    graph.add_node(lambda index: {"log": f"work {index}"}, name="work")
    graph.add_node(lambda: {"log": "end"}, name="end").add_edge("end", END)
    graph.add_edge(START, "work")
    graph.add_repeating_edge("work", "work", "end", repeat=2, parallel=True)
    assert graph.run_sync().log == ["work None", "work 0", "work 1", "end"]


def test_a_node_whose_name_looks_like_a_copy_s_is_not_mixed_up_with_one():
    graph = Graph(Files)
    graph.add_node(lambda item: {"log": f"work {item}"}, name="work")
    graph.add_node(lambda: None, name="middle").add_node(lambda: {"log": "other"}, name="work~2")
    graph.add_map_edge(START, "work", "middle", over=lambda: [1]).add_map_edge(
        "middle", "work", "work~2", over=lambda: [2]
    )
    graph.add_edge("work~2", END)
    assert graph.run_sync().log == ["work 1", "work 2", "other"]
    names = [place.name for place in graph.plan.places]
    assert len(names) == len(set(names))
