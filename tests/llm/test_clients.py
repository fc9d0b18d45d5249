"""Clients share connections, serve many at once, let go at once, and load no SDK before they are made."""

import asyncio
import gc
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.llm.looping import in_a_loop

from ropewalk.contracts.messages import LLMMessage
from ropewalk.contracts.model import Model, ModelRequest, Reply, TextPart
from ropewalk.errors import ModelError, ModelKeyRejected, ModelStalled, ModelUnreachable, PartMissing, PartUnknown
from ropewalk.llm import AnthropicClient, Fallback, OpenAIClient, Retrying, ScriptedModel, with_default_retries
from ropewalk.runtime import default_model, open_model
from ropewalk.testing.provider import Break, LocalProvider, Refuse, Say

ASK = ModelRequest(messages=(LLMMessage(role="user", content="hello"),))
CLIENTS: dict[str, Callable[[LocalProvider], Model]] = {
    "chat": lambda provider: OpenAIClient("k", provider.base_url, idle_timeout=5),
    "responses": lambda provider: OpenAIClient("k", provider.base_url, "responses", 5),
    "messages": lambda provider: AnthropicClient("k", provider.root, 5),
}
APIS = pytest.mark.parametrize("api", CLIENTS)


@APIS
@in_a_loop
async def test_one_connection_serves_call_after_call(api: str) -> None:
    async with LocalProvider(scenario=lambda asked: "hello there") as provider:
        model = CLIENTS[api](provider)
        assert isinstance(model, Model)
        for _ in range(3):
            await model.answer(ASK)
            assert [part async for part in model.stream(ASK)]
        assert (provider.connections, len(provider.requests)) == (1, 6)
        await model.close()
        await model.close()


@pytest.fixture(name="elsewhere")
def _elsewhere() -> Iterator[LocalProvider]:
    """A provider in a thread of its own: it is there for longer than the loops that ask it."""
    providers: list[LocalProvider] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with LocalProvider(scenario=lambda asked: "hello there") as provider:
            providers.append(provider)
            ready.set()
            await asyncio.to_thread(done.wait, 15)

    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(asyncio.run, serve())
        try:
            assert ready.wait(10)
            yield providers[0]
        finally:
            done.set()
            serving.result(10)


@APIS
@pytest.mark.parametrize("is_kept", [True, False])
def test_a_client_that_nobody_closes_ends_with_its_loop(api: str, is_kept: bool, elsewhere: LocalProvider) -> None:
    kept: list[Model] = []

    async def main() -> None:
        model = CLIENTS[api](elsewhere)
        kept.extend([model] * is_kept)
        for _ in range(2):
            await model.answer(ASK)
            assert [part async for part in model.stream(ASK)]
        assert (elsewhere.connections, elsewhere.open_connections) == (1, 1)

    unraised: list[object] = []
    hook, sys.unraisablehook = sys.unraisablehook, unraised.append
    try:
        asyncio.run(main())
        kept.clear()
        gc.collect()
    finally:
        sys.unraisablehook = hook
    assert unraised == []  # a warning where nobody can catch it
    ends_at = time.monotonic() + 5
    while elsewhere.open_connections and time.monotonic() < ends_at:
        time.sleep(0.01)
    assert elsewhere.open_connections == 0


@APIS
@in_a_loop
async def test_a_client_that_is_let_go_closes_its_connection(api: str) -> None:
    async with LocalProvider(scenario=lambda asked: "hello there") as provider:
        model = CLIENTS[api](provider)
        await model.answer(ASK)
        assert provider.open_connections == 1
        del model
        async with asyncio.timeout(5):
            while provider.open_connections:
                gc.collect()
                await asyncio.sleep(0.01)


@APIS
@in_a_loop
async def test_a_hundred_at_once_get_their_own_answers(api: str) -> None:
    def echo(asked) -> Say:
        said = asked.body["input" if api == "responses" else "messages"][0]["content"]
        return Say(text=said if isinstance(said, str) else said[0]["text"], delay_seconds=0.001)

    async def one(model: Model, number: int) -> str:
        request = ModelRequest(messages=(LLMMessage(role="user", content=f"number {number}"),))
        if number % 2:
            return (await model.answer(request)).message.text
        return "".join([part.text async for part in model.stream(request) if isinstance(part, TextPart)])

    async with LocalProvider(scenario=echo) as provider:
        model = CLIENTS[api](provider)
        told = await asyncio.gather(*(one(model, number) for number in range(100)))
        assert told == [f"number {number}" for number in range(100)]
        await model.close()


@APIS
def test_one_client_serves_several_event_loops(api: str) -> None:
    made: list[Model] = []

    async def main() -> None:
        async with LocalProvider(scenario=lambda asked: "hi") as provider:
            if not made:
                made.append(OpenAIClient("k", "http://127.0.0.1:9/v1"))
                made[0] = CLIENTS[api](provider)
                ports.append(provider.port)
            assert (await made[0].answer(ASK)).message.text == "hi"
            await made[0].close()

    ports: list[int] = []
    asyncio.run(main())

    async def again() -> None:
        async with LocalProvider(port=ports[0], scenario=lambda asked: "hi") as provider:
            assert (await made[0].answer(ASK)).message.text == "hi"
            assert len(provider.requests) == 1
            await made[0].close()

    asyncio.run(again())


