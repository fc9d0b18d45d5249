"""Whole loops through the vendors' own SDKs, against the strict local provider: it refuses what the vendors refuse."""

import asyncio
import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from tests.agent.scenes import drawn, results, said, started

from ropewalk import (
    Agent,
    AnthropicClient,
    Approve,
    Graph,
    LLMMessage,
    OpenAIClient,
    Reject,
    Retrying,
    RetryPolicy,
    RunStatus,
    Summary,
    ToolCall,
    ToolNode,
    ToolState,
    Window,
    tool,
)
from ropewalk.errors import RunFailed
from ropewalk.testing.provider import Break, LocalProvider, Refuse, Say

KINDS = ["chat", "responses", "messages"]
ran: list[str] = []


@tool("Search the documents")
async def search(query: str, limit: int = 3) -> dict[str, Any]:
    ran.append(query)
    if query == "bad":
        raise ValueError("no such thing")
    return {"found": [query], "limit": limit}


@tool("Publish", pause_before_execution=True)
async def publish(text: str) -> str:
    ran.append(f"publish {text}")
    return "published"


@tool("Check", pause_after_execution=True)
async def check(text: str) -> str:
    return f"checked {text}"


def client(kind: str, provider: LocalProvider) -> Any:
    if kind == "messages":
        return AnthropicClient("key", provider.root)
    return OpenAIClient("key", provider.base_url, api="chat" if kind == "chat" else "responses")


@pytest.fixture(params=KINDS, name="kind")
def _kind(request: pytest.FixtureRequest) -> str:
    ran.clear()
    return request.param


@pytest.mark.parametrize("stream", [False, True])
def test_a_loop_with_parallel_calls_errors_and_unknown_tools_is_taken_by_the_provider(kind: str, stream: bool) -> None:
    async def main() -> None:
        async with LocalProvider() as provider:
            provider.script(
                [
                    ["I look.", ToolCall("search", {"query": "a"}), ToolCall("search", {"query": "bad"})],
                    [ToolCall("nothing", {"x": 1}), ToolCall("search", {"limit": "many", "query": "b"})],
                    Say(text="", thinking="hm", tool_calls=[ToolCall("search", {"query": "c"})]),
                    "All found.",
                ]
            )
            model = client(kind, provider)
            run = await started(drawn(model, [search], stream=stream, system_prompt="Be brief."))
            assert run.status is RunStatus.DONE, run.error
            assert run.state.final_output == "All found."
            assert [is_error for _, is_error in results(run.state.messages)] == [False, True, True, True, False]
            assert sorted(ran) == ["a", "bad", "c"]
            assert len(provider.requests) == 4
            assert run.usage.input_tokens > 0
            await model.close()

    asyncio.run(main())


