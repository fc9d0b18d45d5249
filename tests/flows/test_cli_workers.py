"""`ropewalk worker`, `doctor` and `db upgrade` as people type them; no command tells the password of a store."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

import ropewalk as package
from ropewalk.cli.shown import holds_secret, shown_url

SOURCE = str(Path(package.__file__).parents[1])
FLOW = """
from ropewalk import END, START, Context, Graph, GraphState, History

class Desk(GraphState):
    log: History[str]

graph = Graph(Desk, name="desk")

@graph.node
async def ask(ctx: Context):
    return {"log": await ctx.ask("Which?")}

graph.add_edge(START, "ask").add_edge("ask", END)

quick = Graph(Desk, name="quick")
quick.add_node(lambda: {"log": "quick"}, name="only")
quick.add_edge(START, "only").add_edge("only", END)

if __name__ == "__main__":
    import asyncio, sys

    from ropewalk.runtime import open_store

    async def submit():
        store = open_store(sys.argv[1])
        for one in (graph, quick):
            one.use_store(store)
            await one.submit(run_id=f"{one.name}-{sys.argv[2]}")
        await store.close()

    asyncio.run(submit())
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "flow.py").write_text(FLOW)
    return tmp_path


def command(*words):
    return [sys.executable, "-W", "error", "-m", "ropewalk.cli", *words]


def environ(**more):
    return {**os.environ, "PYTHONPATH": SOURCE, **more}


def ropewalk(place, *words, **more):
    return subprocess.run(
        command(*words), cwd=place, env=environ(**more), capture_output=True, text=True, check=False, timeout=50
    )


def submit(place, url, name):
    subprocess.run([sys.executable, "flow.py", url, name], cwd=place, env=environ(), check=True, timeout=30)