@APIS
@pytest.mark.parametrize("how", ["cancel", "close"])
@in_a_loop
async def test_a_reader_that_leaves_takes_the_request_along(api: str, how: str) -> None:
    started = asyncio.Event()

    async def read(model: Model) -> None:
        async with aclosing(model.stream(ASK)) as parts:  # pyright: ignore[reportArgumentType]
            async for _ in parts:
                started.set()
                if how == "close":
                    return

    async with LocalProvider(scenario=lambda asked: Break(kind="stall", after=6)) as provider:
        model = CLIENTS[api](provider)
        reading = asyncio.create_task(read(model))
        async with asyncio.timeout(3):
            await started.wait()
            if how == "cancel":
                reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            while not provider.disconnected:
                await asyncio.sleep(0.005)
        assert reading.cancelled() is (how == "cancel")
        await model.close()


@APIS
@in_a_loop
async def test_signs_of_life_alone_do_not_keep_a_stream_alive_for_ever(api: str) -> None:
    """A server that sends nothing but comments is held for stalled after ten idle timeouts."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        try:
            while True:
                writer.write(
                    b": working on it\n\n" if api != "messages" else b'event: ping\ndata: {"type": "ping"}\n\n'
                )
                await writer.drain()
                await asyncio.sleep(0.01)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    idle = 0.05
    model: Model = {
        "chat": lambda: OpenAIClient("k", f"{url}/v1", "chat", idle),
        "responses": lambda: OpenAIClient("k", f"{url}/v1", "responses", idle),
        "messages": lambda: AnthropicClient("k", url, idle),
    }[api]()
    async with asyncio.timeout(10):
        with pytest.raises(ModelStalled, match="signs of life"):
            await anext(aiter(model.stream(ASK)))
    await model.close()
    server.close()


@APIS
@in_a_loop
async def test_nobody_at_the_address_is_told_as_that(api: str) -> None:
    provider = LocalProvider()
    await provider.start()
    await provider.close()
    model = CLIENTS[api](provider)
    with pytest.raises(ModelUnreachable, match="no connection") as caught:
        await model.answer(ASK)
    assert caught.value.retryable
    await model.close()


@pytest.mark.parametrize("kind", [OpenAIClient, AnthropicClient])
@in_a_loop
async def test_a_key_that_is_missing_is_told_as_that(kind, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    model = kind()
    with pytest.raises(ModelKeyRejected, match="api_key="):
        await model.answer(ASK)


@in_a_loop
async def test_a_key_is_in_no_error_and_nothing_that_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    key = "of no known form 0123456789"
    async with LocalProvider(scenario=lambda asked: Refuse(status=401, message=f"Wrong key {asked.key}")) as provider:
        model = OpenAIClient(key, provider.base_url)
        caplog.set_level("DEBUG", logger="ropewalk")
        with pytest.raises(ModelKeyRejected) as caught:
            await model.answer(ASK)
        assert key not in str(caught.value)
        assert "***" in str(caught.value)
        assert key not in caplog.text
        await model.close()


def test_an_idle_timeout_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="idle_timeout"):
        OpenAIClient("k", idle_timeout=0)
    with pytest.raises(ValueError, match="'chat' or 'responses'"):
        OpenAIClient("k", api="completions")  # pyright: ignore[reportArgumentType]


def test_importing_loads_no_sdk() -> None:
    script = """if True:
        import json, sys
        import ropewalk, ropewalk.llm, ropewalk.testing.provider
        from ropewalk.llm import OpenAIClient, AnthropicClient, ScriptedModel
        print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
    """
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert not {"openai", "anthropic", "httpx", "httpx2"} & set(json.loads(ran.stdout))


def test_an_sdk_that_is_not_installed_is_told_with_the_line_that_installs_it(tmp_path: Path) -> None:
    script = """if True:
        import sys
        sys.modules["openai"] = sys.modules["anthropic"] = None
        from ropewalk.errors import PartMissing
        from ropewalk.llm import OpenAIClient, AnthropicClient
        for client in (OpenAIClient, AnthropicClient):
            try: client("k")
            except PartMissing as error: print(error)
    """
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "pip install 'ropewalk[openai]'" in ran.stdout
    assert "pip install 'ropewalk[anthropic]'" in ran.stdout
    assert issubclass(PartMissing, ImportError)


@APIS
def test_loops_of_several_threads_share_a_client(api: str) -> None:
    models: list[Model] = []
    addresses: list[LocalProvider] = []
    ready, done = threading.Event(), threading.Event()

    async def serve() -> None:
        async with LocalProvider(scenario=lambda asked: "hi") as provider:
            addresses.append(provider)
            models.append(CLIENTS[api](provider))
            ready.set()
            await asyncio.to_thread(done.wait, 10)

    async def ask() -> list[str]:
        replies = await asyncio.gather(*(models[0].answer(ASK) for _ in range(5)))
        await models[0].close()
        return [reply.message.text for reply in replies]

    with ThreadPoolExecutor(5) as pool:
        serving = pool.submit(asyncio.run, serve())
        assert ready.wait(10)
        asking = [pool.submit(asyncio.run, ask()) for _ in range(4)]
        assert [found.result(10) for found in asking] == [["hi"] * 5] * 4
        done.set()
        serving.result(10)
    assert len(addresses[0].requests) == 20


@in_a_loop
async def test_a_long_answer_needs_no_stream() -> None:
    """Anthropic's SDK refuses this of its own accord unless a timeout is given."""
    async with LocalProvider(scenario=lambda asked: "hi") as provider:
        model = CLIENTS["messages"](provider)
        assert (await model.answer(replace(ASK, max_tokens=128_000))).finish == "stop"
        await model.close()


