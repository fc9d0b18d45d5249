"""Schemathesis asks the API what its document says, and much that it does not, over a real socket."""

import warnings
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    status_code_conformance,
)
from tests.server.graphs import plan, quick
from tests.server.serving import Served

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    negative_data_rejection,
]
OPERATIONS = [
    ("GET", "/graphs"),
    ("GET", "/graphs/{graph}"),
    ("GET", "/graphs/{graph}/picture"),
    ("POST", "/graphs/{graph}/runs"),
    ("GET", "/runs"),
    ("GET", "/runs/{run_id}"),
    ("GET", "/runs/{run_id}/history"),
    ("GET", "/runs/{run_id}/state"),
    ("GET", "/runs/{run_id}/picture"),
    ("GET", "/runs/{run_id}/events"),
    ("POST", "/runs/{run_id}/answers/{pause_id}"),
    ("POST", "/runs/{run_id}/resume"),
    ("POST", "/runs/{run_id}/retry"),
    ("POST", "/runs/{run_id}/cancel"),
    ("POST", "/runs/{run_id}/fork"),
    ("PATCH", "/runs/{run_id}/state"),
    ("DELETE", "/runs/{run_id}"),
]

NOTHING_TO_GET_WRONG = (("GET", "/graphs"),)


@pytest.fixture(scope="module")
def served() -> Any:
    with Served(quick(), plan()) as running:
        yield running


@pytest.fixture(scope="module")
def schema(served: Served) -> Any:
    return schemathesis.openapi.from_url(f"{served.url}/openapi.json")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_operation_does_what_its_document_says(served: Served, schema: Any, method: str, path: str) -> None:
    """Half of those that fit the document name a graph or a run that is there, to reach what lies behind the 404."""
    run_id = served.start("quick" if path.endswith("/events") else "plan")  # a stream of a paused run may have no end
    served.wait(run_id, "PAUSED", "DONE")
    count = 0

    @settings(
        max_examples=8,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    def ask(case: Any) -> None:
        nonlocal count
        count += 1
        if count % 2 and case.path_parameters and case.meta.generation.mode.is_positive:
            case.path_parameters |= {
                name: {"graph": "quick", "run_id": run_id}[name] for name in case.path_parameters if name != "pause_id"
            }
        response = case.call(base_url=served.url)
        case.validate_response(response, checks=CHECKS)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            if mode.is_negative and (method, path) in NOTHING_TO_GET_WRONG:
                continue
            given(case=schema[path][method].as_strategy(generation_mode=mode))(ask)()
    assert served.client.get("/health").status_code == 200
