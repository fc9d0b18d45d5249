"""Calls of tools that wait for a person, decided at the command line: what is asked, typed, and told in the end."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.flows.test_cli import lines, ropewalk, shown

OFFICE = """
from ropewalk import LLMMessage, ScriptedModel, ToolCall, ToolGraph, ToolState, tool

@tool("Pay", pause_before_execution=True)
async def pay(to: str, amount: float, note: str = "") -> str:
    with open("paid.txt", "a") as file:
        file.write(f"{to} {amount:g}\\n")
    return f"paid {amount:g} to {to}"

@tool("Write a letter", pause_after_execution=True)
async def write(to: str) -> str:
    return f"Dear {to},\\nyours"

CALLS = [
    ToolCall("pay", {"to": "Ann", "amount": 5, "note": "for ropes,\\nand for \\x1b[31mtar"}),
    ToolCall("pay", {"to": "Bob", "amount": 500}),
    ToolCall("write", {"to": "Cy"}),
]
said = ToolState(messages=[LLMMessage(role="user", content="Pay and write.")])
graph = ToolGraph("office", state=said)
graph.add_tool_node("clerk", [pay, write], ScriptedModel([CALLS, "All is done."]))
"""

ONE_CALL = OFFICE.replace("[CALLS, ", "[CALLS[1], ")

DIES = """
import os
from pathlib import Path
from ropewalk import LLMMessage, ScriptedModel, ToolCall, ToolGraph, ToolState, tool

@tool("Pay", effects="once")
async def pay(to: str) -> str:
    with open("paid.txt", "a") as file:
        file.write("x")
    os.kill(os.getpid(), 9)
    return "never"

graph = ToolGraph("office", state=ToolState(messages=[LLMMessage(role="user", content="Pay.")]))
graph.add_tool_node("clerk", [pay], ScriptedModel([ToolCall("pay", {"to": "Ann"}), "All is done."]))
"""

ASKS = """
from ropewalk import Context, Graph, GraphState

class Trip(GraphState):
    go: bool | None = None

graph = Graph(Trip)

@graph.node
async def ask(ctx: Context) -> dict:
    return {"go": await ctx.ask({"question": "Shall we go?"})}
"""


def started(folder: Path, flow: str, code: int = 75) -> str:
    """Run a flow until it asks; return what it said."""
    (folder / "flow.py").write_text(flow, encoding="utf-8")
    ran = ropewalk(folder, "run", "flow.py:graph", "--run-id", "r1")
    assert ran.returncode == code, ran.stderr
    return ran.stdout


def pauses(folder: Path) -> dict[str, str]:
    """Return id by what waits: ``Ann``, ``Bob``, ``Cy``."""
    return {pause["payload"]["arguments"]["to"]: pause["id"] for pause in shown(folder, "r1")["pauses"]}


def told(folder: Path) -> list[str]:
    """Return what the model was told of its calls."""
    return [message["content"] for message in shown(folder, "r1")["state"]["messages"] if message["role"] == "tool"]


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return the folder of a run that waits for one decision, and the pause's id; for who decides nothing."""
    folder = tmp_path_factory.mktemp("waiting")
    started(folder, ONE_CALL)
    return folder, pauses(folder)["Bob"]


def test_a_paused_run_says_what_it_wants_to_do_and_what_to_type(tmp_path: Path) -> None:
    said = started(tmp_path, OFFICE)
    ids = pauses(tmp_path)
    for words in ("May pay run?", "write has run. May its result count?", '    to: "Ann"', "    amount: 5"):
        assert words in said
    assert "    note:\n      for ropes,\n      and for \ufffd[31mtar\n" in said
    assert "    -> result:\n      Dear Cy,\n      yours\n" in said
    command = f'runs answer r1 {ids["Bob"]} --approve    (or --reject "why", or --arguments JSON)'
    assert command in said
    show = ropewalk(tmp_path, "runs", "show", "r1").stdout
    assert "waits    approval at clerk: May pay run?" in show
    assert command in show
    assert (
        'asks     approval at clerk: May pay run? pay(to="Bob", amount=500)' in ropewalk(tmp_path, "runs", "ls").stdout
    )
    tail = ropewalk(tmp_path, "runs", "tail", "r1").stdout
    assert "approval: write has run. May its result count? write(to=" in tail
    assert all(pause["command"].endswith("--approve") for pause in shown(tmp_path, "r1")["pauses"])


def test_calls_are_decided_one_by_one_in_any_order_and_the_model_is_told(tmp_path: Path) -> None:
    started(tmp_path, OFFICE)
    ids = pauses(tmp_path)
    assert ropewalk(tmp_path, "runs", "answer", "r1", ids["Cy"], "--reject", "too short").returncode == 75
    assert ropewalk(tmp_path, "runs", "answer", "r1", "--reject", ids["Bob"]).returncode == 75
    edited = ropewalk(tmp_path, "runs", "answer", "r1", "--arguments", '{"to": "Ann", "amount": 4}', "--by", "Eve")
    assert edited.returncode == 0, edited.stderr
    assert 'answered by Eve: approved, with other arguments: {"to": "Ann", "amount": 4}' in edited.stdout
    ann, bob, cy = told(tmp_path)
    assert ann.startswith("A person changed the arguments")
    assert ann.endswith("paid 4 to Ann")
    assert bob == "pay was not run: a person rejected it."
    assert cy == "write has run and what it did stands, but a person refused its result. Reason: too short"
    assert (tmp_path / "paid.txt").read_text(encoding="utf-8") == "Ann 4\n"
    tail = ropewalk(tmp_path, "runs", "tail", "r1").stdout
    assert "rejected: too short" in tail


