"""The command line as people and scripts use it: real processes, real files."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ropewalk.cli import main

ROOT = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 50
"""What a command may take on the busiest machine; nothing here depends on how long it does take."""

FLOW = """
import asyncio
from pathlib import Path
from typing import Literal
from ropewalk import END, START, Context, Graph, GraphState, History, Token

class Trip(GraphState):
    city: str = "Oslo"
    log: History[str]
    go: bool | None = None

graph = Graph(Trip)

@graph.node
async def plan(state: Trip, ctx: Context) -> dict:
    with Path("planned.txt").open("a") as file:
        file.write("x")
    for word in ("to ", state.city):
        ctx.emit(Token(word))
    return {"log": "planned"}

@graph.node
async def ask(ctx: Context) -> dict:
    return {"go": await ctx.ask({"question": "Shall we go?"})}

@graph.node
async def leave(state: Trip) -> dict:
    print("the node prints this")
    return {"log": "left"}

def way(state: Trip) -> Literal["leave", "__end__"]:
    return "leave" if state.go else END

graph.add_edge(START, "plan").add_edge("plan", "ask").add_router_edge("ask", way).add_edge("leave", END)
"""


def environ(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))), **more}


def ropewalk(folder: Path, *arguments: str, stdin: str | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ropewalk.cli", *arguments],
        cwd=folder,
        env=environ(**more),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def started(folder: Path, *arguments: str) -> str:
    """Run the flow until it asks; return the run's id."""
    (folder / "flow.py").write_text(FLOW, encoding="utf-8")
    ran = ropewalk(folder, "run", "flow.py:graph", "--json", *arguments)
    assert ran.returncode == 75, ran.stderr
    return str(lines(ran.stdout)[-1]["run_id"])


def shown(folder: Path, run_id: str, *arguments: str) -> dict[str, Any]:
    ran = ropewalk(folder, "runs", "show", run_id, "--json", *arguments)
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout))


