"""Runs over HTTP: every route, against a real server on a real socket."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.server.graphs import plan, quick, talk
from tests.server.serving import Served, bearer, said, until

import ropewalk
from ropewalk import END, START, Graph, GraphState, History


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(talk(), plan(), quick()) as running:
        yield running


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (told["status"], told["code"], told["type"]) == (status, code, f"urn:ropewalk:error:{code}")
    assert told["title"]
    assert told["detail"]
    return told


def test_graphs_are_listed_with_the_schema_of_their_input(served: Served) -> None:
    listed = served.client.get("/graphs").json()
    assert [graph["name"] for graph in listed["items"]] == ["talk", "plan", "quick"]
    assert listed["next"] is None
    told = served.client.get("/graphs/quick").json()
    assert told == listed["items"][2]
    assert told["input_schema"]["properties"]["n"] == {"default": 0, "title": "N", "type": "integer"}
    assert told["input_schema"]["additionalProperties"] is False


def test_a_graph_is_found_by_its_name_in_the_file_too(served: Served) -> None:
    assert served.client.get("/graphs/flow").json()["name"] == "talk"


def test_a_graph_nobody_knows_is_told_with_the_nearest_name(served: Served) -> None:
    told = problem(served.client.get("/graphs/tlak"), 404, "graph_not_found")
    assert "Did you mean 'talk'?" in told["detail"]


def test_a_graph_and_a_run_are_drawn(served: Served) -> None:
    drawn = served.client.get("/graphs/talk/picture")
    assert drawn.headers["content-type"] == "image/svg+xml"
    assert drawn.text.startswith("<svg")
    assert served.client.get("/graphs/talk/picture", params={"format": "mermaid"}).text.startswith("flowchart")
    run_id = served.start("quick")
    served.wait(run_id, "DONE")
    assert "<svg" in served.client.get(f"/runs/{run_id}/picture").text


def test_a_run_is_started_followed_answered_and_looked_at(served: Served) -> None:
    answer = served.client.post("/graphs/talk/runs", json={"input": {"topic": "cats"}})
    assert answer.status_code == 202
    run_id = answer.json()["run_id"]
    assert answer.json()["status"] == "RUNNING"
    assert answer.headers["location"] == f"/runs/{run_id}"
    looked = served.wait(run_id, "PAUSED")
    (pause,) = looked["pauses"]
    assert (pause["kind"], pause["payload"]) == ("question", {"print": "hello cats"})
    assert looked["state"]["said"] == ["hello cats"]
    answered = served.client.post(f"/runs/{run_id}/answers/{pause['id']}", json={"value": "yes", "by": "Ann"})
    assert answered.status_code == 202
    assert served.wait(run_id, "DONE")["state"]["said"] == ["hello cats", "answered yes"]
    history = served.client.get(f"/runs/{run_id}/history").json()["items"]
    assert [entry["number"] for entry in history] == [1, 2, 3, 4, 5, 6, 7]
    assert history[4]["data"]["by"] == "Ann"


def test_a_second_answer_is_told_who_was_first(served: Served) -> None:
    run_id = served.start("talk")
    pause = served.wait(run_id, "PAUSED")["pauses"][0]["id"]
    assert served.client.post(f"/runs/{run_id}/answers/{pause}", json={"value": 1, "by": "Ann"}).status_code == 202
    told = problem(
        served.client.post(f"/runs/{run_id}/answers/{pause}", json={"value": 2, "by": "Bob"}), 409, "already_answered"
    )
    assert told["by"] == "Ann"
    problem(served.client.post(f"/runs/{run_id}/answers/nobody", json={"value": 2}), 404, "pause_not_found")


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({"input": {"nn": 3}}, 422, "input_invalid", "Did you mean 'n'?"),
        ({"input": {"n": "three"}}, 422, "input_invalid", "valid integer"),
        ({"input": {"kind": "c"}}, 422, "input_invalid", "kind"),
        ({"input": []}, 422, "input_invalid", "input"),
        ({"inputs": {}}, 422, "input_invalid", "inputs"),
        ({"run_id": "../x"}, 422, "invalid_id", "../x"),
        ([], 422, "input_invalid", "body"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_by_field(
    served: Served, body: Any, status: int, code: str, said: str
) -> None:
    assert said in problem(served.client.post("/graphs/quick/runs", json=body), status, code)["detail"]


def test_a_body_that_does_not_fit_is_not_told_as_the_input_of_a_graph_without_a_name(served: Served) -> None:
    told = problem(served.client.post("/graphs/quick/runs", json={"inputs": {}}), 422, "input_invalid")
    assert told["detail"].startswith("The body does not fit: inputs: ")
    assert "graph" not in told
    told = problem(served.client.post("/graphs/quick/runs", json={"input": {"x": 1}}), 422, "input_invalid")
    assert told["graph"] == "quick"
    assert ".." not in told["detail"]


def test_what_is_no_json_is_refused(served: Served) -> None:
    def post(content: bytes, kind: str = "application/json") -> httpx.Response:
        return served.client.post("/graphs/quick/runs", content=content, headers={"content-type": kind})

    problem(post(b"{"), 400, "request_malformed")
    problem(post(b"\xff\xfe{}"), 400, "request_malformed")
    problem(post(b'{"input": {"n": NaN}}'), 400, "request_malformed")
    problem(post(b"{}", "text/plain"), 415, "media_type_refused")
    problem(post(b"input=1", "application/x-www-form-urlencoded"), 415, "media_type_refused")
    assert post(b"").status_code == 202


def test_a_run_id_of_the_caller_s_own_is_taken_once(served: Served) -> None:
    assert served.start("quick", run_id="mine-1") == "mine-1"
    again = served.client.post("/graphs/quick/runs", json={"input": {}, "run_id": "mine-1"})
    assert problem(again, 409, "run_exists")["run_id"] == "mine-1"


def test_the_same_idempotency_key_starts_one_run(served: Served) -> None:
    """Promise 1: however often a request is sent again, and by however many at once."""

    def post(body: dict[str, Any]) -> httpx.Response:
        return served.client.post("/graphs/quick/runs", json=body, headers={"Idempotency-Key": "k1"})

    with ThreadPoolExecutor(8) as pool:
        answers = [*pool.map(post, [{"input": {"n": 4, "kind": "b"}}] * 16)]
    assert {answer.status_code for answer in answers} == {202}
    (run_id,) = {answer.json()["run_id"] for answer in answers}
    assert [answer.headers.get("idempotent-replayed") for answer in answers].count("true") == 15
    served.wait(run_id, "DONE")
    assert post({"input": {"kind": "b", "n": 4}}).json() == {"run_id": run_id, "status": "DONE"}
    assert problem(post({"input": {"n": 5}}), 422, "key_reused")["run_id"] == run_id
    other = served.client.post("/graphs/talk/runs", json={}, headers={"Idempotency-Key": "k1"})
    assert other.json()["run_id"] != run_id


def test_runs_are_listed_page_by_page_and_filtered(served: Served) -> None:
    mine = [served.start("quick", session="list-1") for _ in range(5)]
    for run_id in mine:
        served.wait(run_id, "DONE")
    seen: list[str] = []
    after: str | None = None
    while True:
        asked = {"session": "list-1", "limit": "2", "status": "DONE", **({"after": after} if after else {})}
        page = served.client.get("/runs", params=asked).json()
        seen += [run["run_id"] for run in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert seen == mine[::-1]
    assert served.client.get("/runs", params={"session": "list-1", "status": "FAILED"}).json()["items"] == []
    everything = served.client.get("/runs", params={"session": "list-1", "graph": "quick"}).json()
    assert len(everything["items"]) == 5
    problem(served.client.get("/runs", params={"status": "DOEN"}), 400, "request_malformed")
    problem(served.client.get("/runs", params={"after": "nobody"}), 404, "run_not_found")


def test_a_filter_without_a_value_is_none(served: Served) -> None:
    run_id = served.start("quick")
    other = served.start("plan")
    served.wait(run_id)
    answer = served.client.get("/runs?graph=&status=&session=&after=")
    assert answer.status_code == 200, answer.text
    assert {run_id, other} <= {one["run_id"] for one in answer.json()["items"]}
    assert served.client.get(f"/runs/{run_id}/state?at=").json() == served.client.get(f"/runs/{run_id}/state").json()
    problem(served.client.get("/runs?status=&status=NOPE"), 400, "request_malformed")


def test_the_state_at_an_entry_and_what_the_entry_changed(served: Served) -> None:
    run_id = served.start("plan")
    served.wait(run_id, "PAUSED")
    first = served.client.get(f"/runs/{run_id}/state", params={"at": 1}).json()
    assert first["state"] == {"log": [], "city": "Oslo", "fails": False, "seconds": 0.0}
    assert {change["op"] for change in first["changes"]} == {"add"}
    second = served.client.get(f"/runs/{run_id}/state", params={"at": 2}).json()
    assert second["changes"] == [{"field": "log", "op": "append", "value": ["planned Oslo"]}]
    newest = served.client.get(f"/runs/{run_id}/state").json()
    assert newest["at"] == served.look(run_id)["entries"]
    problem(served.client.get(f"/runs/{run_id}/state", params={"at": 99}), 404, "entry_not_found")


def test_a_state_is_edited_and_a_breakpoint_released(served: Served) -> None:
    run_id = served.start("plan")
    served.wait(run_id, "PAUSED")
    edited = served.client.patch(f"/runs/{run_id}/state", json={"updates": {"city": "Ulm"}, "by": "Ann"})
    assert edited.json() == {"run_id": run_id, "status": "PAUSED"}
    assert served.client.patch(f"/runs/{run_id}/state", json={"city": "Bonn"}).status_code == 200
    problem(served.client.patch(f"/runs/{run_id}/state", json={"updates": {"town": "Ulm"}}), 422, "unknown_field")
    problem(served.client.patch(f"/runs/{run_id}/state", json={"updates": {"city": 3}}), 422, "wrong_type")
    assert served.client.post(f"/runs/{run_id}/resume").status_code == 202
    assert served.wait(run_id, "DONE")["state"]["log"] == ["planned Oslo", "went to Bonn"]
    problem(served.client.patch(f"/runs/{run_id}/state", json={"city": "Rome"}), 409, "run_finished")


def test_a_run_is_forked_and_the_fork_is_the_same_session_s(served: Served) -> None:
    run_id = served.start("plan", session="forked")
    served.wait(run_id, "PAUSED")
    forked = served.client.post(f"/runs/{run_id}/fork", json={"at": 2, "updates": {"city": "Ulm"}}).json()
    assert forked["parent"] == run_id
    other = served.wait(forked["run_id"], "PAUSED")
    assert (other["parent"], other["fork_at"], other["session"]) == (run_id, 2, "forked")
    served.client.post(f"/runs/{forked['run_id']}/resume")
    assert served.wait(forked["run_id"], "DONE")["state"]["log"] == ["planned Oslo", "went to Ulm"]
    problem(served.client.post(f"/runs/{run_id}/fork", json={"at": 99}), 404, "entry_not_found")


def test_what_failed_is_tried_again_after_an_edit(served: Served) -> None:
    run_id = served.start("plan", {"fails": True})
    served.wait(run_id, "PAUSED")
    served.client.post(f"/runs/{run_id}/resume")
    failed = served.wait(run_id, "FAILED")
    assert (failed["error"]["code"], failed["error"]["node"]) == ("node_failed", "travel")
    served.client.patch(f"/runs/{run_id}/state", json={"fails": False})
    assert served.client.post(f"/runs/{run_id}/retry").status_code == 202
    assert served.wait(run_id, "DONE")["state"]["log"][-1] == "went to Oslo"


def test_a_step_is_done_again_in_a_run_that_keeps_what_was_before(served: Served) -> None:
    run_id = served.start("plan")
    served.wait(run_id, "PAUSED")
    served.client.post(f"/runs/{run_id}/resume")
    served.wait(run_id, "DONE")
    retried = served.client.post(f"/runs/{run_id}/retry", json={"step": "prepare", "updates": {"city": "Ulm"}}).json()
    assert retried["run_id"] != run_id
    again = served.wait(retried["run_id"], "PAUSED")
    assert again["state"]["log"] == ["planned Ulm"]
    assert (again["parent"], again["fork_at"]) == (run_id, 1)
    unknown = served.client.post(f"/runs/{run_id}/retry", json={"step": "prepar"})
    told = problem(unknown, 404, "step_not_found")
    assert told["step"] == "prepar"
    assert "Did you mean 'prepare'? Known: prepare, travel, prepare#1, travel#1." in told["detail"]


def test_a_run_is_cancelled_and_deleted(served: Served) -> None:
    run_id = served.start("plan", {"seconds": 30.0})
    cancelled = served.client.post(f"/runs/{run_id}/cancel", json={"reason": "enough"})
    assert cancelled.json() == {"run_id": run_id, "status": "CANCELLED"}
    assert served.look(run_id)["error"]["message"] == "enough"
    problem(served.client.post(f"/runs/{run_id}/cancel"), 409, "run_finished")
    assert served.client.delete(f"/runs/{run_id}").status_code == 204
    problem(served.client.get(f"/runs/{run_id}"), 404, "run_not_found")
    problem(served.client.delete(f"/runs/{run_id}"), 404, "run_not_found")


def test_a_run_that_is_deleted_while_it_runs_stops(served: Served) -> None:
    run_id = served.start("plan", {"seconds": 30.0})
    assert served.client.delete(f"/runs/{run_id}").status_code == 204
    until(lambda: served.doors.service.graphs["plan"].desk.driving == 0)


def test_every_path_that_is_nothing_is_a_problem(served: Served) -> None:
    problem(served.client.get("/nothing"), 404, "page_not_found")
    problem(served.client.get("/runs/nobody"), 404, "run_not_found")
    problem(served.client.get("/runs/nobody/events"), 404, "run_not_found")
    refused = served.client.put("/runs")
    problem(refused, 405, "method_refused")
    assert "GET" in refused.headers["allow"]


# -- users ------------------------------------------------------------------------------------------------------------

ANN, BOB = "ann-key-0001", "bob-key-0002"


@pytest.fixture(scope="module")
def guarded() -> Iterator[Served]:
    with Served(plan(), api_keys=(f"ann:{ANN}", f"bob:{BOB}"), runs_per_user=3) as running:
        yield running


def test_without_a_key_nothing_is_told(guarded: Served) -> None:
    for path in ("/graphs", "/runs", "/runs/x", "/runs/x/events", "/graphs/plan/picture"):
        answer = guarded.client.get(path)
        problem(answer, 401, "not_authenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    problem(guarded.client.get("/graphs", headers=bearer("ann-key-0003")), 401, "not_authenticated")
    problem(guarded.client.post("/graphs/plan/runs", json={}), 401, "not_authenticated")
    assert guarded.client.get("/health").json() == {"status": "ok"}


def test_somebody_else_s_run_was_never_there(guarded: Served) -> None:
    run_id = guarded.start("plan", as_=ANN, session="s")
    guarded.wait(run_id, "PAUSED", as_=ANN)
    bob = bearer(BOB)
    asked: list[tuple[str, str, Any]] = [
        ("GET", "", None),
        ("GET", "/history", None),
        ("GET", "/state", None),
        ("GET", "/picture", None),
        ("GET", "/events", None),
        ("POST", "/resume", {}),
        ("POST", "/cancel", {}),
        ("POST", "/fork", {}),
        ("POST", "/retry", {}),
        ("POST", "/answers/x", {"value": 1}),
        ("PATCH", "/state", {"city": "Ulm"}),
        ("DELETE", "", None),
    ]
    for method, path, body in asked:
        theirs = guarded.client.request(method, f"/runs/{run_id}{path}", json=body, headers=bob)
        nobody_s = guarded.client.request(method, f"/runs/run_nobody{path}", json=body, headers=bob)
        problem(theirs, 404, "run_not_found")
        assert theirs.text.replace(run_id, "run_nobody") == nobody_s.text
    assert guarded.client.get("/runs", headers=bob).json()["items"] == []
    problem(guarded.client.get("/runs", params={"after": run_id}, headers=bob), 404, "run_not_found")
    assert [run["run_id"] for run in guarded.client.get("/runs", headers=bearer(ANN)).json()["items"]] == [run_id]
    key = {"Idempotency-Key": "same"}
    ours = guarded.client.post("/graphs/plan/runs", json={}, headers=bearer(ANN) | key).json()["run_id"]
    theirs = guarded.client.post("/graphs/plan/runs", json={}, headers=bob | key).json()["run_id"]
    assert ours != theirs


def test_who_answers_is_who_has_the_key(guarded: Served) -> None:
    run_id = guarded.start("plan", as_=BOB)
    guarded.wait(run_id, "PAUSED", as_=BOB)
    guarded.client.patch(f"/runs/{run_id}/state", json={"updates": {"city": "Ulm"}, "by": "Ann"}, headers=bearer(BOB))
    history = guarded.client.get(f"/runs/{run_id}/history", headers=bearer(BOB)).json()["items"]
    assert history[-1]["data"]["by"] == "bob"


def test_a_user_has_only_so_many_runs_running(guarded: Served) -> None:
    running = [guarded.start("plan", {"seconds": 30.0}, as_=ANN) for _ in range(3)]
    refused = guarded.client.post("/graphs/plan/runs", json={}, headers=bearer(ANN))
    problem(refused, 429, "limit_reached")
    assert int(refused.headers["retry-after"]) >= 1
    guarded.start("plan", as_=BOB)
    for run_id in running:
        guarded.client.post(f"/runs/{run_id}/cancel", headers=bearer(ANN))
    guarded.start("plan", as_=ANN)


def test_runs_that_are_started_in_one_instant_have_the_same_limit(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/runs.db"
    with Served(plan(), store=store, runs_per_user=3, api_keys=(f"ann:{ANN}",)) as served:
        (first,) = asyncio.run(start_at_once(served, 1))
        statuses = asyncio.run(start_at_once(served, 12))
        assert [first, *sorted(statuses)] == [202] * 3 + [429] * 10
        for run in served.client.get("/runs?status=RUNNING", headers=bearer(ANN)).json()["items"]:
            served.client.post(f"/runs/{run['run_id']}/cancel", headers=bearer(ANN))


async def start_at_once(served: Served, number: int) -> list[int]:
    async with httpx.AsyncClient(base_url=served.url, headers=bearer(ANN), timeout=20) as client:
        body = {"input": {"seconds": 30.0}}
        answers = await asyncio.gather(*[client.post("/graphs/plan/runs", json=body) for _ in range(number)])
        return [answer.status_code for answer in answers]


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_a_busy_session_refuses_queues_interrupts_or_goes_on_in_parallel(served: Served) -> None:
    first = served.start("plan", {"seconds": 0.6}, session="busy")
    refused = served.client.post("/graphs/plan/runs", json={"session": "busy", "on_busy": "reject"})
    assert problem(refused, 409, "session_busy")["run_id"] == first
    served.start("plan", {"seconds": 0.0}, session="busy", on_busy="parallel")
    queued = served.start("plan", session="busy", on_busy="queue")
    behind = served.start("plan", session="busy", on_busy="queue")
    assert [entry["type"] for entry in served.client.get(f"/runs/{queued}/history").json()["items"]] == ["run_started"]
    assert served.look(first)["status"] == "RUNNING"
    served.wait(behind, "PAUSED")
    began = [served.client.get(f"/runs/{run}/history").json()["items"][-1]["at"] for run in (first, queued, behind)]
    assert began == sorted(began)
    slow = served.start("plan", {"seconds": 30.0}, session="busy")
    served.start("plan", session="busy", on_busy="interrupt")
    assert served.look(slow)["status"] == "CANCELLED"
    free = served.start("plan", session="busy", on_busy="reject")
    served.wait(free, "PAUSED")


def test_the_document_of_the_api_has_an_example_of_everything(served: Served) -> None:
    told = served.client.get("/openapi.json").json()
    paths = told["paths"]
    assert {"/graphs/{graph}/runs", "/runs/{run_id}/events", "/runs/{run_id}/answers/{pause_id}"} <= set(paths)
    for path, methods in paths.items():
        for method, route in methods.items():
            content = route.get("requestBody", {}).get("content", {"application/json": {"example": 1}})
            assert "example" in content["application/json"], (path, method)
            assert route["summary"]
            done = next(answer for status, answer in route["responses"].items() if status < "300")
            shown = done.get("content", {}).get("application/json")
            assert shown is None or shown["example"], (path, method)


def test_a_stream_of_a_run_that_was_deleted_says_so(served: Served) -> None:
    run_id = served.start("talk")
    served.wait(run_id, "PAUSED")
    stream = served.following(run_id, until="end")
    types = []
    for one in stream:
        types.append(one.type)
        if one.type == "run_paused":
            served.client.delete(f"/runs/{run_id}")
    assert types[-1] == "end"
    assert said([one])[0].data["data"] == {"reason": "run_not_found"}


@pytest.mark.parametrize(("after", "header"), [("2", None), (None, "2.7"), ("1", "0")])
def test_who_comes_back_to_a_run_that_was_deleted_meanwhile_is_told_its_end(
    served: Served, after: str | None, header: str | None
) -> None:
    run_id = served.start("talk")
    served.wait(run_id, "PAUSED")
    served.client.delete(f"/runs/{run_id}")
    opening, end = served.follow(run_id, after, header=header)
    assert opening.raw == f"retry: 1000\nid: {header or after}\n\n"
    assert (end.type, end.id, end.data["data"]) == ("end", header or after, {"reason": "run_not_found"})
    problem(served.client.get(f"/runs/{run_id}/events"), 404, "run_not_found")  # nobody has been told anything of it
    problem(served.client.get(f"/runs/{run_id}/events", headers={"last-event-id": "x"}), 404, "run_not_found")


def test_the_server_s_health_may_be_asked_for_without_a_body(served: Served) -> None:
    answer = served.client.head("/health")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(served.client.get("/health").content))


def test_the_document_of_the_api_tells_the_package_s_version(served: Served) -> None:
    assert served.client.get("/openapi.json").json()["info"]["version"] == ropewalk.__version__


def test_a_graph_s_example_starts_a_run_though_its_input_needs_fields() -> None:
    class Order(GraphState):
        log: History[str]
        size: int
        city: str = "Oslo"

    graph = Graph(Order, name="order").add_edge(START, "do").add_edge("do", END)
    graph.add_node(lambda: {"log": "done"}, name="do")
    with Served(graph) as running:
        example = running.client.get("/graphs/order").json()["example"]
        assert example == {"size": 1, "city": "Oslo"}
        assert running.wait(running.start("order", example))["status"] == "DONE"
