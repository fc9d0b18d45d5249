"""Who wants to be told that a run paused or ended is told: by a real listener on a real socket."""

import base64
import contextlib
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.server.graphs import plan, quick, talk
from tests.server.serving import Served, child, until

from ropewalk.core.retry import Retry
from ropewalk.server import webhooks
from ropewalk.server.posting import NotDelivered, PostRefused, address_of, is_public, post, secret_of, signature

SECRET = "whsec_" + base64.b64encode(b"a secret of 24 bytes....").decode()


class Came(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        return json.loads(self.body)


class Listener:
    """Takes what is posted; answers as it is told to."""

    def __init__(self) -> None:
        self.came: list[Came] = []
        self.answers: list[int] = []
        self.slow = 0.0
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                listener.came.append(Came(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                status = listener.answers.pop(0) if listener.answers else 204
                if listener.slow:
                    for _ in range(200):
                        self.wfile.write(b"H")
                        time.sleep(listener.slow)
                self.send_response(status)
                if status == 302:
                    self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, run_id: str) -> list[dict[str, Any]]:
        return [one.told for one in self.came if one.told["run_id"] == run_id]


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    monkeypatch.setattr(webhooks, "RETRY", Retry(attempts=4, backoff=0.05, on=(OSError,)))
    one = Listener()
    yield one
    one.server.shutdown()
    one.server.server_close()


def serving(listener: Listener, *graphs: Any, **settings: Any) -> Served:
    return Served(*graphs, webhook_secrets=(SECRET,), webhook_hosts=(listener.host,), **settings)


def test_a_pause_and_an_end_are_told_signed(listener: Listener) -> None:
    with serving(listener, talk()) as served:
        run_id = served.start("talk", session="s1", webhook=f"http://{listener.host}/hook?token=1")
        pause = served.wait(run_id, "PAUSED")["pauses"][0]
        until(lambda: listener.came)
        paused = listener.came[0]
        assert paused.path == "/hook?token=1"
        told = paused.told
        assert (told["type"], told["graph"], told["session"]) == ("run_paused", "talk", "s1")
        assert told["pauses"] == [pause]
        assert "state" not in told
        assert paused.headers["webhook-id"] == told["id"]
        signed = b"%b.%b.%b" % (told["id"].encode(), paused.headers["webhook-timestamp"].encode(), paused.body)
        digest = hmac.new(b"a secret of 24 bytes....", signed, hashlib.sha256).digest()
        assert paused.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        assert abs(int(paused.headers["webhook-timestamp"]) - time.time()) < 10
        served.client.post(f"/runs/{run_id}/answers/{pause['id']}", json={"value": 1})
        until(lambda: len(listener.came) == 2)
        assert listener.came[1].told["type"] == "run_done"
        assert run_id not in served.client.get("/runs", params={"graph": "talk", "session": "other"}).text
        listed = served.client.get("/runs").json()["items"]
        assert [one["run_id"] for one in listed] == [run_id], "deliveries are no runs of anybody"


def test_every_run_is_told_to_whom_the_server_tells_and_failures_too(listener: Listener) -> None:
    with serving(listener, plan(), quick(), webhooks=(f"http://{listener.host}/all",)) as served:
        done = served.start("quick")
        failing = served.start("plan", {"fails": True})
        served.wait(failing, "PAUSED")
        until(lambda: [one["type"] for one in listener.of(failing)] == ["run_paused"])
        served.client.post(f"/runs/{failing}/resume")
        until(lambda: [one["type"] for one in listener.of(failing)] == ["run_paused", "run_failed"])
        assert listener.of(failing)[1]["error"] == {"code": "node_failed", "node": "travel"}
        until(lambda: [one["type"] for one in listener.of(done)] == ["run_done"])
        assert b"secret-of-the-node" not in b"".join(one.body for one in listener.came)


def test_what_is_not_taken_is_told_again_with_the_same_id(listener: Listener) -> None:
    listener.answers = [500, 302]
    with serving(listener, quick()) as served:
        run_id = served.start("quick", webhook=f"http://{listener.host}/hook")
        until(lambda: len(listener.came) == 3)
        assert len({one.headers["webhook-id"] for one in listener.came}) == 1
        assert {one.path for one in listener.came} == {"/hook"}, "redirects are not followed"
        assert len(listener.of(run_id)) == 3


def test_who_is_gone_is_not_asked_again(listener: Listener) -> None:
    listener.answers = [410]
    with serving(listener, quick()) as served:
        served.start("quick", webhook=f"http://{listener.host}/hook")
        until(lambda: listener.came)
        deliveries = served.doors._more._webhooks.deliveries
        until(lambda: not deliveries.graphs[webhooks.GRAPH].desk.driving)
        assert len(listener.came) == 1


def test_a_delivery_survives_the_server(listener: Listener, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/runs.db"
    listener.answers = [503]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webhooks, "RETRY", Retry(attempts=3, backoff=1.0, jitter=0, on=(OSError,)))
        with serving(listener, quick(), store=store) as served:
            run_id = served.start("quick", webhook=f"http://{listener.host}/hook")
            until(lambda: listener.came)
    assert len(listener.came) == 1
    with serving(listener, quick(), store=store):
        until(lambda: len(listener.of(run_id)) == 2)
    assert len({one.headers["webhook-id"] for one in listener.came}) == 1


FLOW = """
import os, signal
from ropewalk import END, START, Graph, GraphState
from ropewalk.server import webhooks

class Count(GraphState):
    n: int = 0

graph = Graph(Count, name="count")
graph.add_node(lambda state: {"n": state.n + 1}, name="add")
graph.add_edge(START, "add").add_edge("add", END)

if os.environ.get("DIES"):
    async def dies(self, run_id):
        os.kill(os.getpid(), signal.SIGKILL)
    webhooks.Webhooks._tell = dies
"""


def test_a_process_that_dies_between_the_end_and_the_telling_is_made_up_for(listener: Listener, tmp_path: Path) -> None:
    import httpx

    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    told = {"ROPEWALK_WEBHOOK_SECRETS": SECRET, "ROPEWALK_WEBHOOK_HOSTS": listener.host}
    body = {"input": {}, "run_id": "r1", "webhook": f"http://{listener.host}/hook"}
    with child("flow.py", cwd=tmp_path, DIES="1", **told) as (process, ready):
        with contextlib.suppress(httpx.TransportError):
            httpx.post(f"{ready['url']}/graphs/count/runs", json=body)
        assert process.wait(10) == -9
    assert not listener.came
    with child("flow.py", cwd=tmp_path, **told) as (_, ready):
        until(lambda: listener.came)
        assert listener.came[0].told["type"] == "run_done"
        assert httpx.get(f"{ready['url']}/runs/r1").json()["status"] == "DONE"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://example.com/hook", "not https"),
        ("https://127.0.0.1/", "public internet"),
        ("https://[::1]:9/", "public internet"),
        ("https://[::ffff:10.0.0.1]/", "public internet"),
        ("https://[64:ff9b::7f00:1]/", "public internet"),
        ("https://169.254.169.254/latest/meta-data", "public internet"),
        ("https://me:secret@example.com/", "user or a password"),
        ("ftp://example.com/", "https://host/path"),
        ("https://", "https://host/path"),
        ("https://example.com:99999/", "no URL"),
    ],
)
def test_an_address_that_only_this_machine_could_reach_is_refused(listener: Listener, url: str, why: str) -> None:
    with pytest.raises(PostRefused, match=why):
        address_of(url, {listener.host})


