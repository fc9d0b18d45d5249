"""CI says the words of the README."""

from typing import Any

import yaml
from tests.deploy import shipped


def workflow() -> dict[str, Any]:
    given = yaml.safe_load((shipped.ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in given.items()}  # `on` is a boolean to YAML 1.1


def test_it_fits_the_schema() -> None:
    assert not shipped.complaints(workflow(), "github-workflows")


def test_the_schema_finds_what_is_wrong() -> None:
    wrong = workflow()
    wrong["jobs"]["test"]["runs_on"] = wrong["jobs"]["test"].pop("runs-on")
    assert shipped.complaints(wrong, "github-workflows")


def test_every_python_is_tried_by_the_same_words() -> None:
    job = workflow()["jobs"]["test"]
    assert [one["python"] for one in job["strategy"]["matrix"]["include"]] == ["3.11", "3.12", "3.13", "3.14"]
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]


def test_the_shipped_compose_file_is_run_where_there_is_an_engine() -> None:
    steps = " ".join(step.get("run", "") for step in workflow()["jobs"]["deploy"]["steps"])
    assert "docker compose -f deploy/compose.yaml up" in steps
    assert "kubectl kustomize deploy/kubernetes" in steps