def test_a_bare_client_is_asked_again_by_default_and_nothing_else_is_touched() -> None:
    client = AnthropicClient("k")
    steady = with_default_retries(client)
    assert isinstance(steady, Retrying)
    assert steady.model is client
    for model in (steady, Fallback([client]), ScriptedModel([])):
        assert with_default_retries(model) is model


# Names


@pytest.mark.parametrize(
    ("name", "kind", "model"),
    [
        ("openai:gpt-5.4-mini", OpenAIClient, "gpt-5.4-mini"),
        ("openai-responses:gpt-5", OpenAIClient, "gpt-5"),
        ("anthropic:claude-sonnet-5", AnthropicClient, "claude-sonnet-5"),
        ("openai:llama3:8b@http://localhost:11434/v1", OpenAIClient, "llama3:8b"),
        ("openai:org/model@2026@https://host/v1", OpenAIClient, "org/model@2026"),
    ],
)
def test_a_name_is_a_model(name: str, kind: type[Model], model: str) -> None:
    opened = open_model(name)
    assert isinstance(opened, Retrying)
    assert isinstance(opened.model, kind)
    assert opened.name == model


@pytest.mark.parametrize("name", ["", "gpt-5", "openai:", "mistral:large", "openai:m@ftp://host", "http://host/v1"])
def test_a_name_that_means_no_model_is_refused_with_those_that_do(name: str) -> None:
    if name == "openai:m@ftp://host":
        assert open_model(name).name == "m@ftp://host"
        return
    with pytest.raises(PartUnknown, match="openai:gpt"):
        open_model(name)


@pytest.mark.parametrize("scheme", ["openai", "openai-responses", "anthropic"])
@in_a_loop
async def test_a_local_server_needs_no_key(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    async with LocalProvider(scenario=lambda asked: asked.body["model"]) as provider:
        url = provider.root if scheme == "anthropic" else provider.base_url
        model = open_model(f"{scheme}:llama3@{url}")
        reply = await model.answer(ASK)
        assert isinstance(reply, Reply)
        assert (reply.message.text, reply.usage.cost) == ("llama3", None)
        await model.close()


def test_the_environment_names_a_model() -> None:
    assert default_model({}) is None
    assert default_model({"ROPEWALK_MODEL": "openai:x", "ANTHROPIC_API_KEY": "k"}) == "openai:x"
    assert str(default_model({"ANTHROPIC_API_KEY": "k"})).startswith("anthropic:")
    assert str(default_model({"OPENAI_API_KEY": "k"})).startswith("openai:")


@in_a_loop
async def test_nothing_of_an_sdk_comes_out_raw_from_a_server_that_talks_nonsense() -> None:
    answers = [
        b"",
        b"[]",
        b"null",
        b"<html>",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{}]}',
        b'{"choices": 7}',
        b'{"choices": [{"message": {}, "delta": {"tool_calls": [{}]}, "finish_reason": "tired"}]}',
        b'{"content": [{"type": "tool_use"}], "stop_reason": "end_turn"}',
        b'{"status": "completed", "output": [{"type": "message", "content": [5]}]}',
        b'{"error": "plain"}',
        b"\xff\xfe",
    ]

    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = current[0]
        if streaming[0]:
            body = b"data: " + body + b"\n\n"
        head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        await writer.drain()
        writer.close()

    async def read(model: Model) -> None:
        async for _ in model.stream(ASK):
            pass

    current, streaming = [b""], [False]
    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    models: list[Model] = [OpenAIClient("k", url), OpenAIClient("k", url, "responses"), AnthropicClient("k", url)]
    for model in models:
        for current[0], streaming[0] in itertools.product(answers, (False, True)):
            with pytest.raises(ModelError):
                await (read(model) if streaming[0] else model.answer(ASK))
        await model.close()
    server.close()