@pytest.mark.parametrize(
    "arguments",
    [["--approve"], ["--approve", "{id}"], ["{id}", "--approve"], ["yes"], ["{id}", "yes"], ['{"approve": true}']],
    ids=" ".join,
)
def test_a_call_is_approved_in_every_way_that_one_may_type(tmp_path: Path, arguments: list[str]) -> None:
    started(tmp_path, ONE_CALL)
    given = [argument.replace("{id}", pauses(tmp_path)["Bob"]) for argument in arguments]
    ran = ropewalk(tmp_path, "runs", "answer", "r1", *given)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "paid.txt").read_text(encoding="utf-8") == "Bob 500\n"


def test_arguments_come_from_a_file_too(tmp_path: Path) -> None:
    started(tmp_path, ONE_CALL)
    (tmp_path / "mine.json").write_text('{"to": "Bob", "amount": 1}', encoding="utf-8")
    ran = ropewalk(tmp_path, "runs", "answer", "r1", "--approve", "--arguments", "@mine.json")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "paid.txt").read_text(encoding="utf-8") == "Bob 1\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: VALUE"),
        (["{id}", "yes", "--approve"], "The answer is given twice: 'yes'"),
        (["--approve", "--reject"], "not allowed with"),
        (["--reject", "no", "--arguments", "{}"], "--arguments goes with --approve alone"),
        (["--arguments", "{"], "--arguments is no JSON"),
        (["--arguments", "[1]"], "no object"),
        (["--arguments", "@nowhere.json"], "cannot be read"),
        (["--arguments", '{"to": "Bob", "amount": "much"}'], "amount"),
        (["--happened"], "Only of a call whose outcome is unknown"),
        (["perhaps"], "Answer with"),
        (["p_4711", "--approve"], "p_4711"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_mistake_is_told_and_decides_nothing(waiting: tuple[Path, str], arguments: list[str], words: str) -> None:
    folder, pause = waiting
    ran = ropewalk(folder, "runs", "answer", "r1", *(argument.replace("{id}", pause) for argument in arguments))
    assert ran.returncode == 2, ran.stdout
    assert words in ran.stderr
    assert "Traceback" not in ran.stderr
    assert shown(folder, "r1")["status"] == "PAUSED"
    assert not (folder / "paid.txt").exists()


def test_with_several_calls_one_is_asked_which(tmp_path: Path) -> None:
    started(tmp_path, OFFICE)
    ran = ropewalk(tmp_path, "runs", "answer", "r1", "--approve")
    assert ran.returncode == 2
    assert "waits for 3 answers" in ran.stderr
    for command in (line for line in ran.stderr.splitlines() if "runs answer" in line):
        typed = shlex.split("runs answer" + command.partition("runs answer")[2])
        assert ropewalk(tmp_path, *typed).returncode in (0, 75)
    assert shown(tmp_path, "r1")["status"] == "DONE"


def test_a_question_takes_the_options_as_yes_and_no(tmp_path: Path) -> None:
    started(tmp_path, ASKS)
    wrong = ropewalk(tmp_path, "runs", "answer", "r1", "--reject", "not now")
    assert wrong.returncode == 2
    assert "no call of a tool waits there" in wrong.stderr
    assert ropewalk(tmp_path, "runs", "answer", "r1", "--reject").returncode == 0
    assert shown(tmp_path, "r1")["state"]["go"] is False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--happened", "a receipt"], "a receipt"), (["--reject", "ask the bank"], "ask the bank")],
)
def test_of_a_call_that_died_one_says_what_became_of_it(tmp_path: Path, arguments: list[str], words: str) -> None:
    started(tmp_path, DIES, code=-9)
    resumed = ropewalk(tmp_path, "runs", "resume", "r1")
    assert resumed.returncode == 75, resumed.stderr
    assert "nobody knows whether it took effect. Run it again?" in resumed.stdout
    assert "--happened RESULT" in resumed.stdout
    answered = ropewalk(tmp_path, "runs", "answer", "r1", *arguments)
    assert answered.returncode == 0, answered.stderr
    assert words in told(tmp_path)[0]
    assert (tmp_path / "paid.txt").read_text(encoding="utf-8") == "x"


def test_the_answer_of_a_program_is_the_same_as_json(tmp_path: Path) -> None:
    started(tmp_path, ONE_CALL)
    ran = ropewalk(tmp_path, "runs", "answer", "r1", "--reject", "no", "--json")
    events: list[dict[str, Any]] = lines(ran.stdout)
    answer = next(event["data"]["value"] for event in events if event["type"] == "answered")
    assert answer == json.loads('{"approve": false, "reason": "no"}')
    assert events[-1]["status"] == "DONE"
