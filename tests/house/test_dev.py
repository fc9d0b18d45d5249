"""`./dev` does what it says where a test can see it without setting anything up."""

import runpy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def dev() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "dev"))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["texts"], ["{here}/texts"]),
        (["--yes", "texts"], ["--yes", "{here}/texts"]),
        (["../texts", "--out", "digest"], ["{here}/../texts", "--out", "{here}/digest"]),
        (["--out=digest", "/texts"], ["--out={here}/digest", "/texts"]),
        (["--store", "sqlite:///runs.db", "--pace", "3"], ["--store", "sqlite:///runs.db", "--pace", "3"]),
        (["--question", "Who pays?", "texts"], ["--question", "Who pays?", "{here}/texts"]),
        ([], []),
    ],
)
def test_run_takes_paths_as_relative_to_the_callers_folder(
    dev: dict[str, Any], given: list[str], meant: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert dev["meant_from_here"](given) == [arg.format(here=tmp_path) for arg in meant]


def test_every_environment_that_a_command_names_is_pinned(dev: dict[str, Any]) -> None:
    ins = {path.stem for path in (ROOT / "requirements").glob("*.in")}
    assert ins == {path.stem for path in (ROOT / "requirements").glob("*.txt")}
    assert set(dev["PROGRAMS_ONLY"]) <= ins
