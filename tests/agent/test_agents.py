"""Several agents: one asked as a tool, one that the conversation is handed to; all of it in one log."""

import asyncio
from typing import Any

from pydantic import BaseModel
from tests.agent.scenes import check_requests, drawn, results, said, started, types

from ropewalk import Agent, Approve, RunStatus, ScriptedModel, ScriptedReply, ToolCall, ToolState, Usage, tool
from ropewalk.errors import RunFailed
from ropewalk.stores.memory import MemoryRunStore

ran: list[str] = []


@tool("Look", effects="once")
async def look(what: str, state: Any = None) -> str:
    ran.append(what)
    if hasattr(state, "seen"):
        state.seen.append(what)
    return f"{what} seen"


@tool("Publish", pause_before_execution=True)
async def publish(text: str) -> str:
    ran.append(f"publish {text}")
    return "published"


class Seen(ToolState):
    seen: list[str] = []


def researcher(script: Any, **more: Any) -> Agent:
    model = script if hasattr(script, "answer") else ScriptedModel(script)
    return Agent(name="Researcher", description="Finds things.", model=model, tools=[look, publish], **more)


def test_an_agent_is_asked_as_a_tool() -> None:
    ran.clear()

    async def main() -> None:
        inner = ScriptedModel([ToolCall("look", {"what": "rope"}), "It is long."])
        asked = researcher(inner, system_prompt="Find.").as_tool()
        assert (asked.name, asked.description) == ("Researcher", "Finds things.")
        outer = ScriptedModel([ToolCall("Researcher", {"task": "How long is a rope?"}), "Long."])
        run = await started(drawn(outer, [asked], state_class=Seen), Seen(messages=said()))
        state = await run
        assert state.final_output == "Long."
        assert results(state.messages) == [("It is long.", False)]
        assert state.seen == ["rope"]
        assert [message.text for message in inner.requests[0].messages] == ["Find.", "How long is a rope?"]
        check_requests(inner)
        log = await types(run)
        assert log.count("model_replied") == 4
        assert log.count("tool_result") == 2

    asyncio.run(main())


def test_usage_sums_over_agents() -> None:
    async def main() -> None:
        used = Usage(input_tokens=10, output_tokens=1, cost=0.5)
        asked = researcher([ScriptedReply(text="x", usage=used)]).as_tool("ask")
        outer = [
            ScriptedReply(tool_calls=[ToolCall("ask", {"task": "a"})], usage=used),
            ScriptedReply(text="y", usage=used),
        ]
        run = await started(drawn(outer, [asked]))
        assert (run.usage.input_tokens, run.usage.output_tokens, run.usage.cost) == (30, 3, 1.5)

    asyncio.run(main())


def test_what_an_asked_agent_has_finished_is_not_done_again() -> None:
    ran.clear()

    async def main() -> None:
        store = MemoryRunStore()

        def graph(inner: Any, outer: Any) -> Any:
            return drawn(outer, [researcher(inner).as_tool("ask")], store=store, state_class=Seen)

        outer = [[ToolCall("ask", {"task": "a"}), ToolCall("ask", {"task": "b"})]]
        inner = [
            ToolCall("look", {"what": "first"}),
            ToolCall("look", {"what": "second"}),
            RuntimeError("gone"),
            RuntimeError("gone too"),
        ]
        run = await started(graph(inner, outer), Seen(messages=said()))
        assert run.status is RunStatus.FAILED
        assert sorted(ran) == ["first", "second"]
        other = graph(["answer", "answer"], ["the end"]).open(run.run_id)
        assert await other.resume() is RunStatus.DONE
        assert sorted(ran) == ["first", "second"]
        assert sorted(other.state.seen) == ["first", "second"]
        assert results(other.state.messages) == [("answer", False), ("answer", False)]

    asyncio.run(main())


def test_approvals_of_an_asked_agent_are_the_run_s() -> None:
    ran.clear()

    async def main() -> None:
        def inner(request: Any) -> Any:
            last = request.messages[-1]
            return ToolCall("publish", {"text": last.text}) if last.role == "user" else last.text

        outer = [[ToolCall("ask", {"task": "a"}), ToolCall("ask", {"task": "b"})], "the end"]
        graph = drawn(outer, [researcher(ScriptedModel(inner)).as_tool("ask")])
        await graph.execute(ToolState(messages=said()))
        run = graph.run
        assert run is not None
        assert [pause.payload["arguments"]["text"] for pause in run.pauses] == ["a", "b"]
        assert graph.state.paused_tool_name == "publish"
        await run.answer(run.pauses[1].id, Approve({"text": "B"}))
        await run.wait()
        assert ran == ["publish B"]
        assert graph.state.paused_tool_arguments == {"text": "a"}
        await graph.resume(execute_tool=False)
        assert graph.chain_status is RunStatus.DONE
        told = results(graph.state.messages)
        assert "rejected" in told[0][0]
        assert "published" in told[1][0]

    asyncio.run(main())


