"""Promise 14, nothing unknown is swallowed: each error names the culprit and the nearest valid name."""

import asyncio
from typing import Literal

import pytest
from pydantic import ValidationError

from ropewalk import END, START, Graph, GraphState, History, Incremental, LastValue, Send
from ropewalk.errors import GraphChanged, GraphInvalid, RunFailed, UnknownField, UnknownRoute, WrongReturn, WrongType
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.stores.sqlite import SqliteRunStore


class Doc(GraphState):
    lines: History[str]
    status: LastValue[str] = "new"
    steps: Incremental[int] = 0
    kind: LastValue[Literal["letter", "invoice"] | None] = None
    pair: LastValue[tuple[int, str]] = (0, "")


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    kept = MemoryRunStore() if request.param == "memory" else SqliteRunStore(tmp_path / "runs.db")
    yield kept
    asyncio.run(kept.close())


def cause_of(node):
    """Run a graph of one node and return the exception that it failed with."""

    async def main():
        graph = Graph(Doc)
        graph.add_node(node, name="work")
        with pytest.raises(RunFailed, match="'work'") as caught:
            await graph.start()
        assert graph.start is not None
        return caught.value.__cause__

    return asyncio.run(main())


def test_a_write_to_an_undeclared_field_names_it_and_the_nearest():
    """Promise 14: langgraph drops it."""
    error = cause_of(lambda: {"statsu": "x"})
    assert isinstance(error, UnknownField)
    assert "'work' writes 'statsu'" in str(error)
    assert "Did you mean 'status'?" in str(error)


def test_nothing_of_a_step_is_written_when_a_part_of_it_is_wrong():
    """Promise 14 and 2: primeGraph wrote the first half."""

    async def main():
        graph = Graph(Doc)
        graph.add_node(lambda: {"lines": "x", "bogus": 1}, name="work")
        run = graph.start()
        assert await run.wait() == "FAILED"
        assert run.state.lines == []

    asyncio.run(main())


WRONG = [
    ({"status": 5}, "status", "str"),
    ({"status": None}, "status", "str"),
    ({"steps": "5"}, "steps", "int"),
    ({"steps": 1.5}, "steps", "int"),
    ({"steps": None}, "steps", "int"),
    ({"steps": True}, "steps", "int"),
    ({"lines": 7}, "lines", "one item of type str"),
    ({"lines": ["x"]}, "lines", "one by one"),
    ({"kind": "leter"}, "kind", "letter"),
    ({"pair": (1, 2)}, "pair", "tuple"),
    ({"pair": (1, "x", 3)}, "pair", "tuple"),
]


@pytest.mark.parametrize(("wrong", "field", "expected"), WRONG)
def test_a_value_of_a_wrong_type_names_field_node_and_type(wrong, field, expected):
    """Promise 14: Optional, tuple and Literal too, which primeGraph does not check."""
    error = cause_of(lambda: wrong)
    assert isinstance(error, WrongType)
    assert f"{field!r}" in str(error)
    assert "'work'" in str(error)
    assert expected in str(error)


def in_place(change):
    def node(state):
        change(state)

    return node


def test_an_undeclared_attribute_set_in_place_is_named_with_the_nearest():
    """Promise 14."""
    error = cause_of(in_place(lambda state: setattr(state, "statsu", "x")))
    assert isinstance(error, UnknownField)
    assert "'statsu'" in str(error)
    assert "'status'" in str(error)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda state: setattr(state, "status", 5), "status"),
        (lambda state: state.lines.append(5), "lines"),
        (lambda state: setattr(state, "lines", "text"), "lines"),
        (lambda state: setattr(state, "steps", "5"), "steps"),
    ],
)
def test_a_wrong_type_written_in_place_is_named_too(change, field):
    """Promise 14."""
    error = cause_of(in_place(change))
    assert isinstance(error, WrongType)
    assert f"{field!r}" in str(error)
    assert "in place" in str(error)


def test_an_attribute_that_is_read_and_not_there_fails_the_step():
    """Promise 14."""
    assert isinstance(cause_of(in_place(lambda state: state.statsu)), AttributeError)


@pytest.mark.parametrize("value", [42, "text", ["x"], True])
def test_what_a_node_may_not_return_is_shown(value):
    """Promise 14: a string of a node that is no router was ignored by primeGraph."""
    error = cause_of(lambda: value)
    assert isinstance(error, WrongReturn)
    assert repr(value) in str(error)


