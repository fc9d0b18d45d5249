"""Models that wrap models: asking again, falling back, leaving alone, counting, pacing."""

import asyncio
import time

import pytest
from tests.llm.looping import in_a_loop

from ropewalk.contracts.limits import Limits
from ropewalk.contracts.messages import LLMMessage
from ropewalk.contracts.model import Model, ModelPart, ModelRequest, Reply, Restarted, TextPart, Usage
from ropewalk.errors import (
    ConversationInvalid,
    ModelCircuitOpen,
    ModelError,
    ModelKeyRejected,
    ModelLimitReached,
    ModelQuotaSpent,
    ModelRateLimited,
    ModelStreamBroken,
    ModelUnavailable,
)
from ropewalk.llm import (
    AnthropicClient,
    CircuitBreaker,
    Fallback,
    Metered,
    OpenAIClient,
    Paced,
    Price,
    Prices,
    Retrying,
    RetryPolicy,
    ScriptedModel,
    ScriptedReply,
)
from ropewalk.testing.provider import Break, LocalProvider, Refuse, Say

ASK = ModelRequest(messages=(LLMMessage(role="user", content="hello"),))
AT_ONCE = RetryPolicy(attempts=3, backoff_seconds=0)


async def parts_of(model: Model, request: ModelRequest = ASK) -> list[ModelPart]:
    return [part async for part in model.stream(request)]


def broken(text: str, error: ModelError | None = None) -> ScriptedReply:
    return ScriptedReply(text=text, error=error or ModelStreamBroken("cut"))


@pytest.mark.parametrize(
    "wrap",
    [
        Retrying,
        lambda model: Fallback([model]),
        CircuitBreaker,
        Metered,
        Paced,
    ],
)
def test_what_wraps_a_model_is_one(wrap) -> None:
    async def main() -> None:
        model = wrap(ScriptedModel(["a b", "c"], name="inner"))
        assert isinstance(model, Model)
        assert (model.provider, model.name) == ("scripted", "inner")
        parts = await parts_of(model)
        assert parts[:2] == [TextPart("a"), TextPart(" b")]
        assert (await model.answer(ASK)).message.text == "c"
        with pytest.raises(ConversationInvalid):
            await model.answer(ModelRequest(messages=()))
        await model.close()

    asyncio.run(main())


# Retrying


@in_a_loop
async def test_what_may_help_is_asked_again_and_readers_are_told() -> None:
    script = ScriptedModel([broken("half an"), ModelUnavailable("down"), "whole"])
    parts = await parts_of(Retrying(script, AT_ONCE))
    assert parts[:-1] == [TextPart("half"), TextPart(" an"), Restarted("model_stream_broken"), TextPart("whole")]
    assert isinstance(parts[-1], Reply)
    assert len(script.requests) == 3


@in_a_loop
async def test_what_cannot_help_is_not_asked_again() -> None:
    for error in (ModelQuotaSpent("no"), ModelKeyRejected("no"), ModelUnavailable("no", retryable=False)):
        script = ScriptedModel([error, "never"])
        with pytest.raises(type(error)):
            await Retrying(script, AT_ONCE).answer(ASK)
        assert len(script.requests) == 1


@in_a_loop
async def test_it_gives_up_with_the_last_error() -> None:
    script = ScriptedModel([ModelUnavailable(str(number)) for number in range(9)])
    with pytest.raises(ModelUnavailable, match="2") as caught:
        await Retrying(script, AT_ONCE).answer(ASK)
    assert caught.value.__notes__ == ["It was asked 3 times."]


def test_the_policy_waits_longer_each_time_and_as_long_as_it_is_told() -> None:
    policy = RetryPolicy(attempts=5, backoff_seconds=1, factor=2, max_backoff_seconds=3, jitter=0.5)
    down = ModelUnavailable("")
    assert [policy.wait_seconds(count, down, 0) for count in (1, 2, 3, 4, 5)] == [1, 2, 3, 3, None]
    assert policy.wait_seconds(1, down, 1) == 1.5
    assert policy.wait_seconds(1, ModelRateLimited("", retry_after_seconds=7), 0) == 7
    assert policy.wait_seconds(1, ModelRateLimited("", retry_after_seconds=1000), 0) is None
    with pytest.raises(ValueError, match="attempts"):
        RetryPolicy(attempts=0)


