"""The agent of `./dev run`: it finds, it asks, it can be killed anywhere, and a real SDK may think for it."""

import asyncio
import json
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from examples.documents.clerk import model_in_words
from examples.documents.script import next_move
from tests.flows.demoing import DEMO, answers, at_a_terminal, demo, environ, log, ropewalk, runs

from ropewalk import LLMMessage, ModelRequest, ToolCall
from ropewalk.testing.provider import LocalProvider, Refuse

OUT = Path(".ropewalk") / "demo" / "texts"
ANSWER = OUT / "answers" / "answer-1.md"
TOOLS = 10
"""Calls that the script makes for the question that comes with the demo."""


def made(folder: Path) -> Counter[str]:
    """Return how often each call was made: the tools leave a line each time."""
    file = folder / OUT / "calls-1.txt"
    return (
        Counter(line.split("\t")[0] for line in file.read_text(encoding="utf-8").splitlines())
        if file.exists()
        else Counter()
    )


def finished(folder: Path, run_id: str) -> set[str]:
    """Return the calls whose end is in the log."""
    return {
        f"{run_id}/clerk#1/{entry.data['name'].replace('tool', 'call')}"
        for entry in log(folder, run_id)
        if entry.type == "tool_result"
    }


def test_it_answers_from_what_it_has_found_and_asks_before_it_publishes(tmp_path: Path) -> None:
    ran = demo(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "Question Will Captain Okafor get her lines by 15 December?" in ran.stdout
    assert "a script, without a model" in ran.stdout
    assert not (tmp_path / ANSWER).exists()
    (run,) = runs(tmp_path)
    assert run.status == "PAUSED"
    digest, answer = answers(ran.stdout)
    assert answer[-1] == "--approve"
    assert "DONE" not in ropewalk(tmp_path, *answer, code=75)
    page = (tmp_path / ANSWER).read_text(encoding="utf-8")
    assert "Possible if the hemp from Riga comes by the end of the month. (`minutes-2026-10-12.md`)" in page
    assert "DONE" in ropewalk(tmp_path, *digest)
    assert sum(made(tmp_path).values()) == len(made(tmp_path)) == TOOLS


def test_another_question_has_another_answer_and_an_unknown_thing_none(tmp_path: Path) -> None:
    assert demo(tmp_path, "--yes", "--question", "Who bolts the guards of the strander?").returncode == 0
    page = (tmp_path / ANSWER).read_text(encoding="utf-8")
    assert "T. Pengelly bolts the guards" in page
    ran = demo(tmp_path, "--yes", "--question", "What do giraffes eat?")
    assert "The documents say nothing of it: I looked for giraffes." in ran.stdout
    assert "No answer was published." in ran.stdout
    assert not (tmp_path / OUT / "answers" / "answer-2.md").exists()


def test_a_folder_of_ones_own_is_asked_nothing_unless_one_asks(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "a.txt").write_text("The spare key hangs behind the stove in the kitchen.", encoding="utf-8")
    assert "Question" not in demo(tmp_path, "papers", "--yes").stdout
    demo(tmp_path, "papers", "--yes", "--question", "Where is the spare key?")
    answer = tmp_path / ".ropewalk" / "demo" / "papers" / "answers" / "answer-2.md"
    assert "behind the stove" in answer.read_text(encoding="utf-8")


def test_an_unfinished_run_keeps_its_question_and_says_so(tmp_path: Path) -> None:
    demo(tmp_path)
    again = demo(tmp_path, "--question", "Who bolts the guards?")
    assert "It was asked something else: Will Captain Okafor" in again.stdout
    assert len(runs(tmp_path)) == 1


def test_who_says_no_may_say_why_and_nothing_is_published(tmp_path: Path) -> None:
    typed = [(b"Publish this digest?", b"y\n"), (b"Publish this answer?", b"no, it says nothing of Riga\n")]
    seen, code = at_a_terminal(tmp_path, typed)
    assert code == 0, seen
    assert "| - Two lines of 220 metres by 15 December." in seen
    assert "a person rejected it. Reason: it says nothing of Riga" in seen
    assert "No answer" in seen
    assert not (tmp_path / ANSWER).exists()
    assert runs(tmp_path)[0].status == "DONE"


def test_what_is_decided_later_is_asked_again(tmp_path: Path) -> None:
    typed = [(b"Publish this digest?", b"\n"), (b"Publish this answer?", b"y\n")]
    seen, _ = at_a_terminal(tmp_path, typed)
    assert "answers/answer-1.md" in seen or (tmp_path / ANSWER).exists()
    assert runs(tmp_path)[0].status == "PAUSED"
    seen, code = at_a_terminal(tmp_path, [(b"Publish this digest?", b"y\n")])
    assert code == 0, seen
    assert "Publish this answer?" not in seen
    assert runs(tmp_path)[0].status == "DONE"


def killed(folder: Path, lines: int, seconds: float) -> None:
    """Start the demo, and kill it some time after its tools have left so many lines."""
    command = [*DEMO, "--pace", "0.03", "--yes"]
    with subprocess.Popen(
        command, cwd=folder, env=environ(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        while sum(made(folder).values()) < lines and process.poll() is None:
            time.sleep(0.002)
        time.sleep(seconds)  # a moment that nothing marks
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("seed", range(4))
def test_a_loop_of_ten_tools_that_is_killed_at_random_makes_no_finished_call_again(tmp_path: Path, seed: int) -> None:
    """Promises 3 and 4: a call whose end is in the log never runs again, one in flight does, and is told by its key."""
    chance = random.Random(seed)
    in_flight: Counter[str] = Counter()
    was_finished: dict[str, int] = {}
    for least in sorted(chance.sample(range(1, TOOLS), 3)):
        killed(tmp_path, least, chance.random() * 0.1)
        (run,) = runs(tmp_path)
        ended, so_far = finished(tmp_path, run.run_id), made(tmp_path)
        in_flight.update(key for key in so_far if key not in ended)
        was_finished |= {key: so_far[key] for key in ended if key not in was_finished}
        if run.status == "DONE":
            break
    else:
        again = demo(tmp_path, "--yes")
        assert again.returncode == 0, again.stderr
    (run,) = runs(tmp_path)
    assert run.status == "DONE"
    counted = made(tmp_path)
    assert {key: counted[key] for key in was_finished} == was_finished
    assert all(times <= 1 + in_flight[key] for key, times in counted.items()), counted
    assert set(counted) == finished(tmp_path, run.run_id)
    assert len(counted) == TOOLS
    ends = Counter((entry.type, entry.data["name"]) for entry in log(tmp_path, run.run_id) if "name" in entry.data)
    assert set(ends.values()) == {1}
    assert (tmp_path / ANSWER).exists()


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, "a script, without a model"),
        ({"OPENAI_API_KEY": "k"}, "openai:gpt-5.4-mini, because OPENAI_API_KEY is set"),
        ({"ANTHROPIC_API_KEY": "k"}, "anthropic:claude-sonnet-5, because ANTHROPIC_API_KEY is set"),
        (
            {"ROPEWALK_MODEL": "openai:x@http://localhost:1/v1", "OPENAI_API_KEY": "k"},
            "openai:x@http://localhost:1/v1, because ROPEWALK_MODEL is set",
        ),
        ({"ROPEWALK_MODEL": "scripted", "OPENAI_API_KEY": "k"}, "a script, without a model"),
    ],
)
def test_it_says_who_thinks(environ: dict[str, str], words: str) -> None:
    assert words in model_in_words(environ)


