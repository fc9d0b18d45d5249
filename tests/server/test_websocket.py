"""One WebSocket for many runs: events out; subscriptions, answers and cancels in."""

import json
import socket as sockets
from collections.abc import Iterator
from typing import Any

import pytest
from tests.server.graphs import plan, quick, story, talk
from tests.server.serving import Served, bearer, said
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

ANN, BOB = "ann-key-0001", "bob-key-0002"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(talk(), plan(), story()) as running:
        yield running


def opened(served: Served, **more: Any) -> ClientConnection:
    return connect(served.url.replace("http", "ws") + "/ws", **more)


def say(socket: ClientConnection, **message: Any) -> None:
    socket.send(json.dumps(message))


def hear(socket: ClientConnection) -> dict[str, Any]:
    return json.loads(socket.recv(timeout=10))


def hear_until(socket: ClientConnection, *types: str) -> list[dict[str, Any]]:
    heard = [hear(socket)]
    while heard[-1]["type"] not in types:
        heard.append(hear(socket))
    return heard


def test_a_run_is_followed_answered_and_followed_on(served: Served) -> None:
    run_id = served.start("talk", {"words": 3, "pause_seconds": 0.02})
    with opened(served) as socket:
        say(socket, type="subscribe", run_id=run_id)
        heard = hear_until(socket, "run_paused")
        assert set(heard[0]) == {"run_id", "id", "type", "node", "data"}
        types = [one["type"] for one in heard]
        assert types == ["run_started", "step_started", "text", "text", "text", "step_finished", "paused", "run_paused"]
        say(socket, type="answer", run_id=run_id, pause_id=heard[-2]["data"]["pause"], value="yes")
        assert hear_until(socket, "run_done")[0]["type"] == "answered"
    assert served.look(run_id)["state"]["said"][-1] == "answered yes"


def test_the_same_events_come_as_over_http(served: Served) -> None:
    run_id = served.start("story", {"words": 5, "pause_seconds": 0.01})
    over_http = [one.data for one in said(served.follow(run_id))]
    with opened(served) as socket:
        say(socket, type="subscribe", run_id=run_id)
        assert hear_until(socket, "run_done") == over_http


def test_many_runs_are_told_over_one_connection_each_in_order(served: Served) -> None:
    """Browsers stall at the seventh stream of events; this is one connection for all."""
    runs = [served.start("story", {"words": 10, "pause_seconds": 0.01}) for _ in range(20)]
    with opened(served) as socket:
        for run_id in runs:
            say(socket, type="subscribe", run_id=run_id)
        ended: set[str] = set()
        heard: dict[str, list[tuple[int, ...]]] = {run_id: [] for run_id in runs}
        while len(ended) < len(runs):
            one = hear(socket)
            heard[one["run_id"]].append(tuple(map(int, one["id"].split("."))))
            if one["type"] == "run_done":
                ended.add(one["run_id"])
    for ids in heard.values():
        assert ids == sorted(set(ids))
        assert {(1,), (2,), (3,), (4,), (5,)} <= {*ids}


def test_a_subscription_begins_behind_a_cursor(served: Served) -> None:
    run_id = served.start("story", {"words": 5, "pause_seconds": 0.01})
    with opened(served) as socket:
        say(socket, type="subscribe", run_id=run_id)
        whole = hear_until(socket, "run_done")
    for at in range(0, len(whole) - 1, 4):
        with opened(served) as socket:
            say(socket, type="subscribe", run_id=run_id, after=whole[at]["id"])
            assert hear_until(socket, "run_done") == whole[at + 1 :]


def test_an_unknown_cursor_is_answered_by_a_snapshot(served: Served) -> None:
    run_id = served.start("talk")
    served.wait(run_id, "PAUSED")
    with opened(served) as socket:
        say(socket, type="subscribe", run_id=run_id, after="77")
        assert hear(socket)["data"]["recovered"] is False