@contextmanager
def working(place, *words):
    with subprocess.Popen(
        command("worker", *words), cwd=place, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def statuses(place, url):
    listed = ropewalk(place, "runs", "ls", "--store", url, "--json")
    return {run["run_id"]: run["status"] for run in json.loads(listed.stdout)}


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def password_of(url):
    return urlsplit(url).password


@pytest.mark.slow
def test_runs_are_submitted_driven_asked_about_answered_and_end(postgres_url, place):
    submit(place, postgres_url, "1")
    with working(place, "flow.py:graph", "flow.py:quick", "--store", postgres_url, "--lease", "5") as worker:
        until(lambda: statuses(place, postgres_url) == {"desk-1": "PAUSED", "quick-1": "DONE"})
        answered = ropewalk(
            place, "runs", "answer", "desk-1", "blue", "--graph", "flow.py:graph", "--store", postgres_url
        )
        assert answered.returncode == 0, answered.stderr
        assert "left to workers" in answered.stdout
        assert '"blue"' in answered.stdout
        worker.send_signal(signal.SIGTERM)
        out, err = worker.communicate(timeout=20)
        assert worker.returncode == 0
    assert "serves desk, quick from postgresql://" in out
    assert "handed everything over" in out
    log = json.loads(ropewalk(place, "runs", "show", "desk-1", "--store", postgres_url, "--json").stdout)["history"]
    assert [entry["type"] for entry in log] == [
        *("run_started", "paused", "run_paused", "answered", "step_finished", "run_done")
    ]
    password = password_of(postgres_url)
    assert password not in out + err + answered.stdout + answered.stderr


@pytest.mark.slow
def test_a_worker_says_what_it_needs(place, postgres_url):
    refused = ropewalk(place, "worker", "flow.py:graph", "--store", "sqlite:///runs.db")
    assert refused.returncode == 2
    assert "postgresql://" in refused.stderr
    twice = ropewalk(place, "worker", "flow.py:graph", "flow.py:graph", "--store", postgres_url)
    assert twice.returncode == 2
    assert "'desk'" in twice.stderr
    away = ropewalk(place, "worker", "flow.py:graph", "--store", "postgresql://me:hush@127.0.0.1:1/none")
    assert away.returncode == 1
    assert "could not be reached" in away.stderr
    assert "?." not in away.stderr
    assert "hush" not in away.stderr + away.stdout
    options = ropewalk(place, "worker", "flow.py:graph", "--store", "postgresql://me:hush@h/d?max_connections=1")
    assert options.returncode == 2
    assert "max_connections" in options.stderr
    assert "hush" not in options.stderr + options.stdout


@pytest.mark.slow
def test_a_store_that_the_file_gives_its_graphs_is_used(place, postgres_url):
    own = FLOW.replace(
        "graph = Graph(",
        "import os\nfrom ropewalk.runtime import open_store\nstore = open_store(os.environ['DB'])\ngraph = Graph(",
    )
    own = own.replace('name="desk"', 'name="desk", store=store').replace('name="quick"', 'name="quick", store=store')
    (place / "own.py").write_text(own)
    submit(place, postgres_url, "1")
    with subprocess.Popen(
        command("worker", "own.py:graph", "own.py:quick", "--json"),
        cwd=place, env=environ(DB=postgres_url), stdout=subprocess.PIPE, text=True,
    ) as worker:  # fmt: skip
        until(lambda: statuses(place, postgres_url) == {"desk-1": "PAUSED", "quick-1": "DONE"})
        worker.send_signal(signal.SIGINT)
        told = [json.loads(line) for line in worker.communicate(timeout=20)[0].splitlines()]
    assert worker.returncode == 0
    assert [line["type"] for line in told] == ["worker_started", "worker_draining", "worker_stopped"]


def test_commands_that_look_at_an_empty_database_find_nothing_and_make_nothing(place, postgres_url):
    def told(*words):
        return ropewalk(place, *words, "--store", postgres_url)

    assert "has a reason to move" in told("doctor").stdout
    listed = told("runs", "ls", "--json")
    assert (listed.returncode, listed.stdout.strip(), listed.stderr) == (0, "[]", "")
    for words in (("runs", "show", "r"), ("runs", "resume", "r")):
        assert "There is no run 'r'" in told(*words).stderr
    with psycopg.connect(postgres_url) as connection:
        made = connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'ropewalk'").fetchone()
    assert made == (0,)


@pytest.mark.slow
def test_the_doctor_tells_what_nothing_moves_and_why(place, postgres_url):
    def doctor(*more):
        return ropewalk(place, "doctor", "--store", postgres_url, *more)

    healthy = doctor()
    assert (healthy.returncode, healthy.stderr) == (0, "")
    assert "has a reason to move" in healthy.stdout
    assert password_of(postgres_url) not in healthy.stdout

    submit(place, postgres_url, "1")
    assert doctor("--after", "60").returncode == 0  # they have only just come
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("UPDATE ropewalk.work SET wake_at = wake_at - interval '5 minutes'")
        connection.execute("UPDATE ropewalk.run SET updated = updated - 300")
        found = doctor()
        assert found.returncode == 1
        assert found.stdout.count("unserved") == 2
        assert "due for 5 minutes" in found.stdout
        assert "ropewalk worker FILE:graph" in found.stdout
        assert password_of(postgres_url) not in found.stdout

        connection.execute("DELETE FROM ropewalk.work")
        told = json.loads(doctor("--json").stdout)
        assert {(run["run_id"], run["problem"]) for run in told} == {("desk-1", "stranded"), ("quick-1", "stranded")}

    embedded = "import asyncio, flow; from ropewalk.runtime import open_store; import sys, os\n"
    embedded += "flow.graph.use_store(open_store(sys.argv[1]))\n"
    embedded += "async def main():\n"
    embedded += "    run = flow.graph.start(run_id='left'); await run.admitted(); os._exit(0)\n"
    embedded += "asyncio.run(main())\n"
    subprocess.run(
        [sys.executable, "-c", embedded, "sqlite:///runs.db"],
        cwd=place, env=environ(PYTHONPATH=f"{SOURCE}:."), check=True, timeout=30,
    )  # fmt: skip
    silent = ropewalk(place, "doctor", "--store", "sqlite:///runs.db", "--after", "0.001")
    assert silent.returncode == 1
    assert "silent" in silent.stdout
    assert "runs resume left" in silent.stdout


def test_the_tables_are_brought_up_to_date(place, postgres_url):
    forbidden = f"{postgres_url}?migrate=no"
    before = ropewalk(place, "runs", "ls", "--store", forbidden)
    assert before.returncode == 1
    assert "db upgrade" in before.stderr
    upgraded = ropewalk(place, "db", "upgrade", "--store", forbidden)
    assert upgraded.returncode == 0, upgraded.stderr
    assert "upgraded from version 0" in upgraded.stdout
    assert "up to date" in ropewalk(place, "db", "upgrade", "--store", forbidden).stdout
    assert ropewalk(place, "runs", "ls", "--store", forbidden).returncode == 0
    said = before.stdout + before.stderr + upgraded.stdout
    assert password_of(postgres_url) not in said


@pytest.mark.slow
def test_a_password_is_neither_printed_nor_noted(place, postgres_url):
    password = password_of(postgres_url)
    assert password
    said = []

    def typed(*words):
        ran = ropewalk(place, *words, ROPEWALK_STORE=postgres_url)
        said.append(ran.stdout + ran.stderr)
        return ran

    assert typed("runs", "ls").returncode == 0
    assert typed("runs", "show", "nobody").returncode == 2
    assert typed("run", "flow.py:graph", "--run-id", "a").returncode == 75
    assert typed("run", "flow.py:graph", "--run-id", "b", "--json").returncode == 75
    assert typed("run", "flow.py:graph", "--run-id", "c", "--store", postgres_url).returncode == 75
    assert typed("runs", "show", "a", "--graph", "flow.py:graph").returncode == 0
    assert typed("runs", "fork", "a", "--graph", "flow.py:graph").returncode == 75
    assert typed("runs", "answer", "a", "blue", "--graph", "flow.py:graph", "--store", postgres_url).returncode == 0
    assert not [text for text in said if password in text]
    noted = (place / ".ropewalk" / "graphs.jsonl").read_text()
    assert '"run_id": "a"' in noted
    assert password not in noted


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///runs.db?durability=normal", "sqlite:///runs.db?durability=normal"),
        ("sqlite:///a b@c:d.db", "sqlite:///a b@c:d.db"),
        ("memory:", "memory:"),
        ("postgresql://me@h/d?migrate=no", "postgresql://me@h/d?migrate=no"),
        ("postgresql://me:hush@h:1,k:2/d", "postgresql://me@h:1,k:2/d"),
        ("postgresql://me:hu%40sh@h/d?a=b&sslpassword=hush", "postgresql://me@h/d?a=b"),
        ("postgresql://h/d?user=me&password=hush", "postgresql://h/d?user=me"),
        ("stranger://:hush@h/d?api_token=hush", "stranger://@h/d"),
    ],
)
def test_a_url_is_shown_without_what_is_secret(url, shown):
    assert shown_url(url) == shown
    assert holds_secret(url) is (url != shown)