@in_a_loop
async def test_a_real_provider_is_asked_again_after_what_it_advises() -> None:
    async with LocalProvider() as provider:
        provider.script([Refuse(status=429, headers={"retry-after-ms": "120"}), Break(kind="eof"), "well"])
        client = OpenAIClient("k", provider.base_url)
        model = Retrying(client, RetryPolicy(backoff_seconds=0))
        began = time.monotonic()
        parts = await parts_of(model)
        assert time.monotonic() - began >= 0.12
        assert isinstance(parts[-1], Reply)
        assert parts[-1].message.text == "well"
        assert [part for part in parts if isinstance(part, Restarted)] == [Restarted("model_stream_broken")]
        assert len(provider.requests) == 3
        await model.close()


# Fallback


@in_a_loop
async def test_the_next_model_answers_when_the_first_does_not() -> None:
    second = ScriptedModel(["second"], name="second")
    model = Fallback([ScriptedModel([broken("half")], name="first"), second])
    parts = await parts_of(model, ModelRequest(messages=ASK.messages, model="big", extra={"top_p": 1}))
    assert parts[:-1] == [
        TextPart("half"),
        Restarted("model_stream_broken: second is asked instead"),
        TextPart("second"),
    ]
    assert second.requests[0].model is None


@in_a_loop
async def test_another_provider_answers_in_the_middle_of_a_stream() -> None:
    async with LocalProvider() as provider:
        provider.script([Break(kind="reset", after=4)], key="first")
        provider.script(["hello from the other side"], key="second")
        model = Fallback([OpenAIClient("first", provider.base_url), AnthropicClient("second", provider.root)])
        parts = await parts_of(model, ModelRequest(messages=ASK.messages, extra={"seed": 1}))
        assert sum(isinstance(part, Restarted) for part in parts) == 1
        assert isinstance(parts[-1], Reply)
        assert (parts[-1].provider, parts[-1].message.text) == ("anthropic", "hello from the other side")
        after = parts[next(index for index, part in enumerate(parts) if isinstance(part, Restarted)) + 1 : -1]
        assert "".join(part.text for part in after if isinstance(part, TextPart)) == parts[-1].message.text
        await model.close()


@in_a_loop
async def test_when_all_fail_the_last_error_tells_of_the_others() -> None:
    model = Fallback([ScriptedModel([ModelUnavailable("one is down")]), ScriptedModel([ModelKeyRejected("two")])])
    with pytest.raises(ModelKeyRejected, match="two") as caught:
        await model.answer(ASK)
    assert caught.value.__notes__ == ["Before that: one is down"]


@in_a_loop
async def test_no_other_model_is_asked_what_no_model_can_answer() -> None:
    second = ScriptedModel(["never"])
    limited = Metered(ScriptedModel(["never"]), limits=Limits(calls=0))
    with pytest.raises(ModelLimitReached):
        await Fallback([limited, second]).answer(ASK)
    with pytest.raises(ConversationInvalid):
        await Fallback([second, second]).answer(ModelRequest(messages=()))
    assert second.requests == []


# CircuitBreaker


@in_a_loop
async def test_a_circuit_opens_tries_once_and_closes() -> None:
    clock = [0.0]
    script = ScriptedModel([ModelUnavailable("1"), ModelUnavailable("2"), ModelUnavailable("3"), "well", "again"])
    model = CircuitBreaker(script, failures=2, seconds=10, clock=lambda: clock[0])
    for _ in range(2):
        with pytest.raises(ModelUnavailable):
            await model.answer(ASK)
    with pytest.raises(ModelCircuitOpen) as caught:
        await model.answer(ASK)
    assert caught.value.retry_after_seconds == 10
    clock[0] = 10.5
    with pytest.raises(ModelUnavailable, match="3"):
        await model.answer(ASK)
    with pytest.raises(ModelCircuitOpen):
        await model.answer(ASK)
    clock[0] = 21
    tried, refused = await asyncio.gather(model.answer(ASK), model.answer(ASK), return_exceptions=True)
    assert isinstance(tried, Reply)
    assert isinstance(refused, ModelCircuitOpen)
    assert not model.is_open
    assert (await model.answer(ASK)).message.text == "again"


@in_a_loop
async def test_a_wrong_request_opens_no_circuit() -> None:
    model = CircuitBreaker(
        ScriptedModel([ModelUnavailable(""), ModelKeyRejected(""), ModelUnavailable(""), "x"]), failures=2
    )
    for _ in range(3):
        with pytest.raises(ModelError):
            await model.answer(ASK)
    assert (await model.answer(ASK)).message.text == "x"


@in_a_loop
async def test_a_try_that_was_cancelled_lets_the_next_one_try() -> None:
    clock = [0.0]
    script = ScriptedModel([ModelUnavailable(""), ScriptedReply(text="slow", delay_seconds=60), "well"])
    model = CircuitBreaker(script, failures=1, seconds=1, clock=lambda: clock[0])
    with pytest.raises(ModelUnavailable):
        await model.answer(ASK)
    clock[0] = 2
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(model.answer(ASK), 0.02)
    assert (await model.answer(ASK)).message.text == "well"


