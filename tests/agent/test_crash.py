"""`kill -9` at every position of a loop's log, and in the middle of every tool: nothing finished happens twice.

Promises 3 and 4, for tools. The processes are real, and so is the store; see `crash_victim.py`.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import ropewalk

HERE = Path(__file__).parent
ROOT = str(HERE.parents[1])
SOURCE = str(Path(ropewalk.__file__).parents[1])
CALLS = 5
ONCE = {"charge": 2, "pay": 1, "mail": 1}


@pytest.fixture(scope="module", name="deaths")
def _deaths(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("crash")
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(HERE / "crash_victim.py"), str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((SOURCE, ROOT))},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_every_position_was_died_at(deaths: list[dict[str, Any]]) -> None:
    died = [death["position"] for death in deaths if death["died"]]
    appends = sum(position.startswith("before ") for position in died)
    assert appends == sum(position.startswith("after ") for position in died)
    assert appends >= 12
    assert {f"{name} {when}" for name in ("search", "charge", "pay", "mail") for when in ("before", "after")} <= set(
        died
    )


@pytest.mark.slow
def test_whatever_died_the_run_ends_as_if_nothing_had(deaths: list[dict[str, Any]]) -> None:
    for death in deaths:
        assert death["end"] == ["DONE", "all done", CALLS], death


@pytest.mark.slow
def test_what_must_happen_once_happens_once(deaths: list[dict[str, Any]]) -> None:
    for death in deaths:
        names = Counter(line.split()[0] for line in death["effects"])
        assert {name: names[name] for name in ONCE} == ONCE, death


@pytest.mark.slow
def test_what_may_be_repeated_has_one_key_and_is_repeated_once_at_most(deaths: list[dict[str, Any]]) -> None:
    for death in deaths:
        lines = [line for line in death["effects"] if line.startswith("search")]
        assert len(set(lines)) == 1, death
        assert len(lines) <= 2, death
        if death["position"].startswith("after "):
            assert sum(Counter(death["effects"]).values()) - len(set(death["effects"])) <= 1, death


@pytest.mark.slow
def test_no_more_than_what_was_under_way_is_asked_again(deaths: list[dict[str, Any]]) -> None:
    for death in deaths:
        assert death["asked"] in (4, 5), death
        if death["position"].split()[0] in ("search", "charge", "pay", "mail"):
            assert death["asked"] == 4, death  # a tool's death costs no call of a model


@pytest.mark.slow
def test_a_person_is_asked_only_about_calls_that_were_under_way(deaths: list[dict[str, Any]]) -> None:
    for death in deaths:
        assert len(death["unknown"]) <= 1, death
        assert "c1" not in death["unknown"], death
    asked = {death["position"] for death in deaths if death["unknown"]}
    assert {"charge after", "pay after", "mail after", "charge before"} <= asked
