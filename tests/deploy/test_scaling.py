"""The arithmetic of growth is right where it can be known otherwise, and the page shows what the command prints."""

import json
import re
import subprocess
import sys
from dataclasses import asdict, fields, replace
from math import ceil
from pathlib import Path

import pytest
from benchmarks.growth import BUSY, Costs, Load, Machines, chunks_a_second, clusters, limits, needs
from benchmarks.queueing import Death, chance_to_wait, mean_wait, play
from benchmarks.scaling import demand, main, report, table
from tests.deploy import shipped

FULL = "one cluster, 60% busy, is full at so many sessions, by its"
PAGE = shipped.ROOT / "docs" / "scaling.md"


def found(load: Load, part: str, reason: str, costs: Costs | None = None, machines: Machines | None = None) -> float:
    (one,) = [
        need
        for need in needs(load, costs or Costs(), machines or Machines())
        if (need.part, need.reason) == (part, reason)
    ]
    return one.demand


def test_the_load_is_what_the_users_do() -> None:
    load = Load(sessions=3600, messages_an_hour=2, tokens=100, tokens_a_second=50)
    assert (load.messages, load.answer_seconds, load.answering) == (2, 2, 4)
    assert chunks_a_second(load, replace(Costs(), tokens_a_chunk=2)) == 100


@pytest.mark.parametrize("cost", [one.name for one in fields(Costs) if one.name not in ("tokens_a_chunk", "pod_join")])
def test_every_cost_counts(cost: str) -> None:
    """What is dearer is asked for more of, somewhere in the report."""
    dearer = replace(Costs(), **{cost: getattr(Costs(), cost) * 1000})
    now, then = ([*demand(Load(), costs), *table(Load(), costs, Machines())] for costs in (Costs(), dearer))
    assert now != then


def test_half_the_sessions_need_half_of_everything() -> None:
    whole, half = (needs(Load(sessions=count), Costs(), Machines()) for count in (1_000_000, 500_000))
    for one, other in zip(whole, half, strict=True):
        assert other.demand == pytest.approx(one.demand / 2, rel=0.02), (
            one.part,
            one.reason,
        )  # whole processes connect


def test_memory_of_the_log_follows_how_long_it_is_kept() -> None:
    costs = replace(Costs(), redis_session_bytes=0)
    hour, minute = (found(Load(log_seconds=kept), "redis", "memory", costs) for kept in (3600, 60))
    assert hour == pytest.approx(60 * minute)
    assert hour * BUSY * Machines().redis_bytes == pytest.approx(
        chunks_a_second(Load(), costs) * 3600 * costs.redis_chunk_bytes
    )


def test_the_sessions_fit_into_the_clusters_and_into_no_fewer() -> None:
    load, costs, machines = Load(), Costs(), Machines()
    count = clusters(needs(load, costs, machines))
    alone = needs(replace(load, sessions=ceil(load.sessions / count)), costs, machines)
    assert all(need.count == 1 for need in alone if not need.grows)
    fewer = needs(replace(load, sessions=load.sessions // (count - 1)), costs, machines)
    assert any(need.count > 1 for need in fewer if not need.grows)


def test_a_part_is_full_where_it_is_said_to_be() -> None:
    load, costs, machines = Load(), Costs(), Machines()
    told = limits(load, costs, machines)
    assert [sessions for _, sessions in told] == sorted(sessions for _, sessions in told)
    for need, sessions in told:
        assert found(replace(load, sessions=sessions), need.part, need.reason) == pytest.approx(1, rel=0.02)


def test_erlangs_formula_gives_what_is_in_the_tables() -> None:
    assert chance_to_wait(offered=1, slots=2) == pytest.approx(1 / 3)
    assert chance_to_wait(offered=8, slots=10) == pytest.approx(0.4092, abs=1e-4)
    assert mean_wait(offered=0.5, slots=1, hold_seconds=2) == pytest.approx(2)  # M/M/1: rho / (1 - rho) * hold
    assert mean_wait(offered=2, slots=2, hold_seconds=1) == float("inf")


def test_the_play_agrees_with_the_formula() -> None:
    played = play(rate=7, hold_seconds=1, slots=10, seconds=15_000)
    assert sum(played.waited) / len(played.waited) == pytest.approx(mean_wait(7, 10, 1), rel=0.1)
    assert sum(one > 0 for one in played.waited) / len(played.waited) == pytest.approx(chance_to_wait(7, 10), rel=0.05)


def test_the_play_is_the_same_each_time_and_loses_nobody() -> None:
    death = Death(at=30, slots=50)
    one, other = (play(rate=60, hold_seconds=1, slots=100, seconds=100, death=death) for _ in range(2))
    assert one == other
    assert one.begun_again > 0
    assert len(one.waited) == one.answered + one.begun_again
    alive = play(rate=60, hold_seconds=1, slots=100, seconds=100)
    assert one.deepest > alive.deepest


def test_costs_of_another_machine_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "costs.json"
    file.write_text(json.dumps(asdict(replace(Costs(), redis_chunk=1.0))), encoding="utf-8")
    assert main(["--sessions", "1000", "--costs", str(file)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert re.match(r"redis +CPU, one core each +\d+$", printed[printed.index(FULL) + 1])


def test_it_needs_nothing_but_python() -> None:
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, '.'); import runpy; "
         "sys.argv[1:] = ['--sessions', '10000']; runpy.run_module('benchmarks.scaling', run_name='__main__')"],
        cwd=shipped.ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def test_the_page_shows_what_the_command_prints() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = re.search(r"```console\n\$ \./dev bench scaling --sessions 1000000\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    lines = [line.rstrip() for line in report(Load(), Costs(), Machines()).splitlines()]
    assert [line.rstrip() for line in shown[1].splitlines()] == lines


def test_the_page_shows_the_costs_that_are_calculated_with() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, value in asdict(Costs()).items():
        row = re.search(rf"^\| `{name}` \| ([\d,.]+)", text, re.MULTILINE)
        assert row is not None, f"{name} is not in the table"
        scale = 1 if name.endswith(("_bytes", "_rows", "_commits", "_a_chunk")) else 1e6
        assert float(row[1].replace(",", "")) == pytest.approx(value * scale), name