# Metered


def used(tokens: int, cost: float | None = 0.0, unmeasured: int = 0) -> Usage:
    return Usage(input_tokens=tokens, output_tokens=tokens, cost=cost, unmeasured_calls=unmeasured)


@pytest.mark.parametrize(
    ("limits", "each", "calls"),
    [
        (Limits(calls=3), used(1), 3),
        (Limits(tokens=40), used(10), 2),
        (Limits(tokens=41), used(10), 3),
        (Limits(input_tokens=10), used(10), 1),
        (Limits(output_tokens=11), used(10), 2),
        (Limits(cost=0.5), used(1, 0.25), 2),
        (Limits(cost=0.5), used(1, None), 1),
        (Limits(tokens=100), used(1, unmeasured=1), 1),
        (Limits(calls=4), used(1, None, 1), 4),
    ],
)
def test_a_limit_stops_exactly(limits: Limits, each: Usage, calls: int) -> None:
    async def main() -> None:
        script = ScriptedModel([ScriptedReply(text="x", usage=each) for _ in range(9)])
        model = Metered(script, limits=limits)
        for _ in range(calls):
            await model.answer(ASK)
        for ask in (model.answer, lambda request: anext(aiter(model.stream(request)))):
            with pytest.raises(ModelLimitReached):
                await ask(ASK)
        assert (len(script.requests), model.calls) == (calls, calls)

    asyncio.run(main())


@in_a_loop
async def test_a_limit_on_calls_holds_for_all_that_are_under_way() -> None:
    async with LocalProvider(scenario=lambda asked: Say(text="x", delay_seconds=0.02)) as provider:
        model = Metered(OpenAIClient("k", provider.base_url), limits=Limits(calls=7))
        found = await asyncio.gather(*(model.answer(ASK) for _ in range(30)), return_exceptions=True)
        assert sum(isinstance(one, Reply) for one in found) == 7
        assert sum(isinstance(one, ModelLimitReached) for one in found) == 23
        assert len(provider.requests) == 7
        await model.close()


@in_a_loop
async def test_what_it_counts_is_what_was_told_at_your_prices() -> None:
    prices = Prices({"scripted": Price(input=1_000_000, output=2_000_000, cached=500_000)})
    told: list[Reply] = []
    usage = Usage(input_tokens=4, cached_tokens=2, output_tokens=1)
    model = Metered(ScriptedModel([ScriptedReply(text="x", usage=usage)] * 2), prices=prices, on_usage=told.append)
    await model.answer(ASK)
    await parts_of(model)
    assert model.usage == Usage(input_tokens=8, cached_tokens=4, output_tokens=2, cost=10.0)
    assert [reply.usage.cost for reply in told] == [5.0, 5.0]


def test_prices_know_dated_names_and_nothing_else() -> None:
    prices = Prices()
    assert prices.of("gpt-4o-mini") is not None
    assert prices.of("gpt-4o-mini-2024-07-18") == prices.of("gpt-4o-mini")
    assert prices.of("claude-haiku-4-5-20251001") is not None
    assert prices.of("llama3") is None
    assert prices.of("gpt-4o-mini-high") is None
    own = Price(input=1, output=1)
    assert Prices({"gpt-4o": own}).of("gpt-4o") is own


def test_sums_stay_unknown_once_a_part_of_them_is() -> None:
    assert (used(1, 0.5) + used(1, None) + used(1, 0.5)).cost is None
    assert (used(1) + used(1, unmeasured=2)).unmeasured_calls == 2


# Paced


@in_a_loop
async def test_no_more_requests_than_the_rate_allows() -> None:
    async with LocalProvider(scenario=lambda asked: "x") as provider:
        model = Paced(OpenAIClient("k", provider.base_url), requests_per_minute=3000)
        began = time.monotonic()
        await asyncio.gather(*(model.answer(ASK) for _ in range(11)))
        assert time.monotonic() - began >= 10 * 0.02
        await model.close()


@in_a_loop
async def test_tokens_are_paid_back_by_waiting() -> None:
    script = ScriptedModel([ScriptedReply(text="x", usage=Usage(input_tokens=50, output_tokens=50))] * 3)
    model = Paced(script, tokens_per_minute=60_000)
    began = time.monotonic()
    for _ in range(3):
        await model.answer(ASK)
    assert 0.2 <= time.monotonic() - began < 2
