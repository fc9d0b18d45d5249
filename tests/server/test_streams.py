"""Server-sent events: nothing lost, nothing twice, always a last event, and no reader holds anybody up."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from tests.server.graphs import plan, quick, story, talk
from tests.server.serving import Served, blocks, said, until
from tests.server.talking import finder

from ropewalk.server import channel, following


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served(talk(), plan(), quick(), story(), finder(seconds=0.003)) as running:
        yield running


def test_tokens_come_one_by_one_and_the_step_s_entry_after_them(served: Served) -> None:
    run_id = served.start("story", {"words": 4, "pause_seconds": 0.02})
    stream = served.follow(run_id)
    assert stream[0].raw == "retry: 1000\nid: 0\n\n"
    types = [one.type for one in said(stream)]
    step = ["step_started", "text", "text", "text", "text", "step_finished"]
    assert types == ["run_started", *step, *step, *step, "run_done"]
    first = next(one for one in stream if one.type == "text")
    assert first.data == {"run_id": run_id, "id": "1.2", "type": "text", "node": "one", "data": {"text": "one0 "}}
    assert first.raw == f"event: text\nid: 1.2\ndata: {json.dumps(first.data, separators=(',', ':'))}\n\n"


def test_a_stream_that_is_cut_at_any_event_joins_to_the_same_bytes(served: Served) -> None:
    """Promise 13, over HTTP: for every event there is, by the header and by the parameter."""
    run_id = served.start("story", {"words": 7, "pause_seconds": 0.005})
    whole = said(served.follow(run_id))
    assert len(whole) == 1 + 3 * 9 + 1
    for at, last in enumerate(whole[:-1]):
        rest = said(served.follow(run_id, header=last.id))
        assert b"".join(one.raw.encode() for one in whole[: at + 1] + rest) == b"".join(
            one.raw.encode() for one in whole
        ), f"cut behind {last.id}"
        assert said(served.follow(run_id, after=last.id)) == rest
    assert said(served.follow(run_id, after="0")) == whole


def test_a_tool_loop_that_is_cut_at_any_event_joins_to_the_same_bytes(served: Served) -> None:
    run_id = served.start("finder", {"messages": [{"role": "user", "content": "Ann and Nobody"}]})
    joined = [*_cut_all_the_time(served, run_id)]
    whole = said(served.follow(run_id))
    assert joined == [one.raw for one in whole]
    told = {one.type for one in whole}
    assert {"thinking", "text", "tool_arguments", "model_replied", "tool_call", "tool_result"} <= told
    for at, last in enumerate(whole[:-1]):
        assert whole[: at + 1] + said(served.follow(run_id, header=last.id)) == whole, f"cut behind {last.id}"


def _cut_all_the_time(served: Served, run_id: str) -> Iterator[str]:
    """Yield the blocks of a stream that is cut behind each event, while its run goes on."""
    cursor, last = "0", ""
    while last != "run_done":
        for one in served.following(run_id, header=cursor):
            if one.data is not None:
                cursor, last = one.id, one.type
                yield one.raw
                break


def test_a_stream_that_is_cut_all_the_time_while_the_run_goes_on_joins_to_the_same_bytes(served: Served) -> None:
    run_id = served.start("story", {"words": 40, "pause_seconds": 0.003})
    whole: list[str] = []
    reader = threading.Thread(target=lambda: whole.extend(one.raw for one in said(served.follow(run_id))))
    reader.start()
    joined: list[str] = []
    cursor = "0"
    cuts = 0
    while not joined or "run_done" not in joined[-1]:
        for taken, one in enumerate(served.following(run_id, header=cursor)):
            if one.data is not None:
                joined.append(one.raw)
                cursor = one.id
            if taken >= 3:
                break
        cuts += 1
    reader.join()
    assert joined == whole
    assert cuts > 30


def test_a_reader_who_comes_behind_the_end_is_told_the_end(served: Served) -> None:
    run_id = served.start("quick")
    whole = said(served.follow(run_id))
    assert whole[-1].type == "run_done"
    assert said(served.follow(run_id, after=whole[-1].id)) == whole[-1:]
    paused = served.start("talk")
    stopped = said(served.follow(paused))
    assert stopped[-1].type == "run_paused"
    assert said(served.follow(paused, header=stopped[-1].id)) == stopped[-1:]


@pytest.mark.parametrize("cursor", ["99", "7.9", "-1", "abc", "1.2.3", "9" * 400])
def test_a_cursor_nobody_knows_is_answered_by_a_snapshot_and_no_replay(served: Served, cursor: str) -> None:
    run_id = served.start("talk")
    served.wait(run_id, "PAUSED")
    stream = served.follow(run_id, header=cursor)
    snapshot, last = said(stream)
    assert stream[0].id == snapshot.id == last.id == "4"
    assert snapshot.type == "snapshot"
    assert snapshot.data["data"]["recovered"] is False
    assert snapshot.data["data"]["status"] == "PAUSED"
    assert snapshot.data["data"]["state"]["said"] == ["hello ropes"]
    assert last.type == "run_paused"


def test_a_parameter_that_is_no_cursor_is_refused(served: Served) -> None:
    run_id = served.start("quick")
    assert served.client.get(f"/runs/{run_id}/events", params={"after": "-1"}).status_code == 400


def test_a_browser_that_comes_back_is_not_sent_what_it_has_though_its_address_names_an_older_cursor(
    served: Served,
) -> None:
    """An EventSource asks again at the address it was made with, and tells where it is in the header."""
    run_id = served.start("talk")
    served.wait(run_id, "PAUSED")
    whole = said(served.follow(run_id))
    assert said(served.follow(run_id, after=whole[0].id, header=whole[-2].id)) == whole[-1:]
    assert said(served.follow(run_id, after="", header=whole[-2].id)) == whole[-1:]
    assert said(served.follow(run_id, after=whole[-2].id, header="")) == whole[-1:]


def test_a_stream_to_the_end_goes_on_through_pauses(served: Served) -> None:
    run_id = served.start("talk")
    types: list[str] = []
    for one in served.following(run_id, until="end"):
        types.append(one.type)
        if one.type == "run_paused":
            pause = served.look(run_id)["pauses"][0]["id"]
            served.client.post(f"/runs/{run_id}/answers/{pause}", json={"value": True})
    assert [one for one in types if one != "step_started"][-3:] == ["answered", "step_finished", "run_done"]
    assert types.count("run_paused") == 1


def test_a_quiet_stream_has_heartbeats() -> None:
    with Served(plan()) as served:
        served.doors.service.following.heartbeat_seconds = 0.1
        run_id = served.start("plan", {"seconds": 0.5})
        with served.client.stream("GET", f"/runs/{run_id}/events") as answer:
            text = "".join(answer.iter_text())
    assert text.count(": still here\n\n") >= 2


def test_a_stop_tells_readers_to_come_back_and_their_cursor_still_counts(tmp_path) -> None:
    store = f"sqlite:///{tmp_path}/runs.db"
    with Served(story(), store=store) as first:
        run_id = first.start("story", {"words": 30, "pause_seconds": 0.02})
        got: list[str] = []
        for one in first.following(run_id):
            got.append(one.type)
            cursor = one.id
            if one.type == "text" and got.count("text") == 5:
                first.loop.call_soon_threadsafe(first.doors.stop)
        assert got[-1] == "reconnect"
    with Served(story(), store=store) as second:
        again = said(second.follow(run_id, header=cursor))
        assert second.wait(run_id, "DONE")["state"]["said"] == ["one", "two", "three"]
    assert again[-1].type == "run_done"
    history = [one.type for one in again if "." not in one.id]
    assert "run_started" not in history, "what was told before is told again"


def test_a_restart_goes_on_with_what_was_running_and_counts_no_death(tmp_path) -> None:
    store = f"sqlite:///{tmp_path}/runs.db"
    with Served(plan(), store=store) as first:
        run_id = first.start("plan", {"seconds": 1.0})
    with Served(plan(), store=store) as second:
        assert second.wait(run_id, "PAUSED")["state"]["log"] == ["planned Oslo"]
        entries = second.client.get(f"/runs/{run_id}/history").json()["items"]
    resets = [entry["data"]["reason"] for entry in entries if entry["type"] == "reset"]
    assert resets in ([], ["interrupted"])


def test_the_first_token_goes_out_at_once(served: Served) -> None:
    """Not when the next one comes, not when a window closes."""
    run_id = served.start("story", {"words": 3, "pause_seconds": 0.5})
    began = time.monotonic()
    for one in served.following(run_id):
        if one.type == "text":
            break
    assert time.monotonic() - began < 0.4


@contextlib.contextmanager
def frozen_reader(served: Served, run_id: str) -> Iterator[socket.socket]:
    """Ask for a stream, and read nothing of it; the kernel keeps little for the reader."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.socket() as frozen:
        frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        frozen.connect((host, int(port)))
        frozen.sendall(f"GET /runs/{run_id}/events HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode())
        yield frozen


def test_a_frozen_reader_holds_nobody_and_is_told_to_come_back(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "KEPT_FRAMES", 1_000)
    monkeypatch.setattr(channel, "KEPT_BYTES", 200_000)
    run_id = served.start("story", {"words": 15_000, "pause_seconds": 0.0})
    with frozen_reader(served, run_id) as frozen:
        other = said(served.follow(run_id))
        assert other[-1].type in ("run_done", "reconnect")
        served.wait(run_id, "DONE")
        frozen.settimeout(10)
        received = b""
        while piece := frozen.recv(65_536):
            received += piece
            if piece.endswith(b"0\r\n\r\n"):
                break
    text = received.decode()
    assert "event: reconnect" in text
    assert '"reason":"overrun"' in text
    cursor = text.rsplit("\nid: ", 1)[1].split("\n")[0]
    rest = said(served.follow(run_id, header=cursor))
    while rest[-1].type == "reconnect":  # this one reads, but so little is kept here that it is overrun as well
        rest = said(served.follow(run_id, header=rest[-1].id))
    assert rest[-1].type == "run_done"


def test_a_frozen_reader_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "_STUCK_SECONDS", 1)
    run_id = served.start("story", {"words": 60_000, "pause_seconds": 0.0})
    with frozen_reader(served, run_id):
        readers = served.doors.service.following.readers
        until(lambda: any(reader.run_id == run_id for reader in readers.copy()))
        until(lambda: not any(reader.run_id == run_id for reader in readers.copy()))
    served.client.post(f"/runs/{run_id}/cancel")


