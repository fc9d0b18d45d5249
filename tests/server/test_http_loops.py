"""Tool loops over HTTP: what is told of one that waits, what answers it takes, what became of one too late."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.server.serving import Served, until
from tests.server.talking import handyman, mailer


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(mailer(), handyman()) as running:
        yield running


def begun(served: Served, graph: str, text: str) -> tuple[str, dict[str, Any]]:
    """Start a run that comes to ask something; return its id and how it stands."""
    run_id = served.start(graph, {"messages": [{"role": "user", "content": text}]})
    return run_id, served.wait(run_id, "PAUSED")


def test_a_loop_that_waits_shows_what_it_has_done_so_far(served: Served) -> None:
    run_id, told = begun(served, "mailer", "write")
    assert [message["role"] for message in told["state"]["messages"]] == ["user", "assistant"]
    assert told["state"]["messages"][1]["content"] == "I will write to Ann."
    assert told["state"]["current_iteration"] == 1
    (pause,) = told["pauses"]
    assert (pause["kind"], pause["payload"]["arguments"], pause["expires_at"]) == ("approval", {"to": "Ann"}, None)
    committed = served.client.get(f"/runs/{run_id}/state").json()["state"]
    assert len(committed["messages"]) == 1, "what a step has not finished is no part of the state at an entry"


def test_what_its_models_used_is_told(served: Served) -> None:
    _, told = begun(served, "mailer", "write")
    assert told["usage"]["model_calls"] == 1
    assert told["usage"]["output_tokens"] > 0


@pytest.mark.parametrize("value", ["perhaps", {"approve": True, "arguments": {"from": "Eve"}}, {"sure": True}, None])
def test_an_answer_that_decides_nothing_is_refused_and_the_question_stays(served: Served, value: Any) -> None:
    run_id, told = begun(served, "mailer", "write")
    place = f"/runs/{run_id}/answers/{told['pauses'][0]['id']}"
    refused = served.client.post(place, json={"value": value})
    assert (refused.status_code, refused.json()["code"]) == (422, "answer_invalid")
    assert served.client.post(place, json={"value": False}).status_code == 202
    assert served.wait(run_id, "DONE")["state"]["final_output"] == "Not sent: None"


def test_an_answer_that_comes_too_late_is_told_and_resume_goes_on(served: Served) -> None:
    run_id, told = begun(served, "handyman", "hurry up")
    (pause,) = told["pauses"]
    assert pause["expires_at"] is not None

    def is_late() -> bool:
        answer = served.client.post(f"/runs/{run_id}/answers/{pause['id']}", json={"value": {"sure": True}})
        return answer.json()["code"] == "pause_expired" and answer.status_code == 409

    until(is_late)
    assert served.client.post(f"/runs/{run_id}/resume").status_code == 202
    assert "nobody approved it in time" in served.wait(run_id, "DONE")["state"]["final_output"]


def test_a_status_that_no_run_can_have_is_refused(served: Served) -> None:
    refused = served.client.get("/runs", params={"status": "IDLE"})
    assert (refused.status_code, refused.json()["code"]) == (400, "request_malformed")