def test_a_node_may_return_nothing():
    """Promise 14: None and {} are no writes."""
    for value in (None, {}):
        graph = Graph(Doc)
        graph.add_node(lambda value=value: value, name="work")
        assert graph.run_sync() == Doc()


def test_an_unknown_route_is_named_with_the_nearest():
    """Promise 14: langgraph logs a line and ends successfully."""

    async def main():
        for chosen in ("lettr", Send("lettr", 1), ["letter", "lettr"]):
            graph = Graph(Doc)
            graph.add_node(lambda: None, name="read").add_node(lambda: None, name="letter").add_node(
                lambda: None, name="x"
            )
            graph.add_edge(START, "read").add_edge("letter", END).add_edge("x", END)
            graph.add_router_edge("read", lambda chosen=chosen: chosen)
            with pytest.raises(RunFailed, match=r"'read'.*lettr.*Did you mean 'letter'") as caught:
                await graph.start()
            assert isinstance(caught.value.__cause__, UnknownRoute)

    asyncio.run(main())


def test_a_node_that_is_no_declared_route_is_refused():
    """Promise 14: primeGraph accepted it."""

    async def main():
        graph = Graph(Doc)
        for name in ("read", "a", "b"):
            graph.add_node(lambda: None, name=name)
        graph.add_edge(START, "read").add_edge("a", "b").add_edge("b", END)
        graph.add_router_edge("read", lambda: "b", routes=["a"])
        with pytest.raises(RunFailed, match="no node it may lead to"):
            await graph.start()

    asyncio.run(main())


def test_an_edge_to_an_unknown_node_is_named_with_the_nearest():
    """Promise 14."""
    graph = Graph(Doc)
    graph.add_node(lambda: None, name="summarize").add_edge(START, "sumarize").add_edge("summarize", END)
    with pytest.raises(GraphInvalid, match=r"(?s)'sumarize'.*Did you mean 'summarize'"):
        graph.compile()


def test_an_unknown_field_of_the_initial_state_is_refused():
    """Promise 14: primeGraph ignores it."""
    with pytest.raises(ValidationError, match="statsu"):
        Doc(statsu="x")


def test_a_wrong_initial_value_is_refused_before_the_run_is_admitted():
    """Promise 14: even one that pydantic did not check, because it was assigned later."""

    async def main():
        graph = Graph(Doc)
        graph.add_node(lambda: None, name="work")
        state = Doc()
        state.status = 5
        with pytest.raises(WrongType, match="status"):
            await graph.start(state)

    asyncio.run(main())


async def update(graph, run, updates):
    graph.update_state_and_checkpoint(updates)


async def replace(graph, run, updates):
    graph.set_state_and_checkpoint(updates)


EDITS = {
    "edit": lambda graph, run, updates: run.edit(updates),
    "fork": lambda graph, run, updates: run.fork(updates=updates),
    "update": update,
    "set": replace,
}


@pytest.mark.parametrize("verb", EDITS)
def test_an_edit_of_an_unknown_field_or_type_is_refused_and_changes_nothing(store, verb):
    """Promise 14."""

    async def main():
        graph = Graph(Doc, store=store)

        @graph.node
        async def ask(ctx):
            await ctx.ask("go?")

        await graph.execute()
        run = graph.run
        for updates, error in (({"statsu": "x"}, UnknownField), ({"status": 5}, WrongType)):
            with pytest.raises(error, match="sta"):
                await EDITS[verb](graph, run, updates)
        assert [entry.type for entry in await run.history()] == ["run_started", "paused", "run_paused"]
        assert graph.state.status == "new"

    asyncio.run(main())


def waiting(store, *, state=Doc, names=("load", "review"), extra=False):
    """A graph that pauses behind its first node."""
    graph = Graph(state, store=store)

    @graph.node(name=names[0])
    async def first():
        return {"status": "loaded"}

    @graph.node(name=names[1])
    async def second(ctx):
        return {"status": await ctx.ask("go?")}

    graph.add_edge(START, names[0]).add_edge(names[0], names[1])
    if extra:
        graph.add_node(lambda: {"lines": "extra"}, name="extra").add_edge(names[1], "extra").add_edge("extra", END)
    else:
        graph.add_edge(names[1], END)
    return graph


class Renamed(GraphState):
    lines: History[str]
    state_of_it: LastValue[str] = "new"
    steps: Incremental[int] = 0
    kind: LastValue[str | None] = None
    pair: LastValue[tuple[int, str]] = (0, "")


