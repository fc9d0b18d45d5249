"""What an attacker tries: pages that drive a local server, slow, huge and smuggled requests, guessed ids, odd paths.

Every case goes over a real socket, and ends with the server answering others as before.
"""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.server.graphs import plan, quick
from tests.server.serving import JSON, Served, bearer

from ropewalk.server import listening

KEY = "ann-key-0001"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(quick(), plan()) as running:
        yield running
        assert running.client.get("/health").status_code == 200


def raw(served: Served, request: bytes, *, wait: float = 5.0) -> bytes:
    """Send bytes as they are; return what comes back until the server closes or is silent."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=wait) as connection:
        connection.sendall(request)
        received = b""
        try:
            while piece := connection.recv(65_536):
                received += piece
                if b"\r\n\r\n" in received and b"connection: close" not in received.lower():
                    connection.settimeout(0.3)
        except (TimeoutError, ConnectionResetError):
            pass
    return received


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


# -- web pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example"]
)
@pytest.mark.parametrize("path", ["/graphs", "/runs", "/health", "/openapi.json", "/runs/x/events"])
def test_a_name_that_somebody_points_here_is_not_answered(served: Served, host: str, path: str) -> None:
    """DNS rebinding: the page's own name leads to this machine, so that it is the same origin to its browser."""
    answer = served.client.get(path, headers={"host": host})
    assert (answer.status_code, answer.json()["code"]) == (421, "host_refused")


@pytest.mark.parametrize("host", ["", "a b", "x@127.0.0.1", "127.0.0.1:99999", "[::1", "127.0.0.1/evil", "127.0.0.1#"])
def test_a_host_that_is_none_is_refused(served: Served, host: str) -> None:
    assert status(raw(served, f"GET /graphs HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())) in (
        400,
        421,
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "[::1]:8000", "10.0.0.7", "box.localhost"])
def test_addresses_and_localhost_are_answered(served: Served, host: str) -> None:
    assert served.client.get("/graphs", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "file://"])