async def asked_for_real(folder: Path, provider: LocalProvider, name: str, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *DEMO,
        *("--pace", "0.01", *arguments),
        cwd=folder,
        env=environ() | {"ROPEWALK_MODEL": name},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode(), complained.decode()


@pytest.mark.parametrize("provider_name", ["openai", "openai-responses", "anthropic"])
def test_a_real_sdk_drives_it_and_may_ask_for_nonsense(tmp_path: Path, provider_name: str) -> None:
    cues: list[Any] = [
        ["Let me look.", ToolCall("search", {"words": "Okafor"}), ToolCall("read", {"file": "../../secret.txt"})],
        ToolCall("read", {"file": "minutes-2026-10-12.md"}),
        ToolCall("publish", {"answer": "Only if the hemp comes.", "sources": ["minutes-2026-10-12.md"]}),
        "It is published: only if the hemp comes.",
    ]

    async def whole() -> None:
        async with LocalProvider() as provider:
            provider.script(cues)
            where = provider.root if provider_name == "anthropic" else provider.base_url
            name = f"{provider_name}:some-model@{where}"
            code, said, complained = await asked_for_real(tmp_path, provider, name, "--yes")
            assert code == 0, complained
            assert f"{name}, because ROPEWALK_MODEL is set" in said
            assert "There is no document '../../secret.txt'" in said
            assert "It is published: only if the hemp comes." in said
            assert len(provider.requests) == 4
            told = json.dumps([request.body for request in provider.requests])
            assert "Possible if the hemp from Riga comes" in told
            assert "There is no document" in told

    asyncio.run(whole())
    assert "Only if the hemp comes." in (tmp_path / ANSWER).read_text(encoding="utf-8")


def test_a_model_that_refuses_fails_the_run_in_words_and_the_same_command_goes_on(tmp_path: Path) -> None:
    async def whole() -> None:
        async with LocalProvider() as provider:
            provider.script([ToolCall("search", {"words": "Okafor"}), Refuse(status=401)])
            name = f"openai:some-model@{provider.base_url}"
            code, _, complained = await asked_for_real(tmp_path, provider, name)
            assert code == 1
            assert "key" in complained
            assert "same command" in complained
            assert "ROPEWALK_MODEL=scripted" in complained
            assert "Traceback" not in complained

    asyncio.run(whole())
    again = demo(tmp_path, "--yes")
    assert again.returncode == 0, again.stderr
    assert "Going on with run" in again.stdout
    assert (tmp_path / ANSWER).exists()
    assert sum(made(tmp_path).values()) == len(made(tmp_path))


def test_the_script_goes_on_after_a_call_that_failed() -> None:
    said = [
        LLMMessage(role="user", content="Where is the kettle?"),
        LLMMessage(role="assistant", tool_calls=[ToolCall("search", {"words": "kettle"}, "c1")]),
        LLMMessage(role="tool", tool_call_id="c1", content="search failed. OSError: gone", is_error=True),
    ]
    move = next_move(ModelRequest(messages=tuple(said)))
    assert move.text == "The documents say nothing of it: I looked for kettle."
    assert not move.tool_calls
