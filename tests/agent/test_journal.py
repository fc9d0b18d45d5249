"""The journal: what has finished is not done again; what had started is settled as the tool declares.

A death is played by cancelling the driver between two entries; `test_crash.py` kills real processes.
"""

import asyncio
from typing import Any

import pytest
from tests.agent.scenes import check_requests, drawn, entries, results, said, types

from ropewalk import (
    Approve,
    Context,
    Happened,
    Reject,
    RunStatus,
    ScriptedModel,
    ToolCall,
    ToolContext,
    ToolState,
    tool,
)
from ropewalk.errors import AnswerInvalid
from ropewalk.stores.memory import MemoryRunStore


class Bench:
    """A tool of each kind; one call hangs until the process "dies", the next one goes through."""

    def __init__(self, effects: Any, **settings: Any) -> None:
        self.ran: list[str] = []
        self.keys: list[str] = []
        self.hangs = asyncio.Event()
        self.dies = True
        self.store = MemoryRunStore()

        @tool("Work", name="work", effects=effects, **settings)
        async def work(what: str, ctx: ToolContext) -> str:
            self.ran.append(what)
            self.keys.append(ctx.idempotency_key)
            if what == "fatal" and self.dies:
                self.hangs.set()
                await asyncio.Event().wait()
            return f"{what} done"

        self.tool = work

    async def dead(self, *calls: ToolCall) -> str:
        """Let a process die while the fatal call is under way, and everything else has finished."""
        graph = drawn([list(calls), "never"], [self.tool], store=self.store)
        run = graph.start(ToolState(messages=said()))
        await asyncio.wait({asyncio.create_task(self.hangs.wait())})
        while sum(entry.type == "tool_result" for entry in await run.history()) < len(calls) - 1:
            await asyncio.sleep(0.001)
        await run.let_go()
        self.dies = False
        return run.run_id

    def again(self, run_id: str, *script: Any) -> Any:
        """Return the run as the next process finds it."""
        return drawn(ScriptedModel(script), [self.tool], store=self.store).open(run_id)


FATAL = ToolCall("work", {"what": "fatal"}, "call_fatal")
FINE = ToolCall("work", {"what": "fine"}, "call_fine")


@pytest.mark.parametrize("effects", ["none", "idempotent"])
def test_a_call_that_had_started_runs_again_with_the_same_key(effects: Any) -> None:
    async def main() -> None:
        bench = Bench(effects)
        run = bench.again(await bench.dead(FINE, FATAL), "end")
        assert await run.resume() is RunStatus.DONE
        assert bench.ran == ["fine", "fatal", "fatal"]
        fine, first, second = bench.keys
        assert first == second != fine
        assert results(run.state.messages) == [("fine done", False), ("fatal done", False)]

    asyncio.run(main())


async def asked(bench: Bench) -> Any:
    """Return the run, paused because nobody knows what became of the fatal call."""
    run = bench.again(await bench.dead(FINE, FATAL), "end")
    assert await run.resume() is RunStatus.PAUSED
    assert bench.ran == ["fine", "fatal"]
    return run


def test_a_call_that_must_not_happen_twice_is_asked_about() -> None:
    async def main() -> None:
        run = await asked(Bench("once"))
        (pause,) = run.pauses
        assert pause.kind == "approval"
        assert pause.payload == {
            "tool": "work",
            "arguments": {"what": "fatal"},
            "call_id": "call_fatal",
            "when": "before",
            "outcome": "unknown",
        }
        assert run.state.is_paused
        assert run.state.paused_tool_id == "call_fatal"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "ran", "told"),
    [
        (Approve(), 3, ("fatal done", False)),
        (Happened({"id": 7}), 2, ('{"id": 7}', False)),
        ({"happened": True, "result": "it did"}, 2, ("it did", False)),
        (Reject("look yourself"), 2, (None, True)),
    ],
)
def test_a_person_settles_an_unknown_outcome(answer: Any, ran: int, told: tuple[str | None, bool]) -> None:
    async def main() -> None:
        bench = Bench("once")
        run = await asked(bench)
        await run.answer(run.pauses[0].id, answer)
        assert (await run).final_output == "end"
        assert len(bench.ran) == ran
        text, is_error = results(run.state.messages)[1]
        assert is_error is told[1]
        if told[0] is None:
            assert "whether it took effect is not known" in text
            assert "look yourself" in text
        else:
            assert text == told[0]

    asyncio.run(main())