def test_a_page_of_another_site_starts_changes_and_reads_nothing(served: Served, origin: str) -> None:
    run_id = served.start("plan")
    served.wait(run_id, "PAUSED")
    page = {"origin": origin}
    simple = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x")
    for kind in (*simple, "application/json"):
        headers = page | {"content-type": kind}
        assert served.client.post("/graphs/quick/runs", content=b"{}", headers=headers).status_code == 403
    for path in ("resume", "cancel", "fork", "retry", "answers/x"):
        assert served.client.post(f"/runs/{run_id}/{path}", headers=page).status_code == 403
    assert served.client.delete(f"/runs/{run_id}", headers=page).status_code == 403
    assert served.client.patch(f"/runs/{run_id}/state", json={}, headers=page).status_code == 403
    asked = page | {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    refused = served.client.options("/graphs/quick/runs", headers=asked)
    assert refused.status_code == 403
    read = served.client.get("/runs", headers=page)
    assert "access-control-allow-origin" not in read.headers, "its browser would let the page read it"
    assert "access-control-allow-origin" not in refused.headers
    assert served.look(run_id)["status"] == "PAUSED"


def test_a_form_cannot_start_a_run_even_without_an_origin(served: Served) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {"content-type": kind}
        assert served.client.post("/graphs/quick/runs", content=b'{"input":{}}', headers=headers).status_code == 415


def test_a_page_that_was_allowed_may() -> None:
    with Served(quick(), allowed_origins=("https://app.example",), allowed_hosts=("ropes.example",)) as served:
        page = {"origin": "https://app.example"}
        asked = page | {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
        preflight = served.client.options("/graphs/quick/runs", headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "https://app.example"
        assert "access-control-allow-credentials" not in preflight.headers
        started = served.client.post("/graphs/quick/runs", json={}, headers=page)
        assert started.status_code == 202
        assert started.headers["access-control-allow-origin"] == "https://app.example"
        assert served.client.get("/graphs", headers={"host": "ropes.example"}).status_code == 200
        assert served.client.get("/graphs", headers={"host": "other.example"}).status_code == 421


# -- slow and huge ----------------------------------------------------------------------------------------------------


def test_headers_that_never_end_hold_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow loris: a byte now and then; each must be whole in time, however often it says something."""
    monkeypatch.setattr(listening, "HEADER_SECONDS", 0.6)
    with Served(quick()) as served:
        host, port = served.url.removeprefix("http://").split(":")
        slow = [socket.create_connection((host, int(port))) for _ in range(30)]
        began = time.monotonic()
        for connection in slow:
            connection.sendall(b"GET /graphs HTTP/1.1\r\nhost: 127.0.0.1\r\n")
        open_ones = set(slow)
        while open_ones:
            assert time.monotonic() - began < 5, f"{len(open_ones)} connections are still held"
            for connection in [*open_ones]:
                connection.settimeout(0.001)
                try:
                    connection.sendall(b"x: y\r\n")
                    told = connection.recv(1_000)
                except TimeoutError:
                    continue
                except OSError:
                    told = b""
                assert told == b"" or status(told) == 408
                connection.close()
                open_ones.discard(connection)
            time.sleep(0.05)
        assert time.monotonic() - began > 0.5
        assert served.client.get("/health").status_code == 200


def test_a_body_that_never_ends_holds_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "BODY_SECONDS", 0.4)
    with Served(quick()) as served:
        head = b"POST /graphs/quick/runs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        began = time.monotonic()
        raw(served, head + b"content-length: 100\r\n\r\n{")
        assert time.monotonic() - began < 3


def test_a_body_of_which_a_byte_comes_now_and_then_holds_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "BODY_SECONDS", 0.5)
    with Served(quick()) as served:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            head = b"POST /graphs/quick/runs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            connection.sendall(head + b"content-length: 1000\r\n\r\n{")
            connection.settimeout(0.05)
            began, is_open = time.monotonic(), True
            while is_open:
                assert time.monotonic() - began < 5, "the connection is still held"
                try:
                    connection.sendall(b" ")
                    is_open = connection.recv(1_000) != b""
                except TimeoutError:
                    continue
                except OSError:
                    is_open = False


def test_a_slow_stream_that_is_read_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(listening, "BODY_SECONDS", 0.3)
    with Served(plan()) as served:
        run_id = served.start("plan", {"seconds": 1.0})
        assert served.follow(run_id)[-1].type == "run_paused"


def test_headers_have_a_size(served: Served) -> None:
    many = b"".join(b"x-%d: %b\r\n" % (n, b"y" * 90) for n in range(1_000))
    answer = raw(served, b"GET /graphs HTTP/1.1\r\nhost: 127.0.0.1\r\n" + many + b"\r\n")
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (status(answer), told["status"], told["title"]) == (431, 431, "Request Header Fields Too Large")
    assert status(raw(served, b"GET /graphs HTTP/1.1\r\nhost: 127.0.0.1\r\nx: " + b"y" * 100_000)) in (431, 0)
    assert status(raw(served, b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")) in (431, 400, 0)


def test_a_body_has_a_size_whether_it_tells_it_or_not() -> None:
    with Served(quick(), max_body_bytes=10_000) as served:
        body = b'{"input": {"n": 1}, "x": "' + b"y" * 20_000 + b'"}'
        told = served.client.post("/graphs/quick/runs", content=body, headers=JSON)
        assert (told.status_code, told.json()["code"]) == (413, "request_too_large")
        chunked = served.client.post(
            "/graphs/quick/runs", content=(body[at : at + 500] for at in range(0, 20_000, 500)), headers=JSON
        )
        assert chunked.status_code == 413
        lies = b"POST /graphs/quick/runs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n"
        lies += b"content-type: application/json\r\n\r\n"
        assert status(raw(served, lies % 10**12)) == 413


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"input":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
        b'{"input": {"a": ' + b"[" * 150 + b"]" * 150 + b"}}",
        b'{"input": {"n": ' + b"9" * 100_000 + b"}}",
        b'{"input": {"n": 1e999999}}',
        b'{"run_id": "' + b"a" * 100_000 + b'"}',
        b'{"run_id": "a\\u0000b"}',
        b'{"run_id": "\\ud800"}',
        b'{"input": {"n": 1, "n": 2, "__proto__": {}, "__class__": "x"}}',
    ],
)
def test_deep_and_odd_bodies_are_refused_and_break_nothing(served: Served, body: bytes) -> None:
    answer = served.client.post("/graphs/quick/runs", content=body, headers=JSON)
    assert answer.status_code in (400, 422), answer.text[:200]
    assert len(answer.content) < 5_000, "the answer sends back what it was sent"


# -- headers and paths ------------------------------------------------------------------------------------------------


def test_a_character_that_postgresql_has_no_place_for_is_refused_and_breaks_nothing(postgres_url: str) -> None:
    with Served(quick(), plan(), store=postgres_url) as served:
        odd = served.start("plan", {"city": "a\0b"})
        assert served.wait(odd)["state"]["city"] == "a\0b"
        for on_busy in ("parallel", "reject"):
            body = {"session": "a\0b", "on_busy": on_busy}
            refused = served.client.post("/graphs/quick/runs", json=body)
            assert (refused.status_code, refused.json()["code"]) == (422, "input_invalid"), refused.text
        assert served.client.get("/runs?session=%00").status_code == 400
        for path in ("/runs?after=%00", "/runs?graph=%00", "/runs/%00", "/runs/a%00b/events"):
            assert served.client.get(path).status_code == 404
        run_id = served.start("quick")
        served.wait(run_id, "DONE")
        assert served.client.post(f"/runs/{run_id}/answers/%00", json={"value": 1}).status_code == 404
        fork = served.client.post(f"/runs/{run_id}/fork", json={"at": 1}).json()["run_id"]
        assert served.client.post(f"/runs/{fork}/cancel", json={"reason": "a\0b"}).status_code in (202, 409)
        assert served.client.get(f"/runs/{fork}").status_code == 200


def test_nothing_that_is_sent_can_add_a_header_or_an_event(served: Served) -> None:
    sneaky = "x\r\nset-cookie: a=b\r\n\r\nevent: run_done\ndata: {}\n\n"
    run_id = served.start("plan", {"city": sneaky})
    told = served.follow(run_id)
    assert [one.type for one in told].count("run_done") == 0
    assert told[1].data["data"]["state"]["city"] == sneaky
    encoded = httpx.QueryParams({"after": sneaky})
    assert "set-cookie" not in served.client.get(f"/runs/{run_id}/events?{encoded}").headers
    for path in ("/runs/a%0d%0aset-cookie:%20a=b", "/graphs/a%0d%0aset-cookie:%20a=b/runs"):
        assert "set-cookie" not in served.client.get(path).headers
        assert "set-cookie" not in served.client.post(path, json={}).headers


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /graphs HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: evil.example\r\n\r\n",
        b"POST /graphs/quick/runs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /runs HTTP/1.1\r\nhost: evil\r\n\r\n",
        b"POST /graphs/quick/runs HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 2\r\ncontent-length: 30\r\n\r\n{}",
        b"GET /graphs HTTP/9.9\r\nhost: 127.0.0.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /graphs\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"G\x00T / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    ],
)
def test_requests_that_are_none_are_refused(served: Served, request_: bytes) -> None:
    answer = raw(served, request_, wait=1.0)
    assert status(answer) in (0, 400, 415, 421, 505), answer[:200]
    assert b"202" not in answer.split(b"\r\n", 1)[0]
    assert answer.count(b"HTTP/1.1 2") == 0


@pytest.mark.parametrize(
    "path",
    [
        "/runs/..%2f..%2fetc%2fpasswd",
        "/runs/%2e%2e/%2e%2e/etc/passwd",
        "/runs/../graphs/../../etc/passwd",
        "/runs/%00",
        "/runs/%ff%fe",
        "/runs/' OR 1=1 --",
        "/runs/" + "a" * 5_000,
        "/runs/%F0%9F%92%A9",
        "//evil.example/runs",
        "/runs/;/events",
        "/graphs/__class__",
        "/graphs/..%2f/picture",
        "/runs/x/picture?format=../../x",
        "/runs?after=' OR 1=1 --",
        "/runs/x/state?at=99999999999999999999999",
        "/runs/x/history?limit=-1",
    ],
)
def test_odd_paths_lead_nowhere(served: Served, path: str) -> None:
    answer = raw(
        served, f"GET {path.replace(' ', '%20')} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode()
    )
    assert status(answer) in (400, 404, 422), answer[:200]
    assert b"Traceback" not in answer
    assert b"root:" not in answer


def test_ids_cannot_be_guessed_or_told_apart() -> None:
    """Whether a run is another user's or nobody's: the same answer, and about the same time."""
    with Served(quick(), api_keys=(f"ann:{KEY}", "bob:bob-key-0002")) as served:
        runs = [served.start("quick", as_=KEY) for _ in range(20)]
        assert len({*runs}) == 20
        assert all(len(run_id) == len("run_") + 32 for run_id in runs)
        bob = bearer("bob-key-0002")
        theirs = served.client.get(f"/runs/{runs[0]}", headers=bob)
        nobody_s = served.client.get(f"/runs/run_{'0' * 32}", headers=bob)
        assert theirs.status_code == nobody_s.status_code == 404
        assert theirs.text.replace(runs[0], "X") == nobody_s.text.replace(f"run_{'0' * 32}", "X")


def test_requests_have_a_rate_and_the_answer_says_when_to_come_again() -> None:
    with Served(quick(), requests_per_second=5.0, api_keys=(f"ann:{KEY}", "bob:bob-key-0002")) as served:
        answers = [served.client.get("/graphs", headers=bearer(KEY)) for _ in range(20)]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert 5 <= len(refused) <= 11
        assert int(refused[0].headers["retry-after"]) >= 1
        assert refused[0].json()["code"] == "limit_reached"
        assert served.client.get("/graphs", headers=bearer("bob-key-0002")).status_code == 200


def test_guessing_keys_has_a_rate_too() -> None:
    with Served(quick(), requests_per_second=2.0, api_keys=(f"ann:{KEY}",)) as served:
        statuses = [served.client.get("/graphs", headers=bearer(f"guess-{n:05}")).status_code for n in range(60)]
    assert set(statuses) == {401, 429}


def test_open_streams_have_a_limit() -> None:
    with Served(plan(), streams_per_user=2, api_keys=(f"ann:{KEY}",)) as served:
        run_id = served.start("plan", {"seconds": 20.0}, as_=KEY)
        path, mine = f"/runs/{run_id}/events", bearer(KEY)
        with served.client.stream("GET", path, headers=mine), served.client.stream("GET", path, headers=mine):
            refused = served.client.get(path, headers=mine)
            assert refused.status_code == 429
            assert int(refused.headers["retry-after"]) >= 1
        served.client.post(f"/runs/{run_id}/cancel", headers=mine)


def test_streams_that_are_opened_in_one_instant_have_the_same_limit(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/runs.db"
    with Served(plan(), store=store, streams_per_user=2, api_keys=(f"ann:{KEY}",)) as served:
        run_id = served.start("plan", {"seconds": 20.0}, as_=KEY)
        statuses = asyncio.run(all_at_once(served, f"/runs/{run_id}/events", 12))
        assert sorted(statuses) == [200] * 2 + [429] * 10
        served.client.post(f"/runs/{run_id}/cancel", headers=bearer(KEY))


async def all_at_once(served: Served, path: str, number: int) -> list[int]:
    """Open so many streams at once, and hold those that open until every one has been answered."""
    answered = asyncio.Barrier(number)

    async def open_one(client: httpx.AsyncClient) -> int:
        async with client.stream("GET", path, headers=bearer(KEY)) as answer:
            await asyncio.wait_for(answered.wait(), 15)
            return answer.status_code

    async with httpx.AsyncClient(base_url=served.url, timeout=20) as client:
        return await asyncio.gather(*[open_one(client) for _ in range(number)])


def test_secrets_and_payloads_reach_no_log_line_and_no_error(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secret = "hunter2-hunter2"
    for body in ({"input": {"n": secret}}, {"input": {"kind": secret}}, {"input": {"n": 1}, "session": secret * 100}):
        answer = served.client.post("/graphs/quick/runs", json=body, headers={"authorization": f"Bearer {secret}"})
        assert answer.status_code == 422
        assert secret not in answer.text
    run_id = served.start("plan", {"fails": True, "city": secret})
    served.wait(run_id, "PAUSED")
    served.client.post(f"/runs/{run_id}/resume")
    served.wait(run_id, "FAILED")
    assert secret not in json.dumps([record.getMessage() for record in caplog.records if record.name != "httpx"])