def test_approvals_in_any_order_leave_a_history_that_is_taken(kind: str) -> None:
    async def main() -> None:
        async with LocalProvider() as provider:
            calls = [ToolCall("publish", {"text": text}) for text in ("a", "b", "c")]
            provider.script([[*calls, ToolCall("check", {"text": "d"}), ToolCall("search", {"query": "e"})], "done"])
            model = client(kind, provider)
            run = await started(drawn(model, [publish, search, check]))
            by_text = {pause.payload["arguments"]["text"]: pause.id for pause in run.pauses}
            assert set(by_text) == {"a", "b", "c", "d"}
            for text, answer in (
                ("c", Reject("not c")),
                ("d", Reject("not so")),
                ("a", Approve({"text": "A"})),
                ("b", Approve()),
            ):
                await run.answer(by_text[text], answer)
                await run.wait()
            assert run.state.final_output == "done"
            assert sorted(ran) == ["e", "publish A", "publish b"]
            assert len(provider.requests) == 2
            await model.close()

    asyncio.run(main())


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "fault",
    [
        Break(kind="reset"),
        Break(kind="eof"),
        Break(kind="error_event"),
        Break(kind="bad_json"),
        Say(text="half", finish="length"),
        Say(text="half", finish="filter"),
        Refuse(status=429, code="insufficient_quota"),
    ],
    ids=str,
)
def test_a_fault_after_a_tool_is_typed_and_the_run_goes_on_from_there(kind: str, fault: Any, stream: bool) -> None:
    if isinstance(fault, Say) and fault.finish == "filter" and kind == "messages":
        fault = Say(text="half", finish="refusal")

    async def main() -> None:
        async with LocalProvider() as provider:
            provider.script([ToolCall("search", {"query": "a"}), fault, fault, fault, fault, fault])
            model = Retrying(client(kind, provider), RetryPolicy(attempts=1))
            run = await started(drawn(model, [search], stream=stream))
            if run.status is RunStatus.FAILED:
                assert isinstance(run.error, RunFailed)
                assert run.error.reason.startswith(("model_", "reply_")), run.error
                assert run.state.final_output is None
            else:  # what broke was not in this form of the answer
                assert not stream
                assert isinstance(fault, Break)
                return
            provider.script(["whole"])
            assert await run.resume() is RunStatus.DONE
            assert run.state.final_output == "whole"
            assert ran == ["a"]
            await model.close()

    asyncio.run(main())


TOO_MANY = Refuse(status=429, headers={"retry-after-ms": "10"})


@pytest.mark.parametrize("stream", [False, True])
def test_one_refusal_that_may_pass_costs_a_bare_client_no_run(kind: str, stream: bool) -> None:
    async def main() -> None:
        async with LocalProvider() as provider:
            provider.script([TOO_MANY, ToolCall("search", {"query": "a"}), TOO_MANY, "found"])
            run = await started(drawn(client(kind, provider), [search], stream=stream))
            assert run.status is RunStatus.DONE, run.error
            assert run.state.final_output == "found"
            assert (ran, len(provider.requests)) == (["a"], 4)

    asyncio.run(main())


@pytest.mark.parametrize("where", ["asked agent", "handed over", "summary", "plain graph"])
def test_bare_clients_are_asked_again_wherever_they_stand(where: str) -> None:
    async def main() -> None:
        async with LocalProvider() as provider:
            provider.script([TOO_MANY, "well"], key="key")
            bare = AnthropicClient("key", provider.root)
            other = Agent(name="other", model=bare)
            if where == "plain graph":
                graph: Graph[ToolState] = Graph(ToolState)
                graph.add_node(ToolNode(other), name="other")
                run = graph.start(ToolState(messages=said()))
                await run.wait()
            elif where == "asked agent":
                script = [ToolCall("other", {"task": "help"}), "ended"]
                run = await started(drawn(script, [other.as_tool()]))
                assert results(run.state.messages) == [("well", False)]
            elif where == "handed over":
                run = await started(drawn([ToolCall("transfer_to_other")], handoffs=[other]))
            else:
                messages = [LLMMessage(role="user", content=f"message {n}") for n in range(6)]
                summary = Summary(after_messages=4, keep=2, model=bare)
                run = await started(drawn(["ended"], summary=summary), ToolState(messages=messages))
                assert run.state.summary is not None
                assert run.state.summary.text == "well"
            assert run.status is RunStatus.DONE, run.error
            assert len(provider.requests) == 2

    asyncio.run(main())


def test_a_model_by_name_is_one_client_for_all_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "key")

    async def main() -> None:
        async with LocalProvider() as provider:
            provider.script([ToolCall("search", {"query": "a"}), ToolCall("search", {"query": "b"}), "found"])
            run = await started(drawn(f"openai:some@{provider.base_url}", [search]))
            assert run.state.final_output == "found"
            assert (len(provider.requests), provider.connections) == (3, 1)

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["native", "tool", "prompted"])
def test_a_typed_answer_is_taken_in_every_mode(kind: str, mode: Any) -> None:
    class Answer(BaseModel):
        city: str
        people: int

    async def main() -> None:
        good = {"city": "Paris", "people": 5}
        text = '{"city": "Paris", "people": 5}'
        call: Any = ToolCall("final_answer", good) if mode == "tool" else text
        async with LocalProvider() as provider:
            provider.script([ToolCall("search", {"query": "a"}), "not so", call])
            model = client(kind, provider)
            run = await started(drawn(model, [search], output_schema=Answer, output_mode=mode))
            assert run.state.final_output == Answer(city="Paris", people=5), run.error
            await model.close()

    asyncio.run(main())