def test_an_asked_agent_s_typed_answer_comes_as_data() -> None:
    class Length(BaseModel):
        metres: float

    async def main() -> None:
        asked = researcher(['{"metres": 12.5}'], output_schema=Length).as_tool("ask")
        run = await started(drawn([ToolCall("ask", {"task": "a"}), "done"], [asked]))
        assert results(run.state.messages) == [('{"metres": 12.5}', False)]
        assert run.state.tool_calls[0].result == {"metres": 12.5}

    asyncio.run(main())


def test_the_words_of_an_asked_agent_are_progress_not_the_answer() -> None:
    async def main() -> None:
        asked = researcher(["inner words"]).as_tool("ask")
        run = drawn([ToolCall("ask", {"task": "a"}, "c"), "outer words"], [asked]).start(ToolState(messages=said()))
        events = [(event.type, event.data) async for event in run.events()]
        assert [data["text"] for type_, data in events if type_ == "text"] == ["outer words"]
        told = [data for type_, data in events if type_ == "tool_progress"]
        assert told == [{"call_id": "c", "tool": "ask", "text": "inner words"}]

    asyncio.run(main())


def test_a_conversation_is_handed_over_and_back() -> None:
    ran.clear()

    async def main() -> None:
        b_model = ScriptedModel([ToolCall("look", {"what": "rope"}), ToolCall("transfer_to_Desk"), "never"])
        a_model = ScriptedModel([["One moment.", ToolCall("transfer_to_Researcher")], "Back at the desk."])
        b = Agent(name="Researcher", model=b_model, tools=[look], system_prompt="You look.", handoffs=[])
        a = Agent(name="Desk", model=a_model, system_prompt="You greet.", handoffs=[b])
        object.__setattr__(b, "handoffs", [a])  # a circle
        from ropewalk import ToolGraph

        graph: ToolGraph[ToolState] = ToolGraph("handoff")
        graph.add_agent(a)
        run = graph.start(ToolState(messages=said()))
        state = await run
        assert state.final_output == "Back at the desk."
        assert [request.messages[0].text for request in a_model.requests] == ["You greet.", "You greet."]
        assert [request.messages[0].text for request in b_model.requests] == ["You look.", "You look."]
        assert [spec.name for spec in a_model.requests[0].tools] == ["transfer_to_Researcher"]
        assert [spec.name for spec in b_model.requests[0].tools] == ["look", "transfer_to_Desk"]
        assert results(state.messages) == [
            ("Researcher goes on.", False),
            ("rope seen", False),
            ("Desk goes on.", False),
        ]
        assert ran == ["rope"]
        for model in (a_model, b_model):
            check_requests(model)

    asyncio.run(main())


def test_a_handover_survives_a_death() -> None:
    ran.clear()

    async def main() -> None:
        store = MemoryRunStore()

        def graph(a_script: Any, b_script: Any) -> Any:
            b = Agent(name="B", model=ScriptedModel(b_script), tools=[look])
            return drawn(a_script, [], handoffs=[b], store=store)

        run = await started(
            graph([ToolCall("transfer_to_B")], [ToolCall("look", {"what": "x"}), RuntimeError("gone")]),
        )
        assert run.status is RunStatus.FAILED
        other = graph([], ["B's answer"]).open(run.run_id)
        assert await other.resume() is RunStatus.DONE
        assert other.state.final_output == "B's answer"
        assert ran == ["x"]

    asyncio.run(main())


def test_a_conversation_goes_to_one_agent_at_a_time() -> None:
    async def main() -> None:
        b, c = (Agent(name=name, model=ScriptedModel([f"{name} here"])) for name in "BC")
        calls = [ToolCall("transfer_to_B"), ToolCall("transfer_to_C")]
        run = await started(drawn([calls], handoffs=[b, c]))
        assert run.state.final_output == "B here"
        told = results(run.state.messages)
        assert told[0] == ("B goes on.", False)
        assert told[1][1]

    asyncio.run(main())


def test_an_agent_without_a_model_takes_that_of_the_first() -> None:
    async def main() -> None:
        model = ScriptedModel([ToolCall("transfer_to_B"), "B's answer"])
        run = await started(drawn(model, handoffs=[Agent(name="B")]))
        assert run.state.final_output == "B's answer"
        nobody = await started(drawn(ScriptedModel([]), [Agent(name="Lonely").as_tool()]))
        assert isinstance(nobody.error, RunFailed)

    asyncio.run(main())
