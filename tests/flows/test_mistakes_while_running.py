"""What a newcomer gets wrong in functions is told with who did it and what to write."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest

from ropewalk import END, START, Context, Graph, GraphState, Incremental, Run
from ropewalk.contracts import NewRun
from ropewalk.errors import GraphInvalid, InvalidId, NotAwaited, NotStorable, RunFailed, RunNotFound, UnknownField
from ropewalk.stores.memory import MemoryRunStore


class Sheet(GraphState):
    word: str = ""
    counts: Incremental[int | str] = 0


def failed(graph: Graph[Any], **settings: Any) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        graph.run_sync(**settings)
    return caught.value


def test_a_question_that_was_not_awaited_is_not_taken_for_a_yes() -> None:
    async def approve(ctx: Context) -> dict[str, str]:
        return {"word": "yes" if ctx.ask("?") else "no"}

    error = failed(Graph(Sheet).add_node(approve))
    assert isinstance(error.__cause__, NotAwaited)
    assert "await ctx.ask(...)" in str(error)


def test_a_step_that_was_not_awaited_and_one_in_a_plain_function_are_told() -> None:
    async def work() -> str:
        return "done"

    async def forgets(ctx: Context) -> dict[str, Any]:
        return {"word": ctx.step("work", work)}

    def plain(ctx: Context) -> dict[str, Any]:
        return {"word": ctx.ask("?")}

    assert "await ctx.step(...)" in str(failed(Graph(Sheet).add_node(forgets)))
    assert "await ctx.ask(...)`, in an `async def`" in str(failed(Graph(Sheet).add_node(plain)))


def test_steps_that_are_awaited_later_are_not_forgotten() -> None:
    async def work(text: str) -> str:
        return text

    async def both(ctx: Context) -> dict[str, str]:
        calls = [ctx.step("work", work, text) for text in "ab"]
        return {"word": "".join(await asyncio.gather(*calls))}

    assert Graph(Sheet).add_node(both).run_sync().word == "ab"


def test_a_router_is_named_as_the_one_that_returned_nothing() -> None:
    graph = Graph(Sheet).add_node(lambda: None, name="a").add_edge(START, "a")
    graph.add_router_edge("a", lambda s: {"x": END}.get(s.word))
    assert "The router after 'a' returned None" in str(failed(graph))


def test_the_function_of_a_map_edge_is_named_as_the_one_that_returned_nothing() -> None:
    nothing: Any = lambda s: None  # noqa: E731
    graph = Graph(Sheet).add_node(lambda item: None, name="each").add_map_edge(START, "each", END, over=nothing)
    assert "The over= function of the map edge after 'START' returned None" in str(failed(graph))


@pytest.mark.parametrize("items", [{"b": 1, "a": 2}, {"b", "a"}, frozenset("ba")])
def test_a_dict_or_a_set_is_no_list_of_items(items: Any) -> None:
    """Promise 6: a set of texts has another order in each process, and of a dict only the keys would be taken."""
    graph = Graph(Sheet).add_node(lambda item: None, name="each").add_map_edge(START, "each", END, over=lambda: items)
    error = failed(graph)
    assert error.reason == "wrong_return"
    assert "The over= function of the map edge after 'START' returned" in str(error)
    assert "sorted(...)" in str(error)


def test_the_items_of_a_dict_are_a_list_of_items() -> None:
    seen: list[Any] = []

    async def each(item: int) -> None:
        seen.append(item)

    graph = Graph(Sheet).add_node(each).add_map_edge(START, "each", END, over={"b": 1, "a": 2}.values)
    graph.run_sync()
    assert seen == [1, 2]


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda run: run.cancel(5), "reason is text, or None; not 5"),
        (lambda run: run.fork(at="3"), "at is the number of an entry, or None; not '3'"),
        (lambda run: run.fork(at=1.5), r"at is the number of an entry, or None; not 1\.5"),
        (lambda run: run.fork(at=True), "at is the number of an entry, or None; not True"),
        (lambda run: run.fork(updates=5), "updates is a dict of fields and values; not 5"),
        (lambda run: run.edit(5), "updates is a dict of fields and values; not 5"),
        (lambda run: run.edit({"word": "x"}, by=5), "by is text, or None; not 5"),
        (lambda run: run.answer(run.pauses[0], "yes", by=5), "by is text, or None; not 5"),
    ],
)
def test_what_a_run_cannot_take_is_refused_and_the_run_is_as_it_was(act: Any, told: str) -> None:
    async def main() -> None:
        async def ask(ctx: Context) -> dict[str, Any]:
            return {"word": await ctx.ask("?")}

        run = Graph(Sheet).add_node(ask).start()
        assert await run.wait() == "PAUSED"
        with pytest.raises(TypeError, match=told):
            await act(run)
        assert run.status == "PAUSED"

    asyncio.run(main())


@pytest.mark.parametrize("updates", [5, None, [("word", "x")]])
@pytest.mark.parametrize("method", ["update_state_and_checkpoint", "set_state_and_checkpoint"])
def test_a_state_is_updated_by_a_dict(method: str, updates: Any) -> None:
    graph = Graph(Sheet).add_node(lambda: None, name="a")
    for _ in range(2):  # without a run, and with one
        with pytest.raises(TypeError, match="updates is a dict of fields and values; not "):
            getattr(graph, method)(updates)
        asyncio.run(graph.execute())


@pytest.mark.parametrize("run_id", [5, None, b"r"])
def test_what_is_no_text_is_no_run_id(run_id: Any) -> None:
    graph = Graph(Sheet, store="memory:").add_node(lambda: None, name="a")
    for opening in (graph.open, graph.load_from_checkpoint):
        with pytest.raises(InvalidId, match=f"^{re.escape(repr(run_id))} cannot be a run id, which is text"):
            opening(run_id)


def test_what_cannot_be_stored_is_told_in_a_sentence_that_fits() -> None:
    moment: Any = {"word": "half a letter: \ud800"}
    graph = Graph(Sheet).add_node(lambda: moment, name="work")
    error = failed(graph)
    assert "What node 'work' writes to 'word' cannot be stored: " in str(error)
    assert "surrogate" in str(error)
    assert "Mend the text" in str(error)
    assert "precise type" not in str(error)
    with pytest.raises(NotStorable, match="What the initial Sheet writes to 'word' cannot be stored"):
        graph.run_sync(Sheet.model_construct(word="\ud800", counts=0))


def test_a_fork_is_told_what_it_may_write() -> None:
    async def main() -> None:
        run = Graph(Sheet).add_node(lambda: None, name="a").start()
        await run
        with pytest.raises(UnknownField, match=r"^The fork writes 'wrod'"):
            await run.fork(updates={"wrod": "x"})

    asyncio.run(main())


def test_to_resume_before_there_is_a_run_says_how_to_have_one() -> None:
    graph = Graph(Sheet, name="sheet").add_node(lambda: None, name="a")
    with pytest.raises(RunNotFound, match=r"^Graph 'sheet' has no run yet.*execute.*load_from_checkpoint"):
        asyncio.run(graph.resume())


def test_the_word_end_is_told_from_the_constant() -> None:
    graph = Graph(Sheet).add_node(lambda: None, name="a").add_edge(START, "a")
    with pytest.raises(GraphInvalid, match="END is a constant, not a text: from ropewalk import END"):
        graph.add_edge("a", "END").compile()
    graph = Graph(Sheet).add_node(lambda: None, name="a").add_edge(START, "a").add_router_edge("a", lambda s: "END")
    assert "END is a constant" in str(failed(graph))


def test_what_nobody_fills_in_functions_on_edges_is_found_when_compiling() -> None:
    two: Any = lambda s, config: END  # noqa: E731
    graph = Graph(Sheet).add_node(lambda: None, name="a").add_edge(START, "a").add_router_edge("a", two)
    graph.add_map_edge("a", "a", END, over=two)
    with pytest.raises(GraphInvalid) as caught:
        graph.compile()
    messages = [problem.message for problem in caught.value.problems]
    assert "The router after 'a' takes 'config', which nobody fills." in messages
    assert "The over= function of the map edge after 'a' takes 'config', which nobody fills." in messages


def test_a_sum_of_what_cannot_be_added_fails_the_step_and_not_the_engine() -> None:
    graph = Graph(Sheet, store="memory:").add_node(lambda: {"counts": {"a": 1}}, name="a")
    assert failed(graph, run_id="sum").node == "a"
    assert graph.open("sum").status == "FAILED"


def test_a_pause_is_answered_by_itself_too() -> None:
    async def main() -> None:
        async def approve(ctx: Context) -> dict[str, str]:
            return {"word": await ctx.ask("?")}

        run: Run[Sheet] = Graph(Sheet).add_node(approve).start()
        await run.wait()
        await run.answer(run.pauses[0], "fine")
        assert (await run).word == "fine"

    asyncio.run(main())


def test_a_run_that_is_being_admitted_has_a_status_and_a_picture() -> None:
    gate = asyncio.Event()

    class Slow(MemoryRunStore):
        async def create(self, run: NewRun, bodies: Sequence[bytes]) -> int:
            await gate.wait()
            return await super().create(run, bodies)

    async def main() -> None:
        run: Run[Sheet] = Graph(Sheet, store=Slow()).add_node(lambda: None, name="a").start()
        for _ in range(3):
            assert run.status == "IDLE"
            assert "image/svg+xml" in run._repr_mimebundle_()
            await asyncio.sleep(0)
        gate.set()
        await run
        assert run.status == "DONE"

    asyncio.run(main())