class Retyped(Doc):
    status: LastValue[int] = 0


async def status(run):
    return run.status


LOOKS = {
    "resume": lambda run: run.resume(),
    "answer": lambda run: run.answer("p_1", "yes"),
    "status": status,
    "wait": lambda run: run.wait(),
    "cancel": lambda run: run.cancel(),
}


@pytest.mark.parametrize("verb", LOOKS)
def test_a_node_that_is_gone_from_under_a_waiting_run_is_named_with_the_nearest(store, verb):
    """Promise 14: and the log stays readable."""

    async def main():
        await waiting(store).start(run_id="r").wait()
        before = await store.read("r")
        run = waiting(store, names=("load", "reviews")).open("r")
        assert len(await run.history()) == len(before)
        with pytest.raises(GraphChanged, match=r"'review'.*Did you mean 'reviews'.*code it was started with"):
            await LOOKS[verb](run)
        assert await store.read("r") == before

    asyncio.run(main())


@pytest.mark.parametrize(("state", "name"), [(Renamed, "status"), (Retyped, "loaded|status|int")])
def test_a_field_that_is_gone_or_of_another_type_is_named(store, state, name):
    """Promise 14."""

    async def main():
        await waiting(store).start(run_id="r").wait()
        run = waiting(store, state=state).open("r")
        with pytest.raises(GraphChanged, match=name):
            await run.resume()

    asyncio.run(main())


def routed(store, *, target="review", routed=True, held=False):
    """A router, then a node that asks."""
    graph = Graph(Doc, store=store)
    graph.add_node(lambda: {"status": "loaded"}, name="load").add_edge(START, "load")

    @graph.node(name=target, interrupt="before" if held else None)
    async def second(ctx):
        return {"status": await ctx.ask("go?")}

    if routed:
        graph.add_router_edge("load", lambda: target, routes=[target, END])
    else:
        graph.add_edge("load", target)
    return graph.add_edge(target, END)


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"target": "reviews"}, r"'review'.*Did you mean 'reviews'"),
        ({"routed": False}, r"router|route|chose"),
        ({"held": True}, r"'review'"),
    ],
)
def test_a_choice_or_breakpoint_that_no_longer_fits_names_what_is_wrong_and_not_a_node_that_is_there(
    store, change, culprit
):
    """Promise 14: the culprit is the target that is gone, the router that is gone, the breakpoint that is new."""

    async def main():
        await routed(store).start(run_id="r").wait()
        run = routed(store, **change).open("r")
        with pytest.raises(GraphChanged, match=culprit) as caught:
            await run.resume()
        name = caught.value.name
        assert f"Did you mean {name!r}" not in str(caught.value), "what is there is not missing"

    asyncio.run(main())


def test_what_a_router_changes_in_place_is_an_error_and_not_silently_lost(store):
    """Promise 14: a router chooses; only nodes write."""

    async def main():
        for change in (lambda state: setattr(state, "status", "lost"), lambda state: state.lines.append("lost")):
            graph = Graph(Doc, store=store)

            def route(state, change=change):
                change(state)
                return "b"

            for name in ("a", "b"):
                graph.add_node(lambda: None, name=name)
            graph.add_edge(START, "a").add_router_edge("a", route, routes=["b"]).add_edge("b", END)
            run = graph.start()
            assert await run.wait() == "FAILED"
            assert "router" in str(run.error)

    asyncio.run(main())


def test_a_graph_that_changed_elsewhere_goes_on(store):
    """Promise 14: a node behind the waiting one, a field with a default: the log still fits."""

    class More(Doc):
        added: LastValue[str] = "default"

    async def main():
        await waiting(store).start(run_id="r").wait()
        run = waiting(store, state=More, extra=True).open("r")
        await run.answer(run.pauses[0].id, "yes")
        state = await run
        assert (state.status, state.lines, state.added) == ("yes", ["extra"], "default")

    asyncio.run(main())


def test_the_old_code_goes_on_after_the_new_code_was_refused(store):
    """Promise 14: nothing was lost."""

    async def main():
        await waiting(store).start(run_id="r").wait()
        with pytest.raises(GraphChanged):
            await waiting(store, names=("load", "reviews")).open("r").resume()
        run = waiting(store).open("r")
        await run.answer(run.pauses[0].id, "yes")
        assert (await run).status == "yes"

    asyncio.run(main())
