"""Final answers by a schema: in three modes, validated, asked for again a bounded number of times."""

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel, Field
from tests.agent.scenes import check_requests, drawn, results, said, started

from ropewalk import ScriptedModel, ToolCall, ToolState, tool
from ropewalk.errors import RunFailed


class Answer(BaseModel):
    city: str
    people: int = Field(ge=0)


class Typed(ToolState):
    final_output: Answer | None = None


@tool("Count")
async def count(city: str) -> int:
    return len(city)


GOOD = '{"city": "Paris", "people": 5}'
PARIS = Answer(city="Paris", people=5)


def test_the_provider_is_given_the_schema() -> None:
    async def main() -> None:
        model = ScriptedModel([ToolCall("count", {"city": "Paris"}), GOOD])
        run = await started(drawn(model, [count], output_schema=Answer, system_prompt="Be brief."))
        assert run.state.final_output == PARIS
        assert [request.output_schema for request in model.requests] == [Answer.model_json_schema()] * 2
        assert model.requests[0].messages[0].text == "Be brief."

    asyncio.run(main())


def test_a_prompted_schema_stands_in_the_instructions() -> None:
    async def main() -> None:
        model = ScriptedModel([f"Sure:\n```json\n{GOOD}\n```"])
        run = await started(drawn(model, output_schema=Answer, output_mode="prompted"))
        assert run.state.final_output == PARIS
        assert model.requests[0].output_schema is None
        assert '"people"' in model.requests[0].messages[0].text

    asyncio.run(main())


def test_an_answer_may_be_the_call_of_a_tool() -> None:
    async def main() -> None:
        model = ScriptedModel(
            [
                "It is Paris.",
                ToolCall("final_answer", {"city": "Paris"}),
                [ToolCall("count", {"city": "Paris"}), ToolCall("final_answer", {"city": "Paris", "people": 5})],
            ]
        )
        run = await started(drawn(model, [count], output_schema=Answer, output_mode="tool"))
        assert run.state.final_output == PARIS
        assert [spec.name for spec in model.requests[0].tools] == ["count", "final_answer"]
        assert [is_error for _, is_error in results(run.state.messages)] == [True, False, False]
        check_requests(model)
        from ropewalk.contracts.conversation import conversation_problems

        assert not conversation_problems(run.state.messages)

    asyncio.run(main())


def test_a_misfit_is_told_and_asked_for_again() -> None:
    async def main() -> None:
        model = ScriptedModel(["Paris", '{"city": "Paris", "people": -1}', GOOD])
        run = await started(drawn(model, output_schema=Answer))
        assert run.state.final_output == PARIS
        told = model.requests[2].messages[-1].text
        assert "people: Input should be greater than or equal to 0" in told
        assert run.state.messages[2].should_show_to_user is False

    asyncio.run(main())


@pytest.mark.parametrize("mode", ["native", "tool", "prompted"])
def test_what_never_fits_ends_after_a_bounded_number_of_tries(mode: Any) -> None:
    async def main() -> None:
        model = ScriptedModel(lambda _: ToolCall("final_answer", {}) if mode == "tool" else "Paris")
        run = await started(drawn(model, output_schema=Answer, output_mode=mode, output_retries=1, max_failed_rounds=9))
        assert isinstance(run.error, RunFailed)
        assert run.error.reason == "output_invalid"
        assert len(model.requests) == 2
        assert run.state.final_output is None

    asyncio.run(main())


def test_a_field_of_its_type_holds_the_answer_everywhere() -> None:
    async def main() -> None:
        graph = drawn([GOOD], output_schema=Answer, state_class=Typed)
        run = await started(graph, Typed(messages=said()))
        assert (await run).final_output == PARIS
        schedule = (await run.read()).schedule
        assert schedule.shape.to_json(schedule.union())["final_output"] == {"city": "Paris", "people": 5}

    asyncio.run(main())


def test_the_same_state_may_be_run_again_with_an_answer_in_it() -> None:
    async def main() -> None:
        graph = drawn([GOOD, GOOD], output_schema=Answer)
        await graph.execute(ToolState(messages=said()))
        assert graph.state.final_output == graph.final_output == PARIS
        await graph.execute(graph.state)
        assert graph.final_output == PARIS

    asyncio.run(main())


def test_a_type_that_is_no_object_is_refused() -> None:
    with pytest.raises(TypeError, match="pydantic model"):
        drawn([], output_schema=list[int])