def test_an_unknown_outcome_may_be_settled_by_other_arguments() -> None:
    async def main() -> None:
        bench = Bench("once")
        run = await asked(bench)
        with pytest.raises(AnswerInvalid):
            await run.answer(run.pauses[0].id, Approve({"waht": "other"}))
        await run.answer(run.pauses[0].id, Approve({"what": "other"}))
        await run.wait()
        assert bench.ran == ["fine", "fatal", "other"]
        assert "other done" in results(run.state.messages)[1][0]
        assert "A person changed the arguments" in results(run.state.messages)[1][0]

    asyncio.run(main())


def test_dying_again_asks_again() -> None:
    async def main() -> None:
        bench = Bench("once")
        run = await asked(bench)
        bench.dies, bench.hangs = True, asyncio.Event()
        first = run.pauses[0].id
        await run.answer(first, Approve())
        await asyncio.wait({asyncio.create_task(bench.hangs.wait())})
        await run.let_go()
        bench.dies = False
        other = bench.again(run.run_id, "end")
        assert await other.resume() is RunStatus.PAUSED
        assert other.pauses[0].id != first
        await other.answer(other.pauses[0].id, Happened("done"))
        assert (await other).final_output == "end"
        assert bench.ran == ["fine", "fatal", "fatal"]

    asyncio.run(main())


def test_an_approved_call_that_died_is_asked_about_with_the_arguments_it_had() -> None:
    async def main() -> None:
        bench = Bench(None, pause_before_execution=True)
        graph = drawn([[ToolCall("work", {"what": "proposed"}, "c")], "never"], [bench.tool], store=bench.store)
        run = graph.start(ToolState(messages=said()))
        await run.wait()
        await run.answer(run.pauses[0].id, Approve({"what": "fatal"}))
        await asyncio.wait({asyncio.create_task(bench.hangs.wait())})
        await run.let_go()
        bench.dies = False
        other = bench.again(run.run_id, "end")
        assert await other.resume() is RunStatus.PAUSED
        assert other.pauses[0].payload["arguments"] == {"what": "fatal"}
        await other.answer(other.pauses[0].id, Approve())
        await other.wait()
        assert bench.ran == ["fatal", "fatal"]
        assert other.state.tool_calls[0].arguments == {"what": "fatal"}

    asyncio.run(main())


def test_a_timeout_of_a_call_that_must_not_happen_twice_is_an_unknown_outcome() -> None:
    async def main() -> None:
        bench = Bench("once", timeout=0.05)
        graph = drawn([[FATAL], "end"], [bench.tool], store=bench.store)
        run = graph.start(ToolState(messages=said()))
        assert await run.wait() is RunStatus.PAUSED
        assert run.pauses[0].payload["outcome"] == "unknown"
        await run.answer(run.pauses[0].id, Happened("seen in the books"))
        assert results((await run).messages) == [("seen in the books", False)]
        assert bench.ran == ["fatal"]

    asyncio.run(main())


def test_a_call_that_must_not_happen_twice_and_raises_has_ended() -> None:
    ran: list[int] = []

    @tool("Raise", effects="once")
    async def raises() -> None:
        ran.append(1)
        raise OSError("no line")

    async def main() -> None:
        store = MemoryRunStore()
        graph = drawn([[ToolCall("raises")], RuntimeError("the model is gone"), "end"], [raises], store=store)
        run = graph.start(ToolState(messages=said()))
        assert await run.wait() is RunStatus.FAILED
        assert await run.resume() is RunStatus.DONE
        assert ran == [1]
        assert results(run.state.messages) == [("raises failed. OSError: no line", True)]

    asyncio.run(main())