def test_a_run_is_cancelled(served: Served) -> None:
    run_id = served.start("plan", {"seconds": 30.0})
    with opened(served) as socket:
        say(socket, type="subscribe", run_id=run_id)
        say(socket, type="cancel", run_id=run_id, reason="enough", ref="c1")
        heard = hear_until(socket, "ok")
        assert heard[-1]["ref"] == "c1"
    assert served.look(run_id)["status"] == "CANCELLED"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "subscribe", "run_id": "nobody"}, "run_not_found"),
        ({"type": "subscribe", "run_id": "../../etc"}, "run_not_found"),
        ({"type": "subscribe", "run_id": "nobody", "after": "x"}, "request_malformed"),
        ({"type": "dance"}, "request_malformed"),
        ({"type": "answer", "run_id": "nobody", "pause_id": "p"}, "run_not_found"),
        ([], "request_malformed"),
        ("text", "request_malformed"),
        (None, "request_malformed"),
    ],
)
def test_what_cannot_be_done_is_told_and_the_connection_stays(served: Served, message: Any, code: str) -> None:
    with opened(served) as socket:
        socket.send(json.dumps(message))
        told = hear(socket)
        assert (told["type"], told["data"]["code"]) == ("error", code)
        socket.send(b"\xff\xfe")
        assert hear(socket)["data"]["code"] == "request_malformed"
        say(socket, type="ping")
        assert hear(socket)["type"] == "pong"


def test_a_huge_or_deep_message_ends_only_its_connection(served: Served) -> None:
    with opened(served) as socket:
        socket.send("[" * 500_000)
        assert hear(socket)["data"]["code"] == "request_malformed"
        socket.send("x" * 2_000_000)
        with pytest.raises(ConnectionClosed):
            hear(socket)
    assert served.client.get("/health").status_code == 200


def test_a_stop_tells_subscribers_to_come_back() -> None:
    with Served(plan()) as served:
        run_id = served.start("plan")
        served.wait(run_id, "PAUSED")
        with opened(served) as socket:
            say(socket, type="subscribe", run_id=run_id)
            hear_until(socket, "run_paused")
            served.loop.call_soon_threadsafe(served.doors.stop)
            assert hear(socket)["type"] == "reconnect"
            with pytest.raises(ConnectionClosed) as closed:
                hear(socket)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001


def test_who_floods_from_one_address_does_not_take_the_turns_of_another() -> None:
    with Served(quick(), requests_per_second=3.0) as served:
        port = int(served.url.rsplit(":", 1)[1])

        def talk_from(address: str) -> ClientConnection:
            from_there = sockets.create_connection(("127.0.0.1", port), source_address=(address, 0))
            return connect(f"ws://127.0.0.1:{port}/ws", sock=from_there)

        def ping(websocket: ClientConnection) -> str:
            websocket.send(json.dumps({"type": "ping", "ref": 1}))
            return json.loads(websocket.recv(timeout=10))["type"]

        with talk_from("127.0.0.2") as flood, talk_from("127.0.0.3") as other:
            assert [ping(flood) for _ in range(12)][-1] == "error"
            assert ping(other) == "ok"


def test_users_are_known_by_header_or_subprotocol_and_see_their_own() -> None:
    with Served(plan(), api_keys=(f"ann:{ANN}", f"bob:{BOB}")) as served:
        run_id = served.start("plan", as_=ANN)
        served.wait(run_id, "PAUSED", as_=ANN)
        with pytest.raises(InvalidStatus) as refused:
            opened(served)
        assert refused.value.response.status_code == 403
        with opened(served, additional_headers=bearer(ANN)) as socket:
            say(socket, type="subscribe", run_id=run_id)
            assert hear(socket)["type"] == "run_started"
        with opened(served, subprotocols=["ropewalk", f"bearer.{BOB}"]) as socket:
            assert socket.subprotocol == "ropewalk"
            for message in ("subscribe", "cancel", "answer"):
                say(socket, type=message, run_id=run_id)
                assert hear(socket)["data"]["code"] == "run_not_found"


def test_a_page_of_another_site_is_not_let_in(served: Served) -> None:
    for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
        with pytest.raises(InvalidStatus) as refused:
            opened(served, origin=origin)
        assert refused.value.response.status_code == 403
    with opened(served, origin=served.url) as socket:
        say(socket, type="ping")
        assert hear(socket)["type"] == "pong"