def test_a_reader_who_leaves_is_forgotten_and_the_run_goes_on(served: Served) -> None:
    run_id = served.start("story", {"words": 20, "pause_seconds": 0.02})
    for one in served.following(run_id):
        if one.type == "text":
            break
    readers = served.doors.service.following.readers
    until(lambda: not any(reader.run_id == run_id for reader in readers.copy()))
    assert served.wait(run_id, "DONE")["state"]["said"] == ["one", "two", "three"]


def test_a_long_log_is_read_at_the_reader_s_own_pace(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Further back than a channel keeps: the log is read until the reader has caught up, with no seam."""
    monkeypatch.setattr(following, "_FROM_THE_START", 3)
    run_id = served.start("story", {"words": 3, "pause_seconds": 0.01})
    served.wait(run_id, "DONE")
    history = served.client.get(f"/runs/{run_id}/history").json()["items"]
    stream = said(served.follow(run_id))
    assert [int(one.id) for one in stream] == [entry["number"] for entry in history]
    live = served.start("story", {"words": 30, "pause_seconds": 0.01})
    until(lambda: served.look(live)["entries"] >= 2)
    ids = [tuple(map(int, one.id.split("."))) for one in said(served.follow(live))]
    assert ids == sorted(set(ids))


def test_many_read_one_run_and_all_get_the_same_bytes(served: Served) -> None:
    run_id = served.start("story", {"words": 30, "pause_seconds": 0.01})

    async def read(client: httpx.AsyncClient) -> str:
        async with client.stream("GET", f"{served.url}/runs/{run_id}/events") as answer:
            return "".join([piece async for piece in answer.aiter_text()])

    async def all_of_them() -> list[str]:
        limits = httpx.Limits(max_connections=60)
        async with httpx.AsyncClient(timeout=20, limits=limits) as client:
            return await asyncio.gather(*[read(client) for _ in range(50)])

    texts = asyncio.run(all_of_them())
    assert len({*texts}) == 1
    assert texts[0].count("event: text\n") == 90


def test_history_and_stream_tell_the_same(served: Served) -> None:
    run_id = served.start("story", {"words": 2})
    entries = [one.data for one in said(served.follow(run_id)) if "." not in one.id]
    history = served.client.get(f"/runs/{run_id}/history").json()["items"]
    assert [(str(e["number"]), e["type"], e["node"], e["data"]) for e in history] == [
        (e["id"], e["type"], e["node"], e["data"]) for e in entries
    ]


def test_the_opening_has_an_id_at_once(served: Served) -> None:
    run_id = served.start("plan", {"seconds": 0.5})
    with served.client.stream("GET", f"/runs/{run_id}/events", params={"after": "1"}) as answer:
        first = next(blocks(answer))
    assert first.raw == "retry: 1000\nid: 1\n\n"


def test_what_was_said_long_ago_is_forgotten_and_the_log_stands_for_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory stays flat however long a run speaks; who comes back for it gets each step's text with its entry."""
    run_id = served.start("story", {"words": 4, "pause_seconds": 0.01})
    whole = said(served.follow(run_id))
    monkeypatch.setattr(channel, "KEPT_SECONDS", 0.0)
    kept = served.doors.service.following._channels[run_id]
    until(lambda: len(kept.frames) == 1)
    again = said(served.follow(run_id))
    assert [one.id for one in again] == ["1", "2", "3", "4", "5"]
    assert again[1].data["data"]["text"] == "one0 one1 one2 one3 "
    assert again[-1] == whole[-1]