def test_a_death_between_two_model_calls_asks_no_model_twice() -> None:
    async def main() -> None:
        store = MemoryRunStore()
        hangs = asyncio.Event()

        async def hang(_: Any) -> str:
            hangs.set()
            await asyncio.Event().wait()
            return "never"

        bench = Bench("once")
        bench.dies = False
        first = ScriptedModel([[FINE], [FATAL], hang])
        graph = drawn(first, [bench.tool], store=store)
        run = graph.start(ToolState(messages=said()))
        await asyncio.wait({asyncio.create_task(hangs.wait())})
        await run.let_go()
        second = ScriptedModel(["end"])
        other = drawn(second, [bench.tool], store=store).open(run.run_id)
        assert await other.resume() is RunStatus.DONE
        assert bench.ran == ["fine", "fatal"]
        assert len(second.requests) == 1
        assert second.requests[0].messages == first.requests[2].messages
        assert second.requests[0].idempotency_key == first.requests[2].idempotency_key
        check_requests(second)
        assert [log.tool_name for log in other.state.tool_calls] == ["work", "work"]

    asyncio.run(main())


def test_a_refused_call_stays_refused_when_the_tool_comes_to_be() -> None:
    """What the model was told is what happened: a later program must not run what an earlier one refused."""

    async def main() -> None:
        store = MemoryRunStore()
        bench = Bench("once")
        bench.dies = False
        graph = drawn([[FINE], RuntimeError("gone")], [], store=store)
        run = graph.start(ToolState(messages=said()))
        assert await run.wait() is RunStatus.FAILED
        other = drawn(["end"], [bench.tool], store=store).open(run.run_id)
        assert await other.resume() is RunStatus.DONE
        assert not bench.ran
        assert "There is no tool 'work'" in results(other.state.messages)[0][0]

    asyncio.run(main())


def test_what_tools_did_to_the_state_survives_a_death() -> None:
    class Shop(ToolState):
        bought: list[str] = []
        spent: int = 0
        prices: dict[str, int] = {}

    @tool("Buy")
    async def buy(what: str, price: int, state: Any = None) -> str:
        assert state.spent == 0  # each call of a round sees what was there before the round
        state.bought.append(what)
        state.prices[what] = price
        state.spent += price
        return what

    async def main() -> None:
        store = MemoryRunStore()
        calls = [ToolCall("buy", {"what": "rope", "price": 3}), ToolCall("buy", {"what": "tar", "price": 4})]
        graph = drawn([calls, RuntimeError("gone")], [buy], state_class=Shop, store=store)
        run = graph.start(Shop(messages=said()))
        assert await run.wait() is RunStatus.FAILED
        assert run.state.bought == ["rope", "tar"]
        other = drawn(["end"], [buy], state_class=Shop, store=store).open(run.run_id)
        assert await other.resume() is RunStatus.DONE
        assert other.state.bought == ["rope", "tar"]
        assert other.state.prices == {"rope": 3, "tar": 4}
        assert other.state.spent == 4  # a plain value: the last call wins; an Incremental would be 7

    asyncio.run(main())


def test_two_tools_that_write_to_one_field_are_merged_by_its_buffer() -> None:
    from ropewalk import History, Incremental

    class Shop(ToolState):
        bought: History[str]
        spent: Incremental[int] = 0

    @tool("Buy")
    async def buy(what: str, price: int, state: Any = None) -> str:
        state.bought.append(what)
        state.spent += price
        return what

    async def main() -> None:
        calls = [ToolCall("buy", {"what": "rope", "price": 3}), ToolCall("buy", {"what": "tar", "price": 4})]
        run = drawn([calls, [calls[0]], "end"], [buy], state_class=Shop).start(Shop(messages=said(), bought=["old"]))
        state = await run
        assert state.bought == ["old", "rope", "tar", "rope"]
        assert state.spent == 10

    asyncio.run(main())