def test_a_run_that_asks_ends_with_75_and_the_command_it_names_goes_on(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    ran = ropewalk(tmp_path, "run", "flow.py")
    assert ran.returncode == 75
    assert "to Oslo" in ran.stdout
    assert "Shall we go?" in ran.stdout
    (command,) = [line for line in ran.stdout.splitlines() if "runs answer" in line]
    program, _, rest = command.partition("    (or no")[0].strip().partition(" runs ")
    assert program == "python -m ropewalk.cli"
    answered = ropewalk(tmp_path, "runs", *shlex.split(rest))
    assert answered.returncode == 0, answered.stderr
    assert "DONE" in answered.stdout
    assert "the node prints this" in answered.stdout
    assert (tmp_path / "planned.txt").read_text(encoding="utf-8") == "x"


def test_an_answer_is_taken_once_and_the_second_is_told_who_was_first(tmp_path: Path) -> None:
    run_id = started(tmp_path)
    pause = shown(tmp_path, run_id)["pauses"][0]["id"]
    assert ropewalk(tmp_path, "runs", "answer", run_id, pause, "no", "--by", "Ana").returncode == 0
    assert shown(tmp_path, run_id)["state"]["go"] is False
    second = ropewalk(tmp_path, "runs", "answer", run_id, pause, "yes")
    assert second.returncode == 1
    assert "answered first by Ana" in second.stderr
    third = ropewalk(tmp_path, "runs", "answer", run_id, "yes")
    assert third.returncode == 2
    assert "asks nothing" in third.stderr


def test_every_line_of_json_is_json_whatever_the_nodes_print(tmp_path: Path) -> None:
    run_id = started(tmp_path, "--input", '{"city": "Rome"}')
    ran = ropewalk(tmp_path, "runs", "answer", run_id, "yes", "--json")
    *events, last = lines(ran.stdout)
    assert events[0]["type"] == "answered"
    assert events[-1]["type"] == "run_done"
    assert (last["type"], last["status"], last["state"]["city"]) == ("run", "DONE", "Rome")
    assert "the node prints this" in ran.stderr


def test_a_failed_run_goes_on_once_the_file_is_mended(tmp_path: Path) -> None:
    broken = FLOW.replace('await ctx.ask({"question": "Shall we go?"})', "1 / 0")
    (tmp_path / "flow.py").write_text(broken, encoding="utf-8")
    ran = ropewalk(tmp_path, "run", "flow.py", "--run-id", "trip")
    assert ran.returncode == 1
    assert "ZeroDivisionError: division by zero" in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr
    assert 'flow.py", line 24' in ran.stdout
    assert 'flow.py", line 24' in ropewalk(tmp_path, "runs", "show", "trip").stdout
    assert "runs resume trip" in ran.stdout
    (tmp_path / "flow.py").write_text(
        FLOW.replace('await ctx.ask({"question": "Shall we go?"})', "True"), encoding="utf-8"
    )
    assert ropewalk(tmp_path, "runs", "resume", "trip").returncode == 0
    assert (tmp_path / "planned.txt").read_text(encoding="utf-8") == "x"


SLOW = """
import asyncio
from pathlib import Path
from ropewalk import END, START, Graph

graph = Graph(name="slow")

@graph.node
async def first():
    with Path("first.txt").open("a") as file:
        file.write("x")

@graph.node
async def second():
    Path("begun").touch()
    while not Path("go").exists():
        await asyncio.sleep(0.01)

graph.add_edge(START, "first").add_edge("first", "second").add_edge("second", END)
"""


def in_its_second_step(folder: Path, process: "subprocess.Popen[str]") -> None:
    """Return when the run of `SLOW` hangs in its second step."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while not (folder / "begun").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def interrupted(folder: Path, how: signal.Signals, source: str = SLOW) -> subprocess.CompletedProcess[str]:
    """Start a run, and stop its process in its second step."""
    (folder / "slow.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "ropewalk.cli", "run", "slow.py", "--run-id", "slow"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=environ(), stdout=pipe, stderr=pipe, text=True) as process:
        in_its_second_step(folder, process)
        process.send_signal(how)
        out, err = process.communicate(timeout=LONGEST_SECONDS)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_whose_process_was_stopped_goes_on_where_it_was(tmp_path: Path, how: signal.Signals) -> None:
    stopped = interrupted(tmp_path, how)
    if how is signal.SIGINT:
        assert stopped.returncode == 130
        assert "python -m ropewalk.cli runs resume slow" in stopped.stderr
        assert "Traceback" not in stopped.stderr
    assert shown(tmp_path, "slow")["status"] == "RUNNING"
    (tmp_path / "go").touch()
    ran = ropewalk(tmp_path, "runs", "resume", "slow")
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "first.txt").read_text(encoding="utf-8") == "x"


def test_ctrl_c_does_not_wait_for_a_thread(tmp_path: Path) -> None:
    blocking = SLOW.replace("import asyncio", "import asyncio, time").replace("async def second", "def second")
    blocking = blocking.replace("await asyncio.sleep(0.01)", "time.sleep(0.01)")
    assert interrupted(tmp_path, signal.SIGINT, blocking).returncode == 130


def test_tail_follows_a_run_of_another_process(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW, encoding="utf-8")
    command = [sys.executable, "-m", "ropewalk.cli"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, "run", "slow.py", "--run-id", "slow"], cwd=tmp_path, env=environ(), stdout=pipe, text=True
    ) as run:
        in_its_second_step(tmp_path, run)
        tailing = [*command, "runs", "tail", "slow", "--json"]
        with subprocess.Popen(tailing, cwd=tmp_path, env=environ(), stdout=pipe, text=True) as tail:
            assert tail.stdout is not None
            first = [json.loads(tail.stdout.readline()) for _ in range(2)]
            (tmp_path / "go").touch()
            rest = lines(tail.stdout.read())
        run.communicate()
    assert [event["type"] for event in first] == ["run_started", "step_finished"]
    assert [line["type"] for line in rest] == ["step_finished", "run_done", "run"]
    assert tail.returncode == 0


def test_a_cancelled_run_is_refused_to_the_process_that_drove_it(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW, encoding="utf-8")
    command = [sys.executable, "-m", "ropewalk.cli", "run", "slow.py", "--run-id", "slow"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=environ(), stdout=pipe, stderr=pipe, text=True) as process:
        in_its_second_step(tmp_path, process)
        cancelled = ropewalk(tmp_path, "runs", "cancel", "slow", "--reason", "not needed")
        assert cancelled.returncode == 0, cancelled.stderr
        assert "not needed" in cancelled.stdout
        (tmp_path / "go").touch()
        out, err = process.communicate(timeout=LONGEST_SECONDS)
    assert process.returncode == 1
    assert "not needed" in out + err
    assert shown(tmp_path, "slow")["status"] == "CANCELLED"
    again = ropewalk(tmp_path, "runs", "resume", "slow")
    assert again.returncode == 1
    assert "CANCELLED" in again.stderr


def test_ls_and_show_need_the_store_alone(tmp_path: Path) -> None:
    run_id = started(tmp_path)
    (tmp_path / "flow.py").unlink()
    listed = json.loads(ropewalk(tmp_path, "runs", "ls", "--json").stdout)
    assert [(run["run_id"], run["status"], run["graph"]) for run in listed] == [(run_id, "PAUSED", "Trip")]
    assert run_id in ropewalk(tmp_path, "runs", "ls", "--status", "paused").stdout
    assert json.loads(ropewalk(tmp_path, "runs", "ls", "--status", "done", "--json").stdout) == []
    run = shown(tmp_path, run_id)
    assert run["state"] is None
    assert run["pauses"][0]["payload"] == {"question": "Shall we go?"}
    assert f"runs answer {run_id} {run['pauses'][0]['id']} yes" in run["pauses"][0]["command"]
    told = ropewalk(tmp_path, "runs", "show", run_id).stdout
    assert "needs the graph's file" in told
    assert "step_finished" in told


def test_show_draws_what_ran_and_what_waits(tmp_path: Path) -> None:
    run_id = started(tmp_path)
    ran = ropewalk(tmp_path, "runs", "show", run_id, "--svg", "run.svg")
    assert ran.returncode == 0, ran.stderr
    assert '"city": "Oslo"' in ran.stdout
    picture = (tmp_path / "run.svg").read_text(encoding="utf-8")
    for mark in ('data-node="plan" data-status="done"', 'data-node="ask" data-status="waiting"'):
        assert mark in picture
    assert 'data-node="leave" data-status="pending"' in picture


def test_a_fork_begins_with_the_entries_of_the_old_run(tmp_path: Path) -> None:
    run_id = started(tmp_path)
    forked = ropewalk(tmp_path, "runs", "fork", run_id, "--at", "2", "--set", "city=Rome", "--json")
    assert forked.returncode == 75, forked.stderr
    fork = lines(forked.stdout)[-1]
    assert fork["state"]["city"] == "Rome"
    assert shown(tmp_path, run_id)["state"]["city"] == "Oslo"
    assert shown(tmp_path, fork["run_id"])["parent"] == run_id
    assert (tmp_path / "planned.txt").read_text(encoding="utf-8") == "x"
    assert ropewalk(tmp_path, "runs", "answer", fork["run_id"], "yes").returncode == 0
    wrong = ropewalk(tmp_path, "runs", "fork", run_id, "--at", "99")
    assert wrong.returncode == 2
    assert "has no entry 99" in wrong.stderr


def test_a_breakpoint_is_released_by_resume(tmp_path: Path) -> None:
    flow = FLOW.replace("@graph.node\nasync def leave", '@graph.node(interrupt="before")\nasync def leave')
    (tmp_path / "flow.py").write_text(
        flow.replace('await ctx.ask({"question": "Shall we go?"})', "True"), encoding="utf-8"
    )
    ran = ropewalk(tmp_path, "run", "flow.py", "--run-id", "b")
    assert ran.returncode == 75
    assert "runs resume b" in ran.stdout
    assert ropewalk(tmp_path, "runs", "resume", "b").returncode == 0


def test_a_run_is_found_by_the_beginning_of_its_id(tmp_path: Path) -> None:
    for name in ("trip-1", "trip-2", "walk-1"):
        started(tmp_path, "--run-id", name)
    assert "walk-1" in ropewalk(tmp_path, "runs", "show", "walk").stdout
    two = ropewalk(tmp_path, "runs", "show", "trip")
    assert two.returncode == 2
    assert "2 runs begin with 'trip'" in two.stderr
    assert "trip-1" in two.stderr


def test_the_store_is_that_of_the_project_also_in_a_subfolder(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.ropewalk]\nstore = "sqlite:///kept/runs.db"\n', encoding="utf-8")
    run_id = started(tmp_path)
    assert (tmp_path / "kept" / "runs.db").exists()
    below = tmp_path / "below"
    below.mkdir()
    assert run_id in ropewalk(below, "runs", "ls").stdout
    assert run_id not in ropewalk(below, "runs", "ls", ROPEWALK_STORE="memory:").stdout


def test_a_store_that_the_file_gives_its_graph_is_used_and_remembered(tmp_path: Path) -> None:
    flow = FLOW.replace("Graph(Trip)", 'Graph(Trip, store="sqlite:///own.db")')
    (tmp_path / "flow.py").write_text(flow, encoding="utf-8")
    assert ropewalk(tmp_path, "run", "flow.py", "--run-id", "a").returncode == 75
    assert (tmp_path / "own.db").exists()
    assert not (tmp_path / ".ropewalk" / "runs.db").exists()
    assert ropewalk(tmp_path, "runs", "answer", "a", "yes").returncode == 0


def test_the_store_given_is_remembered_with_the_run(tmp_path: Path) -> None:
    started(tmp_path, "--store", "sqlite:///other.db", "--run-id", "a")
    assert ropewalk(tmp_path, "runs", "answer", "a", "yes").returncode == 0


def test_nothing_that_a_store_names_is_executed(tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    started(here, "--run-id", "a")
    store = f"sqlite:///{here}/.ropewalk/runs.db"
    refused = ropewalk(elsewhere, "runs", "answer", "a", "yes", "--store", store)
    assert refused.returncode == 2
    assert "--graph FILE:graph" in refused.stderr
    assert not (elsewhere / "planned.txt").exists()
    named = ropewalk(elsewhere, "runs", "answer", "a", "yes", "--store", store, "--graph", f"{here}/flow.py:graph")
    assert named.returncode == 0, named.stderr


def test_a_record_that_others_may_write_to_is_not_followed(tmp_path: Path) -> None:
    started(tmp_path, "--run-id", "a")
    (tmp_path / ".ropewalk" / "graphs.jsonl").chmod(0o666)
    refused = ropewalk(tmp_path, "runs", "answer", "a", "yes")
    assert refused.returncode == 2
    assert "not believed" in refused.stderr


def test_another_graph_is_refused(tmp_path: Path) -> None:
    started(tmp_path, "--run-id", "a")
    (tmp_path / "slow.py").write_text(SLOW, encoding="utf-8")
    refused = ropewalk(tmp_path, "runs", "resume", "a", "--graph", "slow.py")
    assert refused.returncode == 2
    assert "'slow'" in refused.stderr


def test_the_initial_state_comes_from_a_file_or_standard_input(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"city": "Rome"}', encoding="utf-8")
    run_id = started(tmp_path, "--input", "@state.json")
    assert shown(tmp_path, run_id)["state"]["city"] == "Rome"
    ran = ropewalk(tmp_path, "run", "flow.py", "--input", "-", "--json", stdin='{"city": "Bern"}')
    assert lines(ran.stdout)[-1]["state"]["city"] == "Bern"


def test_a_file_in_a_package_finds_its_neighbours(tmp_path: Path) -> None:
    package = tmp_path / "app" / "flows"
    package.mkdir(parents=True)
    for folder in (package, package.parent):
        (folder / "__init__.py").touch()
    (package / "words.py").write_text("CITY = 'Bonn'\n", encoding="utf-8")
    flow = FLOW.replace('"Oslo"', "CITY").replace(
        "import asyncio", "from .words import CITY\nfrom app.flows import words", 1
    )
    (package / "flow.py").write_text(flow, encoding="utf-8")
    ran = ropewalk(tmp_path, "run", "app/flows/flow.py", "--json")
    assert lines(ran.stdout)[-1]["state"]["city"] == "Bonn", ran.stderr


MISTAKES = [
    (["run", "nothing.py"], "There is no file 'nothing.py'"),
    (["run", "flwo.py"], "Did you mean 'flow.py'?"),
    (["run", "."], "is a folder"),
    (["run", "notes.txt"], "is no Python file"),
    (["run", "flow.py:grph"], "Did you mean 'graph'?"),
    (["run", "flow.py:Trip"], "is no Graph"),
    (["run", "two.py"], "two.py:one, two.py:other"),
    (["run", "none.py"], "draws no graph"),
    (["run", "broken.py"], "SyntaxError"),
    (["run", "raises.py"], "raises.py:2"),
    (["run", "exits.py"], "SystemExit"),
    (["run", "lost.py"], "no node has this name"),
    (["run", "needs.py"], """--input '{"city": "..."}'"""),
    (["run", "flow.py", "--input", "{"], "--input is no JSON"),
    (["run", "flow.py", "--input", "[]"], "not an object"),
    (["run", "flow.py", "--input", "@none.json"], "cannot be read"),
    (["run", "flow.py", "--input", '{"ctiy": "x"}'], "Did you mean 'city'?"),
    (["run", "flow.py", "--input", '{"city": 3}'], "city: Input should be a valid string"),
    (["run", "flow.py", "--run-id", "../x"], "cannot be a run id"),
    (["run", "flow.py", "--timeout", "0"], "not more than 0"),
    (["run", "flow.py", "--timeout", "soon"], "--timeout: 'soon' is no number of seconds"),
    (["run", "flow.py", "--timeout", "inf"], "--timeout: 'inf' is no number of seconds"),
    (["runs", "fork", "trip", "--at", "x"], "--at: 'x' is no whole number"),
    (["runs", "tail", "trip", "--after", "1.5"], "--after: '1.5' is no whole number"),
    (["runs", "ls", "--status", "don"], "--status: there is no 'DON'. Did you mean 'DONE'? Known: RUNNING,"),
    (["worker", "flow.py", "--on-mismatch", "x"], "--on-mismatch: there is no 'x'. Known: leave, fail."),
    (["run", "flow.py", "--store", "redis://x"], "redis://x"),
    (["run", "flow.py", "--sotre", "x"], "--sotre"),
    (["rnu"], "Did you mean 'run'?"),
    (["runs", "tial"], "Did you mean 'tail'?"),
    ([], "--help"),
    (["runs", "show", "nobody"], "There is no run 'nobody'"),
    (["runs", "ls", "--limit", "0"], "not 1 or more"),
    (["graph", "flow.py", "-o", "x.png"], "tells no form"),
    (["graph", "lost.py"], "no node has this name"),
]  # fmt: skip


@pytest.fixture(scope="module")
def mistaken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistaken")
    started(folder)
    lost = "from ropewalk import Graph\ng = Graph()\n@g.node\ndef a(): ...\ng.add_edge('a', 'b')\n"
    needs = FLOW.replace('city: str = "Oslo"', "city: str")
    for name, text in {
        "notes.txt": "x",
        "two.py": "from ropewalk import Graph\none, other = Graph(), Graph()\n",
        "none.py": "x = 1\n",
        "broken.py": "def (\n",
        "raises.py": "import json\njson.loads('{')\n",
        "exits.py": "raise SystemExit(3)\n",
        "lost.py": lost,
        "needs.py": needs,
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"), MISTAKES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_a_mistake_is_told_in_words_and_ends_with_2(
    mistaken: Path,
    arguments: list[str],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(mistaken)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    try:
        status = main(arguments)
    except SystemExit as left:  # argparse leaves by itself
        status = left.code
    said = capsys.readouterr()
    assert status == 2
    assert words in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


def test_debug_shows_the_traceback(mistaken: Path) -> None:
    ran = ropewalk(mistaken, "run", "raises.py", "--debug")
    assert ran.returncode == 1
    assert "JSONDecodeError" in ran.stderr
    assert "Traceback" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["runs", "show", "nobody"], "run_not_found"),
        (["rnu"], "usage"),
        (["runs", "ls", "--status", "foo"], "usage"),
        (["runs"], "usage"),
        (["run", "flow.py", "--timeout", "soon"], "usage"),
    ],
)
def test_a_mistake_is_told_to_programs_as_json(mistaken: Path, arguments: list[str], code: str) -> None:
    ran = ropewalk(mistaken, *arguments, "--json")
    assert ran.returncode == 2
    error = json.loads(ran.stdout)
    assert (error["type"], error["code"]) == ("error", code)
    assert error["message"]
    assert ran.stderr == ""


def test_a_failed_step_is_told_with_its_last_line_and_wholly_with_debug(tmp_path: Path) -> None:
    broken = FLOW.replace('await ctx.ask({"question": "Shall we go?"})', "json.loads('{')").replace(
        "import asyncio", "import asyncio, json", 1
    )
    (tmp_path / "flow.py").write_text(broken, encoding="utf-8")
    ran = ropewalk(tmp_path, "run", "flow.py")
    told = [line for line in ran.stdout.splitlines() if line.startswith('  File "')]
    assert len(told) == 1
    assert "json" in told[0], "the place where it was raised"
    whole = ropewalk(tmp_path, "run", "flow.py", "--debug").stdout
    assert 'flow.py", line 24' in whole
    assert whole.count('  File "') > 1


def test_an_existing_run_is_not_started_again(tmp_path: Path) -> None:
    started(tmp_path, "--run-id", "a")
    ran = ropewalk(tmp_path, "run", "flow.py", "--run-id", "a")
    assert ran.returncode == 2
    assert "runs resume a" in ran.stderr


def test_looking_makes_no_store(tmp_path: Path) -> None:
    ran = ropewalk(tmp_path, "runs", "ls")
    assert ran.returncode == 1
    assert "There is no store" in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("This is a letter and no database. " * 50, encoding="utf-8")
    ran = ropewalk(tmp_path, "runs", "ls", "--store", "sqlite:///x.db")
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr


def test_what_a_run_says_cannot_steer_the_terminal(tmp_path: Path) -> None:
    evil = FLOW.replace('"to "', '"\\033[2J\\033]0;title\\007"').replace("Shall we go?", "\\033[31mGo?")
    (tmp_path / "flow.py").write_text(evil, encoding="utf-8")
    ran = ropewalk(tmp_path, "run", "flow.py", "--run-id", "a")
    told = ropewalk(tmp_path, "runs", "show", "a").stdout + ropewalk(tmp_path, "runs", "tail", "a").stdout
    assert "\033" not in ran.stdout + told
    assert "\a" not in ran.stdout + told


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    started(tmp_path)
    command = f"{shlex.quote(sys.executable)} -m ropewalk.cli runs show run_ | true"
    ran = subprocess.run(
        ["sh", "-c", command], cwd=tmp_path, env=environ(), capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""


def test_a_graph_is_drawn_in_words_and_in_pictures(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    told = ropewalk(tmp_path, "graph", "flow.py").stdout
    assert "way: leave | END" in told
    assert ropewalk(tmp_path, "graph", "flow.py", "--mermaid").stdout.startswith("flowchart")
    assert "digraph" in ropewalk(tmp_path, "graph", "flow.py", "--dot").stdout
    assert ropewalk(tmp_path, "graph", "flow.py", "-o", "flow.svg").returncode == 0
    assert (tmp_path / "flow.svg").read_text(encoding="utf-8").startswith("<svg")
    edges = json.loads(ropewalk(tmp_path, "graph", "flow.py", "--json").stdout)["edges"]
    assert {"from": "plan", "to": "ask", "kind": "arrow"} in edges


def test_a_new_project_runs_at_once_and_is_not_overwritten(tmp_path: Path) -> None:
    made = ropewalk(tmp_path, "new", "demo")
    assert made.returncode == 0, made.stderr
    assert "cd demo" in made.stdout
    demo = tmp_path / "demo"
    ran = ropewalk(demo, "run", "flow.py", "--json")
    assert ran.returncode == 75, ran.stderr
    run = lines(ran.stdout)[-1]
    assert run["pauses"][0]["payload"]["question"] == "Send this reply?"
    done = ropewalk(demo, "runs", "answer", run["run_id"], "yes", "--json")
    assert lines(done.stdout)[-1]["state"]["sent"] is True
    again = ropewalk(tmp_path, "new", "demo")
    assert again.returncode == 2
    assert "nothing is overwritten" in again.stderr


def test_a_run_kept_in_memory_suggests_nothing_that_cannot_work(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    ran = ropewalk(tmp_path, "run", "flow.py", "--store", "memory:")
    assert ran.returncode == 75
    assert "runs answer" not in ran.stdout
    assert "--store sqlite:///runs.db" in ran.stdout


def test_version_is_told(tmp_path: Path) -> None:
    assert ropewalk(tmp_path, "--version").stdout.startswith("ropewalk ")
