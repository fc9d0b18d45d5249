"""Schemathesis asks the chat doors what their document says, and much that it does not, over a real socket."""

import warnings
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from tests.server.serving import Served
from tests.server.talking import mute
from tests.server.test_openapi import CHECKS

OPERATIONS = [
    ("GET", "/v1/models/{name}"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/graphs/{graph}/chat"),
    ("GET", "/graphs/{graph}/chat/{chat_id}/stream"),
    ("POST", "/graphs/{graph}/ag-ui"),
]


@pytest.fixture(scope="module")
def served() -> Any:
    with Served(mute()) as running:
        yield running


@pytest.fixture(scope="module")
def schema(served: Served) -> Any:
    return schemathesis.openapi.from_url(f"{served.url}/openapi.json")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_a_chat_door_does_what_its_document_says(served: Served, schema: Any, method: str, path: str) -> None:
    count = 0

    @settings(
        max_examples=5,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    def ask(case: Any) -> None:
        nonlocal count
        count += 1
        if count % 2:
            for name in {"graph", "name"} & {*(case.path_parameters or {})}:
                case.path_parameters[name] = "mute"
            if isinstance(case.body, dict) and "model" in case.body:
                case.body["model"] = "mute"
        case.validate_response(case.call(base_url=served.url), checks=CHECKS)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            given(case=schema[path][method].as_strategy(generation_mode=mode))(ask)()
    assert served.client.get("/health").status_code == 200