def test_a_name_that_leads_inside_is_refused_when_it_is_looked_up(listener: Listener) -> None:
    inside = address_of(f"https://localhost:{listener.host.partition(':')[2]}/")
    with pytest.raises(PostRefused, match="none of the public internet"):
        post(inside, b"{}", {}, seconds=2)
    assert not listener.came


def test_a_run_cannot_name_such_an_address_nor_any_where_nothing_is_signed(listener: Listener) -> None:
    with serving(listener, quick()) as served:
        body = {"input": {}, "webhook": "https://10.0.0.1/"}
        answer = served.client.post("/graphs/quick/runs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "input_invalid")
        assert answer.json()["errors"][0]["field"] == "webhook"
    with Served(quick()) as unsigned:
        body = {"input": {}, "webhook": "https://example.com/"}
        answer = unsigned.client.post("/graphs/quick/runs", json=body)
        assert "ROPEWALK_WEBHOOK_SECRETS" in answer.text
        assert unsigned.client.get("/runs").json()["items"] == []


def test_who_drips_an_answer_is_cut_off(listener: Listener) -> None:
    listener.slow = 0.05
    began = time.monotonic()
    with pytest.raises(NotDelivered):
        post(address_of(f"http://{listener.host}/", {listener.host}), b"{}", {}, seconds=0.4)
    assert time.monotonic() - began < 3


def test_public_addresses_are_known() -> None:
    assert is_public("93.184.216.34")
    assert is_public("2606:4700::1")
    assert not any(map(is_public, ["0.0.0.0", "100.64.0.1", "224.0.0.1", "fe80::1%eth0", "fc00::1", "::", "x"]))


def test_secrets_are_read_and_several_sign() -> None:
    assert secret_of(SECRET) == b"a secret of 24 bytes...."
    with pytest.raises(ValueError, match="16 bytes"):
        secret_of("short")
    assert signature([b"one", b"two"], "m", 1, b"{}").count("v1,") == 2
    with pytest.raises(ValueError, match="no secret"), Served(quick(), webhooks=("https://example.com/",)):
        pass


def test_runs_that_workers_drive_are_told_of_too(listener: Listener, postgres_url: str) -> None:
    import asyncio

    from ropewalk.runtime import Worker, open_store

    async def work(stopping: threading.Event) -> None:
        graph = talk()
        graph.use_store(open_store(postgres_url))
        async with Worker(graph):
            while not stopping.is_set():
                await asyncio.sleep(0.02)
        await graph.store.close()

    stopping = threading.Event()
    worker = threading.Thread(target=lambda: asyncio.run(work(stopping)))
    worker.start()
    try:
        with serving(listener, talk(), store=postgres_url, for_workers=True) as served:
            run_id = served.start("talk", webhook=f"http://{listener.host}/hook")
            until(lambda: [one["type"] for one in listener.of(run_id)] == ["run_paused"])
            pause = served.look(run_id)["pauses"][0]["id"]
            served.client.post(f"/runs/{run_id}/answers/{pause}", json={"value": 1})
            until(lambda: [one["type"] for one in listener.of(run_id)] == ["run_paused", "run_done"])
    finally:
        stopping.set()
        worker.join(20)
    with serving(listener, talk(), store=postgres_url, for_workers=True) as later:
        until(lambda: later.doors._more._webhooks.scans)
    assert len(listener.of(run_id)) == 2, "a server that comes later tells nobody again"
