"""What the drawn tests have found, each as the smallest run that showed it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from tests.properties.virtual import VirtualLoop, on

from ropewalk import END, START, Context, Graph, GraphState, History, LastValue, Retry, RunStatus
from ropewalk.errors import AlreadyAnswered, RunFinished, RunTaken, StoreUnavailable
from ropewalk.stores.memory import MemoryRunStore
from ropewalk.testing import Fault, FaultyRunStore, scripted_faults


class Notes(GraphState):
    log: History[str]
    x: LastValue[int] = 0


class SlowStore(MemoryRunStore):
    """Takes its time for each append: what is folded is not durable yet."""

    seconds = 5.0

    async def append(self, *args: Any, **given: Any) -> None:
        await asyncio.sleep(self.seconds)
        await super().append(*args, **given)

    async def claim(self, run_id: str) -> Any:
        record = await super().claim(run_id)
        await asyncio.sleep(self.seconds)
        return record


def node(name: str, seconds: float = 0.0) -> Callable[..., Any]:
    async def fn(state: Notes) -> dict[str, Any]:
        await asyncio.sleep(seconds)
        return {"log": f"{name}:{state.x}"}

    fn.__name__ = name
    return fn


def asks(name: str, *questions: str) -> Callable[..., Any]:
    async def fn(state: Notes, ctx: Context) -> dict[str, Any]:
        async with asyncio.TaskGroup() as group:
            for question in questions:
                group.create_task(ctx.ask(question, name=question))
        return {"log": name}

    fn.__name__ = name
    return fn


def chain(graph: Graph[Any], *names: str) -> Graph[Any]:
    for one, other in zip((START, *names), (*names, END), strict=True):
        graph.add_edge(one, other)
    return graph


def lived(life: Callable[[type[Graph[Any]]], Awaitable[Any]], seed: int = 0) -> Any:
    loop = VirtualLoop(seed)
    return loop.live(life(on(loop)))


def kinds(history: list[Any]) -> list[str]:
    return [entry.type for entry in history]


@pytest.mark.parametrize("slow", ["a", "b"])
def test_branches_that_end_by_an_empty_choice_merge_in_declared_order(slow: str) -> None:
    """Promise 6. Found: tokens that reach END without an edge were merged in the order in which they came."""

    async def life(kind: type[Graph[Any]]) -> list[str]:
        graph = kind(Notes)
        for name in "ab":
            graph.add_node(node(name, 9.0 if name == slow else 0.0)).add_edge(START, name)
            graph.add_router_edge(name, lambda state: [], [END])
        return (await graph.start()).log

    assert lived(life) == ["a:0", "b:0"]


def test_the_state_of_a_running_run_holds_what_a_subgraph_has_finished() -> None:
    """DESIGN 3.6: graph.state shows the union of all committed. Found: steps inside a subgraph under way were
    missing.
    """

    async def life(kind: type[Graph[Any]]) -> list[str]:
        graph, inner = kind(Notes), kind(Notes)
        for name, seconds in (("a", 0.0), ("b", 0.0), ("c", 9.0)):
            inner.add_node(node(name, seconds))
        chain(inner, "a", "b", "c")
        graph.add_node(node("before"))
        graph.subgraph("sub")(lambda: inner)
        run = chain(graph, "before", "sub").start()
        await asyncio.sleep(5)
        state = run.state
        await run
        return state.log

    assert lived(life) == ["before:0", "a:0", "b:0"]


def test_a_retry_that_waits_survives_a_breakpoint() -> None:
    """Promise 12. Found: PAUSED without a pause for ever; the timer was dropped and the step with it."""

    async def life(kind: type[Graph[Any]]) -> tuple[RunStatus, list[str]]:
        graph, tries = kind(Notes), iter((ValueError("once"),))

        async def flaky(state: Notes) -> dict[str, Any]:
            for error in tries:
                raise error
            return {"log": "flaky"}

        graph.add_node(flaky, retry=Retry(2, backoff=60)).add_node(node("a", 1)).add_node(node("b"), interrupt="before")
        chain(graph, "flaky")
        run = chain(graph, "a", "b").start()
        assert await run.wait() is RunStatus.PAUSED
        return await run.resume(), sorted(run.state.log)

    assert lived(life) == (RunStatus.DONE, ["a:0", "b:0", "flaky"])


def test_steps_that_had_no_turn_yet_wait_quietly_while_the_run_is_blocked() -> None:
    """Promise 7. Found: with a failure and a sibling in flight, the queue was staffed anew in every turn."""

    async def life(kind: type[Graph[Any]]) -> RunStatus:
        graph = kind(Notes)

        async def fails(state: Notes) -> None:
            raise ValueError("no")

        graph.add_node(fails)
        chain(graph, "fails")
        for number in range(20):
            graph.add_node(node(f"n{number}", 9.0))
            chain(graph, f"n{number}")
        return await graph.start().wait()

    assert lived(life) is RunStatus.FAILED


def test_a_step_is_not_started_by_an_answer_that_is_not_durable() -> None:
    """House rule: write it down, then do it. Found: a step ran on an answer whose append was still under way and then
    failed.
    """

    async def life(kind: type[Graph[Any]]) -> list[bool]:
        graph, seen, tries = kind(Notes, store=SlowStore()), [], iter((ValueError("once"),))

        async def flaky(state: Notes) -> None:
            for error in tries:
                raise error

        async def asking(ctx: Context) -> None:
            await ctx.ask("?")
            seen.append("answered" in kinds(await run.history()))

        graph.add_node(asking).add_node(flaky, retry=Retry(2, backoff=20, jitter=0)).add_node(node("other", 100.0))
        for name in ("asking", "flaky", "other"):
            chain(graph, name)
        run = graph.start()
        await asyncio.sleep(17)  # the retry is due at 20, while the answer's append is under way
        (pause,) = run.pauses
        await run.answer(pause.id, "yes")
        await run.wait()
        return seen

    assert lived(life) == [True]


def test_a_step_with_two_questions_runs_once_when_both_are_answered_at_a_breakpoint() -> None:
    """Promise 3. Found: two answers while a breakpoint held the run made the step ready twice; it ran twice at a
    time.
    """

    async def life(kind: type[Graph[Any]]) -> tuple[list[str], int]:
        graph, ran = kind(Notes, store=MemoryRunStore()), []

        async def asking(state: Notes, ctx: Context) -> dict[str, Any]:
            async with asyncio.TaskGroup() as group:
                group.create_task(ctx.ask(1, name="one"))
                group.create_task(ctx.ask(2, name="two"))
            ran.append(ctx.attempt)
            await asyncio.sleep(1)
            return {"log": "asking"}

        graph.add_node(asking).add_node(node("a", 1.0)).add_node(node("held"), interrupt="before")
        chain(graph, "asking")
        run = chain(graph, "a", "held").start()
        assert await run.wait() is RunStatus.PAUSED
        for pause in run.pauses:
            if pause.kind == "question":
                await run.answer(pause.id, "yes")
                await run.wait()
        assert await run.resume() is RunStatus.DONE
        return sorted(run.state.log), len(ran)

    assert lived(life) == (["a:0", "asking", "held:0"], 1)


def test_nothing_follows_the_end_of_a_run() -> None:
    """Promise 11. Found: cancel() and edit() that waited for a commit were written behind run_done, and changed the
    status.
    """

    async def life(kind: type[Graph[Any]]) -> list[str]:
        graph = kind(Notes, store=SlowStore())
        run = chain(graph.add_node(node("a", 1.0)), "a").start()
        await run.admitted()
        told = await asyncio.gather(
            run.edit({"x": 1}), later(2, run.cancel), later(3, lambda: run.edit({"x": 2})), return_exceptions=True
        )
        assert told[0] is None
        assert isinstance(told[1], RunFinished)
        assert isinstance(told[2], RunFinished)
        assert await run.wait() is RunStatus.DONE
        return kinds(await run.history())

    assert lived(life) == ["run_started", "state_edited", "step_finished", "run_done"]


async def later(seconds: float, call: Callable[[], Awaitable[Any]]) -> Any:
    await asyncio.sleep(seconds)
    return await call()


def test_nothing_is_recorded_behind_a_cancellation() -> None:
    """Promise 11: late writes are discarded. Found: a ctx.step that waited for cancel()'s commit was written behind
    it.
    """

    async def life(kind: type[Graph[Any]]) -> list[str]:
        graph = kind(Notes, store=SlowStore())

        async def effect() -> int:
            return 1

        async def records(ctx: Context) -> None:
            await asyncio.sleep(3)
            await ctx.step("late", effect)

        run = chain(graph.add_node(records), "records").start()
        await run.admitted()
        await asyncio.gather(run.edit({"x": 1}), later(2, run.cancel))
        await asyncio.sleep(100)
        return kinds(await run.history())

    assert lived(life)[-1] == "run_cancelled"


def test_wait_tells_of_an_end_only_when_it_is_durable() -> None:
    """Promise 11: durable on acknowledgement. Found: wait() said CANCELLED while the append was under way, and it
    failed.
    """

    async def life(kind: type[Graph[Any]]) -> tuple[Any, str]:
        store = SlowStore()
        graph = kind(Notes, store=store)
        run = (
            chain(graph.add_node(node("a", 2.0)).add_node(node("b", 50.0)), "a")
            .add_edge(START, "b")
            .add_edge("b", END)
            .start()
        )
        await run.admitted()
        cancelling = asyncio.create_task(run.cancel())
        status = await run.wait()
        entries = kinds(await run.history())
        await cancelling
        return status, entries[-1]

    assert lived(life) == (RunStatus.CANCELLED, "run_cancelled")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("timeout", [None, 500.0])
def test_a_cancelled_node_may_clean_up_in_peace(timeout: float | None, seed: int) -> None:
    """Promise 11: cleanup runs, nothing leaks. Found: each task in flight was cancelled twice, the second time in its
    cleanup.
    """

    async def life(kind: type[Graph[Any]]) -> list[str]:
        graph, told = kind(Notes), []

        async def tidy(state: Notes) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                try:
                    await asyncio.sleep(1)
                    told.append("clean")
                except asyncio.CancelledError:
                    told.append("cut off")

        graph.add_node(tidy, timeout=timeout).add_node(node("b", 100.0))
        chain(graph, "tidy")
        run = chain(graph, "b").start()
        await asyncio.sleep(5)
        await run.cancel()
        return told

    assert lived(life, seed) == ["clean"]


def test_two_calls_on_one_opened_run_take_it_over_once() -> None:
    """Promises 5 and 9. Found: each of two answers on a run that was just opened claimed it, so one of them got
    RunTaken.
    """
    store = SlowStore()

    def made(kind: type[Graph[Any]]) -> Graph[Any]:
        return chain(kind(Notes, store=store).add_node(asks("a", "left", "right")), "a")

    async def starts(kind: type[Graph[Any]]) -> None:
        run = made(kind).start(run_id="r")
        assert await run.wait() is RunStatus.PAUSED

    async def answers(kind: type[Graph[Any]]) -> list[Any]:
        run = made(kind).open("r")
        told = await asyncio.gather(*(run.answer(pause.id, "yes") for pause in run.pauses), return_exceptions=True)
        assert await run.wait() is RunStatus.DONE
        return told

    lived(starts)
    assert lived(answers) == [None, None]


def test_a_lone_step_is_stopped_when_the_run_is_taken() -> None:
    """Promise 5: the other gets RunTaken and stops. Found: a step that ran alone went on to its end."""
    store = MemoryRunStore()

    async def life(kind: type[Graph[Any]]) -> float:
        ended: list[float] = []
        loop = asyncio.get_running_loop()

        def made() -> Graph[Any]:
            async def long(ctx: Context) -> None:
                try:
                    await asyncio.sleep(1000)
                finally:
                    ended.append(loop.time())

            return chain(kind(Notes, store=store).add_node(long), "long")

        run = made().start(run_id="r")
        await asyncio.sleep(6)
        other = asyncio.create_task(made().open("r").resume())
        await asyncio.sleep(3)
        with pytest.raises(RunTaken):
            await run.edit({"x": 1})
        await asyncio.sleep(10)
        other.cancel()
        return ended[0] if ended else 1000.0

    assert lived(life) < 50


def test_a_cleanup_is_not_cut_off_when_its_run_is_found_lost_again() -> None:
    """Promise 11. Found: what the cleanup itself wrote was refused, and cancelled it a second time."""
    store = MemoryRunStore()

    async def life(kind: type[Graph[Any]]) -> list[str]:
        told: list[str] = []

        def made() -> Graph[Any]:
            async def long(ctx: Context) -> None:
                try:
                    await asyncio.sleep(1000)
                finally:
                    with suppress(Exception):
                        await ctx.step("late", lambda: 1)
                    await asyncio.sleep(1)
                    told.append("whole")

            return chain(kind(Notes, store=store).add_node(long), "long")

        run = made().start(run_id="r")
        await asyncio.sleep(6)
        other = asyncio.create_task(made().open("r").resume())
        with pytest.raises(RunTaken):
            await run
        other.cancel()
        return told

    assert lived(life) == ["whole"]


def test_a_reader_sees_an_entry_whose_acknowledgement_was_lost() -> None:
    """Promise 13. Found: the entry that a failed append had written all the same was missing between its neighbours."""

    async def life(kind: type[Graph[Any]]) -> list[str]:
        faults = scripted_faults([Fault.NONE, Fault.AFTER])
        graph = kind(Notes, store=FaultyRunStore(MemoryRunStore(), faults))
        run = chain(graph.add_node(node("a")).add_node(node("b")), "a", "b").start()
        seen: list[str] = []

        async def read() -> None:
            while "run_done" not in seen:
                try:
                    async for event in run.events(after=len(seen)):
                        if "." not in event.id:
                            seen.append(event.type)
                except StoreUnavailable:
                    await asyncio.sleep(1)

        reader = asyncio.create_task(read())
        with pytest.raises(StoreUnavailable):
            await run.wait()
        await asyncio.sleep(5)
        await run.resume()
        await reader
        assert seen == kinds(await run.history())
        return seen

    assert lived(life).count("step_finished") == 2


def test_a_sequence_sees_an_edit_made_between_its_instances() -> None:
    """DESIGN: edits are seen by steps that start later. Found: a sequence went on with what its first instance had."""

    async def life(kind: type[Graph[Any]]) -> list[str]:
        graph = kind(Notes)
        graph.add_node(node("w", 10.0)).add_repeating_edge(START, "w", END, 2)
        run = graph.start()
        await asyncio.sleep(5)
        await run.edit({"x": 7})
        return (await run).log

    assert lived(life) == ["w:0", "w:7"]


def test_more_iterations_given_to_resume_are_in_the_log() -> None:
    """Section 1: everything is a reading of the log. Found: another process could not fold a run resumed with more
    iterations.
    """
    store = MemoryRunStore()

    def made(kind: type[Graph[Any]]) -> Graph[Any]:
        graph = kind(Notes, store=store, max_node_iterations=3)
        graph.add_node(node("a")).add_node(node("held"), interrupt="before")
        graph.add_edge(START, "a").add_router_edge(
            "a", lambda state: "a" if len(state.log) < 6 else "held", ["a", "held"]
        )
        return graph.add_edge("held", END)

    async def first(kind: type[Graph[Any]]) -> None:
        graph = made(kind)
        with pytest.raises(RuntimeError, match="max_node_iterations"):
            await graph.execute(chain_id="r")
        await graph.resume(max_node_iterations=50)
        assert graph.chain_status is RunStatus.PAUSED

    async def second(kind: type[Graph[Any]]) -> RunStatus:
        return await made(kind).open("r").resume()

    lived(first)
    assert lived(second) is RunStatus.DONE


def test_of_two_answers_at_once_one_is_told_who_was_first() -> None:
    """Promise 9. Found: the second one was a KeyError that took the engine with it."""

    async def life(kind: type[Graph[Any]]) -> list[Any]:
        run = chain(kind(Notes, store=MemoryRunStore()).add_node(asks("a", "one")), "a").start()
        await run.wait()
        (pause,) = run.pauses
        told = await asyncio.gather(*(run.answer(pause.id, 1, by=by) for by in "xy"), return_exceptions=True)
        assert await run.wait() is RunStatus.DONE
        return [type(one) for one in told if one is not None]

    assert lived(life) == [AlreadyAnswered]


def test_a_step_that_a_run_timeout_cut_off_is_told_that_it_runs_again() -> None:
    """Promise 4: a higher attempt. Found: resume() after a run_timeout called it a second time with attempt 1."""

    async def life(kind: type[Graph[Any]]) -> list[int]:
        graph, attempts = kind(Notes, execution_timeout=10), []

        async def slow(ctx: Context) -> None:
            attempts.append(ctx.attempt)
            await asyncio.sleep(100 if len(attempts) == 1 else 1)

        run = chain(graph.add_node(slow), "slow").start()
        assert await run.wait() is RunStatus.FAILED
        assert await run.resume() is RunStatus.DONE
        return attempts

    assert lived(life) == [1, 2]