class Leaf(BaseModel):
    kind: Literal["leaf"]
    size: int = Field(1, ge=0)


class Branch(BaseModel):
    kind: Literal["branch"]
    kids: list["Branch | Leaf"] = []


class Tree(BaseModel):
    root: Annotated[Branch | Leaf, Field(discriminator="kind")]
    leaf: Leaf = Field(description="the first one")
    names: set[str] = set()


class Tagged(BaseModel):
    tags: dict[str, int]
    pair: tuple[int, str] = (1, "a")
    more: Any = None


LEAF: dict[str, Any] = {"kind": "leaf", "size": 2}
TREE: dict[str, Any] = {"root": {"kind": "branch", "kids": [LEAF]}, "leaf": LEAF, "names": ["a"]}


@pytest.mark.parametrize("mode", ["native", "tool", "prompted"])
@pytest.mark.parametrize(
    ("schema", "good"),
    [(Branch, TREE["root"]), (Tree, TREE), (Tagged, {"tags": {"a": 1}, "pair": [2, "b"], "more": 3})],
)
def test_types_that_providers_do_not_take_as_they_are_are_answers_too(
    kind: str, mode: Any, schema: type[BaseModel], good: dict[str, Any]
) -> None:
    async def main() -> None:
        async with LocalProvider() as provider:
            provider.script([ToolCall("final_answer", good) if mode == "tool" else json.dumps(good)])
            model = client(kind, provider)
            run = await started(drawn(model, output_schema=schema, output_mode=mode))
            assert run.status is RunStatus.DONE, run.error
            assert run.state.final_output == schema.model_validate(good)
            await model.close()

    asyncio.run(main())


def test_a_conversation_through_a_window_is_taken(kind: str) -> None:
    async def main() -> None:
        async with LocalProvider() as provider:
            provider.script([*[ToolCall("search", {"query": str(number)}) for number in range(6)], "done"])
            model = client(kind, provider)
            run = await started(drawn(model, [search], window=Window(messages=4), system_prompt="s"))
            assert run.state.final_output == "done", run.error
            await model.close()

    asyncio.run(main())


def test_a_conversation_that_goes_on_is_taken(kind: str) -> None:
    async def main() -> None:
        async with LocalProvider() as provider:
            provider.script(
                [Say(text="", thinking="hm", tool_calls=[ToolCall("search", {"query": "a"})]), "one", "two"]
            )
            model = client(kind, provider)
            graph = drawn(model, [search])
            await graph.execute(ToolState(messages=said()))
            state = graph.state
            state.messages.append(LLMMessage(role="user", content="and now?"))
            await graph.execute(state)
            assert graph.state.final_output == "two"
            await model.close()

    asyncio.run(main())


def test_the_first_token_is_a_live_event_before_the_answer_is_whole(kind: str) -> None:
    async def main() -> None:
        async with LocalProvider() as provider:
            provider.script([Say(text="one two three four five", delay_seconds=0.02)])
            model = client(kind, provider)
            run = drawn(model, stream=True).start(ToolState(messages=said()))
            texts: list[str] = []
            async for event in run.events():
                if event.type == "text":
                    if not texts:
                        assert not provider.requests or run.state.final_output is None
                    texts.append(event.data["text"])
            assert "".join(texts) == "one two three four five"
            assert len(texts) > 1
            await model.close()

    asyncio.run(main())
