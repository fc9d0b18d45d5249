"""Tool graphs: tool nodes among ordinary ones, in subgraphs, maps and loops; and the seed's way to run them."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from tests.agent.scenes import said

from ropewalk import (
    END,
    START,
    Approve,
    Context,
    Graph,
    History,
    LLMMessage,
    RunStatus,
    ScriptedModel,
    ToolCall,
    ToolGraph,
    ToolLoopOptions,
    ToolNode,
    ToolState,
    tool,
)
from ropewalk.errors import PartUnknown, RunFailed, ToolInvalid


@tool("Echo")
async def echo(text: str) -> str:
    return text


@tool("Send", pause_before_execution=True)
async def send(text: str) -> str:
    return f"sent {text}"


class Notes(ToolState):
    notes: History[str]
    answers: History[str]
    topics: list[str] = []


def test_nodes_of_both_kinds_follow_each_other() -> None:
    first = ScriptedModel([ToolCall("echo", {"text": "x"}), "first answer"])
    second = ScriptedModel([ToolCall("echo", {"text": "y"}), "second answer"])
    graph: ToolGraph[Notes] = ToolGraph("flow", state_class=Notes)

    @graph.node
    async def before(state: Notes) -> dict[str, Any]:
        return {"messages": LLMMessage(role="user", content="made by a node"), "notes": "before"}

    graph.add_tool_node("a", [echo], first)

    @graph.node
    async def between(state: Notes) -> dict[str, Any]:
        assert state.final_output == "first answer"
        return {"notes": f"between: {state.final_output}"}

    graph.add_tool_node("b", [echo], second, prompt=lambda state: f"Better than {state.final_output!r}, please.")

    @graph.node
    async def after(state: Notes) -> dict[str, Any]:
        return {"notes": f"after: {len(state.tool_calls)} calls"}

    names = [START, "before", "a", "between", "b", "after", END]
    for start, end in pairwise(names):
        graph.add_edge(start, end)

    state = graph.run_sync()
    assert state.notes == ["before", "between: first answer", "after: 2 calls"]
    assert state.final_output == "second answer"
    assert [message.role for message in state.messages] == ["user", "assistant", "tool", "assistant"] * 2
    assert second.requests[0].messages[-1].text == "Better than 'first answer', please."


def test_tool_nodes_side_by_side_keep_their_conversations_whole() -> None:
    graph: ToolGraph[Notes] = ToolGraph("fork", state_class=Notes)
    for name in ("a", "b"):
        model = ScriptedModel([ToolCall("echo", {"text": name}), f"answer of {name}"])
        graph.add_tool_node(name, [echo], model, output_field="answers")
        graph.add_edge(START, name).add_edge(name, END)
    state = graph.run_sync(Notes(messages=said()))
    assert state.answers == ["answer of a", "answer of b"]
    assert [message.role for message in state.messages] == ["user"] + ["assistant", "tool", "assistant"] * 2
    from ropewalk.contracts.conversation import conversation_problems

    assert not conversation_problems(state.messages)


def test_a_tool_node_in_a_map_works_on_each_item() -> None:
    def answer(request: Any) -> Any:
        last = request.messages[-1]
        return ToolCall("echo", {"text": last.text.upper()}) if last.role == "user" else f"done {last.text}"

    graph: ToolGraph[Notes] = ToolGraph("map", state_class=Notes)
    graph.add_tool_node("each", [echo], ScriptedModel(answer), output_field="answers")
    graph.add_node(lambda state: {"notes": f"{len(state.answers)} answers"}, name="join")
    graph.add_map_edge(START, "each", "join", over=lambda state: state.topics)
    graph.add_edge("join", END)
    state = graph.run_sync(Notes(topics=["a", "b", "c"]))
    assert state.answers == ["done A", "done B", "done C"]
    assert state.notes == ["3 answers"]


def test_approvals_in_maps_and_subgraphs_are_answered_each_by_its_own_id() -> None:
    def answer(request: Any) -> Any:
        last = request.messages[-1]
        return ToolCall("send", {"text": last.text}) if last.role == "user" else last.text

    inner: ToolGraph[Notes] = ToolGraph("inner", state_class=Notes)
    inner.add_tool_node("each", [send], ScriptedModel(answer), output_field="answers")
    inner.add_node(lambda state: {"notes": "joined"}, name="join")
    inner.add_map_edge(START, "each", "join", over=lambda state: state.topics)
    inner.add_edge("join", END)
    outer: Graph[Notes] = Graph(Notes)
    outer.subgraph(name="inside")(lambda: inner)
    outer.add_edge(START, "inside").add_edge("inside", END)

    async def main() -> None:
        run = outer.start(Notes(topics=["a", "b", "c"]))
        assert await run.wait() is RunStatus.PAUSED
        assert [pause.node for pause in run.pauses] == ["inside/each"] * 3
        assert run.state.paused_tool_arguments == {"text": "a"}
        by_text = {pause.payload["arguments"]["text"]: pause.id for pause in run.pauses}
        await run.answer(by_text["b"], Approve({"text": "B"}))
        await run.wait()
        await run.answer(by_text["c"], {"approve": False, "reason": "no"})
        await run.wait()
        await run.answer(by_text["a"], Approve())
        state = await run
        assert len(state.answers) == 3
        assert state.answers[0] == "sent a"
        assert "sent B" in state.answers[1]
        assert "no" in state.answers[2]

    asyncio.run(main())


def test_a_router_behind_a_tool_node_leads_back_into_it() -> None:
    model = ScriptedModel(["draft", "better", "good"])
    graph: ToolGraph[Notes] = ToolGraph("loop", state_class=Notes)
    graph.add_tool_node(
        "write", [], model, prompt=lambda state: f"Try {len(state.answers) + 1}", output_field="answers"
    )
    graph.add_router_edge("write", lambda state: END if state.answers[-1] == "good" else "write", routes=["write", END])
    graph.add_edge(START, "write")
    assert graph.run_sync().answers == ["draft", "better", "good"]
    assert [request.messages[-1].text for request in model.requests] == ["Try 1", "Try 2", "Try 3"]


def test_a_tool_node_in_a_plain_graph_needs_no_tool_state() -> None:
    from ropewalk import Agent, GraphState

    class Plain(GraphState):
        question: str = "How long is a rope?"
        answer: str = ""

    model = ScriptedModel([ToolCall("echo", {"text": "long"}), "very long"])
    graph: Graph[Plain] = Graph(Plain)
    agent = Agent(name="asked", model=model, tools=[echo])
    graph.add_node(ToolNode(agent, prompt=lambda state: state.question, output_field="answer"), name="asked")
    assert graph.run_sync().answer == "very long"


def test_execute_takes_the_state_by_name_and_by_position_and_shows_it() -> None:
    async def main() -> None:
        for named in (True, False):
            graph: ToolGraph[ToolState] = ToolGraph("seed", state_class=ToolState)
            node = graph.add_tool_node("researcher", [echo], ScriptedModel(["done"]), ToolLoopOptions(max_iterations=5))
            graph.add_edge(START, node.name)
            graph.add_edge(node.name, END)
            state = ToolState()
            state.messages = said()
            run_id = await (graph.execute(initial_state=state) if named else graph.execute(state))
            assert graph.chain_id == run_id
            assert graph.chain_status is RunStatus.DONE
            assert graph.state is state
            assert graph.state.final_output == graph.final_output == "done"

    asyncio.run(main())


def test_a_conversation_goes_on_in_the_next_run_of_the_same_state() -> None:
    async def main() -> None:
        model = ScriptedModel(["first", "second"])
        graph: ToolGraph[ToolState] = ToolGraph("chat")
        graph.add_tool_node("chat", [], model)
        await graph.execute(ToolState(messages=said("one")))
        first = graph.chain_id
        state = graph.state
        state.messages.append(LLMMessage(role="user", content="two"))
        await graph.execute(state)
        assert graph.chain_id != first
        assert [message.text for message in graph.state.messages] == ["one", "first", "two", "second"]
        assert graph.state.final_output == "second"

    asyncio.run(main())


def test_a_single_node_needs_no_edges() -> None:
    graph: ToolGraph[ToolState] = ToolGraph("single")
    graph.add_tool_node("only", [], ScriptedModel(["yes"]))
    assert graph.run_sync(ToolState(messages=said())).final_output == "yes"


def test_a_paused_tool_goes_on_from_a_checkpoint() -> None:
    from ropewalk.stores.memory import MemoryRunStore

    async def main() -> None:
        storage = MemoryRunStore()

        def made(script: list[Any]) -> ToolGraph[ToolState]:
            graph: ToolGraph[ToolState] = ToolGraph("pay", state_class=ToolState, checkpoint_storage=storage)
            node = graph.add_tool_node("payer", [send], ScriptedModel(script))
            graph.add_edge(START, node.name)
            graph.add_edge(node.name, END)
            return graph

        graph = made([ToolCall("send", {"text": "x"}, "c")])
        await graph.execute(ToolState(messages=said()))
        new = made(["done"])
        assert graph.chain_id is not None
        new.load_from_checkpoint(graph.chain_id)
        assert new.state.is_paused
        assert new.state.paused_tool_name == "send"
        await new.resume(execute_tool=True)
        assert new.chain_status is RunStatus.DONE
        assert new.state.tool_calls[0].result == "sent x"

    asyncio.run(main())


def test_the_settings_of_the_seed_may_stand_by_position() -> None:
    told: list[str] = []
    options = ToolLoopOptions(4, "a-model", 99, {"seed": 1}, False)
    model = ScriptedModel([ToolCall("echo", {"text": "x"}), "done"])
    graph: ToolGraph[ToolState] = ToolGraph("seed")
    graph.add_tool_node(
        "a", [echo], model, options, lambda data: told.append(data["content"]), lambda data: told.append(data["name"])
    )
    graph.run_sync(ToolState(messages=said()))
    assert told == ["", "echo", "x", "done"]
    request = model.requests[0]
    assert (request.model, request.max_tokens, request.extra) == ("a-model", 99, {"seed": 1})


def test_hidden_parameters_are_filled_by_the_application() -> None:
    got: list[Any] = []

    @tool("Look up", hidden_params=["user_id", "verbose"])
    async def look_up(what: str, user_id: int, verbose: bool = False) -> str:
        got.append((what, user_id, verbose))
        return what

    model = ScriptedModel(
        [ToolCall("look_up", {"what": "x", "user_id": 666}), ToolCall("look_up", {"what": "y"}), "ok"]
    )
    graph: ToolGraph[ToolState] = ToolGraph("hidden")
    graph.add_tool_node("agent", [look_up], model, hidden_params={"user_id": 7})
    state = graph.run_sync(ToolState(messages=said()))
    assert got == [("y", 7, False)]  # what the model made up is refused
    assert "user_id: there is no such argument" in state.messages[2].text
    assert "user_id" not in model.requests[0].tools[0].parameters["properties"]
    with pytest.raises(ToolInvalid, match="nobody fills its hidden parameter 'user_id'"):
        ToolGraph("other").add_tool_node("agent", [look_up], model)


def test_mistakes_in_a_tool_node_are_told_when_it_is_drawn() -> None:
    def plain() -> None: ...

    graph: ToolGraph[ToolState] = ToolGraph("wrong")
    with pytest.raises(ToolInvalid, match="Put @tool above it"):
        graph.add_tool_node("a", [plain], ScriptedModel([]))  # type: ignore[list-item]  the mistake
    with pytest.raises(ToolInvalid, match="two tools of this name"):
        graph.add_tool_node("a", [echo, echo], ScriptedModel([]))


def test_a_model_by_a_name_that_means_nothing_fails_with_what_there_is() -> None:
    graph: ToolGraph[ToolState] = ToolGraph("named")
    graph.add_tool_node("a", [], "nonsense:model")
    with pytest.raises(RunFailed) as caught:
        graph.run_sync(ToolState(messages=said()))
    assert isinstance(caught.value.__cause__, PartUnknown)


def test_a_node_s_time_is_limited() -> None:
    @tool("Hang")
    async def hang() -> None:
        await asyncio.Event().wait()

    graph: ToolGraph[ToolState] = ToolGraph("timed")
    graph.add_tool_node("a", [hang], ScriptedModel([ToolCall("hang")]), ToolLoopOptions(timeout_seconds=0.05))
    with pytest.raises(RunFailed) as caught:
        graph.run_sync(ToolState(messages=said()))
    assert caught.value.reason == "node_timeout"


def test_a_hundred_runs_of_one_graph_go_on_at_once() -> None:
    def answer(request: Any) -> Any:
        last = request.messages[-1]
        return ToolCall("echo", {"text": last.text}) if last.role == "user" else last.text

    async def main() -> None:
        graph: ToolGraph[ToolState] = ToolGraph("many")
        graph.add_tool_node("a", [echo], ScriptedModel(answer))
        runs = [graph.start(ToolState(messages=said(str(number)))) for number in range(100)]
        assert [(await run).final_output for run in runs] == [str(number) for number in range(100)]

    asyncio.run(main())


def test_a_graph_with_tool_nodes_is_drawn() -> None:
    graph: ToolGraph[ToolState] = ToolGraph("picture")
    graph.add_tool_node("researcher", [echo], ScriptedModel([]))
    assert "researcher" in graph.visualize().svg
    assert isinstance(Context, type)
