"""The files of deploy/, read once for all who look at them, and the schemas that packages carry."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jsonschema.validators import validator_for
from tests.up import composed

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
MANIFESTS = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")


def compose() -> dict[str, Any]:
    """Return the compose file as it stands, its anchors resolved and its variables not."""
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))


def services(**environ: str) -> dict[str, composed.Service]:
    return composed.read(COMPOSE.read_text(encoding="utf-8"), environ)


def manifests(kind: str = "") -> list[dict[str, Any]]:
    found = [one for path in MANIFESTS for one in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
    return [one for one in found if kind in ("", one["kind"])]


def instructions(name: str) -> list[tuple[str, str]]:
    """Return a Dockerfile's instructions with what they are given, one line each."""
    text = (DEPLOY / name).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [(words[0], " ".join(words[1].split())) for words in lines]


def complaints(document: Any, schema: str) -> list[str]:
    """Return what a schema that check-jsonschema carries finds wrong."""
    carried = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / f"{schema}.json"
    rules = json.loads(carried.read_text(encoding="utf-8"))
    found = validator_for(rules)(rules).iter_errors(document)
    return [f"{error.json_path}: {error.message[:300]}" for error in found]