def test_what_a_tool_wrote_before_it_failed_does_not_count() -> None:
    class Shop(ToolState):
        bought: list[str] = []

    @tool("Buy")
    async def buy(state: Any = None) -> str:
        state.bought.append("half")
        raise ValueError("sold out")

    async def main() -> None:
        run = drawn([[ToolCall("buy")], "end"], [buy], state_class=Shop).start(Shop(messages=said()))
        assert (await run).bought == []

    asyncio.run(main())


def test_a_wrong_write_of_a_tool_is_told_to_the_model() -> None:
    class Shop(ToolState):
        spent: int = 0

    @tool("Spend")
    async def spend(state: Any = None) -> None:
        state.spent = "much"

    @tool("Spend")
    async def mistype(state: Any = None) -> None:
        state.spnet = 1

    @tool("Forget")
    async def forget(state: Any = None) -> None:
        state.messages = []

    async def main() -> None:
        calls = [ToolCall("spend"), ToolCall("mistype"), ToolCall("forget")]
        graph = drawn([calls, "end"], [spend, mistype, forget], state_class=Shop)
        run = graph.start(Shop(messages=said()))
        told = results((await run).messages)
        assert "'spent', which takes int" in told[0][0]
        assert "Did you mean 'spent'" in told[1][0]
        assert "it replaced what was said before" in told[2][0]
        assert all(is_error for _, is_error in told)

    asyncio.run(main())


def test_a_tool_sees_the_conversation_and_may_add_to_it() -> None:
    from ropewalk import LLMMessage

    seen: list[int] = []

    @tool("Remark")
    async def remark(state: Any = None) -> str:
        seen.append(len(state.messages))
        state.messages.append(LLMMessage(role="user", content="By the way: it rains."))
        return "noted"

    async def main() -> None:
        model = ScriptedModel([[ToolCall("remark"), ToolCall("remark")], "end"])
        run = drawn(model, [remark]).start(ToolState(messages=said()))
        state = await run
        assert [message.role for message in state.messages] == [
            "user",
            "assistant",
            "tool",
            "tool",
            "user",
            "user",
            "assistant",
        ]
        assert seen == [2, 2]
        check_requests(model)

    asyncio.run(main())


def test_every_stage_of_a_call_is_an_entry() -> None:
    async def main() -> None:
        bench = Bench("once", pause_before_execution=True, pause_after_execution=True)
        bench.dies = False
        run = drawn([[FINE], "end"], [bench.tool]).start(ToolState(messages=said()))
        await run.wait()
        await run.answer(run.pauses[0].id, Approve(), by="Ann")
        await run.wait()
        await run.answer(run.pauses[0].id, Approve(), by="Bob")
        await run.wait()
        assert await types(run) == [
            "run_started",
            "model_replied",
            "paused",
            "run_paused",
            "answered",
            "tool_call",
            "tool_result",
            "paused",
            "run_paused",
            "answered",
            "model_replied",
            "step_finished",
            "run_done",
        ]
        (begun,) = await entries(run, "tool_call")
        approved = next(entry.data for entry in await run.history() if entry.type == "answered")
        assert approved["value"]["hash"] == begun["hash"]
        assert approved["by"] == "Ann"
        (ended,) = await entries(run, "tool_result")
        assert (ended["call_id"], ended["status"], ended["result"]) == ("call_fine", "ok", "fine done")

    asyncio.run(main())


def test_the_key_of_a_call_is_its_own() -> None:
    keys: list[str] = []

    @tool("Keep")
    async def keep(ctx: Context) -> None:
        keys.append(ctx.idempotency_key)

    async def main() -> None:
        run = drawn([[ToolCall("keep"), ToolCall("keep")], [ToolCall("keep")], "end"], [keep]).start(
            ToolState(messages=said())
        )
        await run
        assert len(set(keys)) == 3
        assert all(key.startswith(run.run_id) for key in keys)

    asyncio.run(main())
