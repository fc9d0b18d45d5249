"""nginx with the shipped file, in front of small servers that tell what reached them."""

import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.deploy import shipped
from tests.servers.front import NginxServer
from tests.servers.server import free_ports

SHIPPED = (shipped.DEPLOY / "nginx.conf").read_text(encoding="utf-8")


class Told(BaseHTTPRequestHandler):
    """Answers with what it was asked; streams on demand, and knows nothing of nginx."""

    protocol_version = "HTTP/1.1"
    server: "Backend"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path == "/api/sse":
            self._stream()
        else:
            self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.asked.append(self.path)
        if self.server.hangs_up:
            self.close_connection = True
            return
        self._answer()

    def _answer(self) -> None:
        body = json.dumps(dict(self.headers)).encode()
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for number in range(3):
            self.wfile.write(f"data: {number}\n\n".encode())
            self.wfile.flush()
            assert self.server.went_on.wait(10)
            self.server.went_on.clear()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class Backend(ThreadingHTTPServer):
    """What stands in a pod's place."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Told)
        self.asked: list[str] = []
        self.status = 200
        self.hangs_up = False
        self.went_on = threading.Event()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server_port}"


@contextmanager
def backend() -> Iterator[Backend]:
    server = Backend()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def fronted(*backends: Backend) -> Iterator[NginxServer]:
    """Start nginx; the pods for which there is no backend are dead."""
    dead = [f"127.0.0.1:{port}" for port, _ in zip(free_ports(), range(3 - len(backends)), strict=False)]
    places = [one.place for one in backends] + dead
    with NginxServer(SHIPPED, {f"pod-{n}:8080": place for n, place in enumerate(places, 1)}) as front:
        yield front


def asked(
    front: NginxServer, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", front.port, timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_token_is_sent_when_it_comes() -> None:
    with backend() as pod, fronted(pod) as front:
        connection = HTTPConnection("127.0.0.1", front.port, timeout=10)
        try:
            connection.request("GET", "/api/sse")
            answer = connection.getresponse()
            for number in range(3):  # the backend waits until the one before was read here
                assert answer.readline() == f"data: {number}\n".encode()
                assert answer.readline() == b"\n"
                pod.went_on.set()
            assert answer.read() == b""
        finally:
            connection.close()


def test_pods_learn_who_asked_and_under_which_name() -> None:
    with backend() as pod, fronted(pod) as front:
        forged = {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Host": "evil.example", "Host": "chat.example:8443"}
        _, body = asked(front, "POST", "/api/chat", b"{}", forged)
    told = {name.lower(): value for name, value in json.loads(body).items()}
    assert told["x-forwarded-for"] == "127.0.0.1"
    assert told["host"] == told["x-forwarded-host"] == "chat.example:8443"
    assert told["x-forwarded-proto"] == "http"


@pytest.mark.parametrize("path", ["/metrics", "/", "/nats/connz", "/docs", "/health/x"])
def test_what_is_for_the_house_is_not_shown(path: str) -> None:
    with backend() as pod, fronted(pod) as front:
        assert asked(front, "GET", path)[0] == 404
        assert pod.asked == []
        assert asked(front, "GET", "/health")[0] == 200


def test_a_body_that_is_too_large_does_not_reach_a_pod() -> None:
    with backend() as pod, fronted(pod) as front, socket.create_connection(("127.0.0.1", front.port)) as connection:
        connection.sendall(b"POST /api/chat HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (16 * 1024 * 1024 + 1))
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")
        assert pod.asked == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_dead_pods_are_not_the_clients_trouble(method: str) -> None:
    with backend() as pod, fronted(pod) as front:
        statuses = [asked(front, method, "/api/chat", b"{}" if method == "POST" else None)[0] for _ in range(12)]
    assert statuses == [200] * 12
    assert len(pod.asked) == 12


def test_a_pod_that_is_about_to_end_sends_readers_on() -> None:
    with backend() as ending, backend() as pod, fronted(ending, pod) as front:
        ending.status = 503
        assert [asked(front, "GET", "/api/sessions/s/messages")[0] for _ in range(6)] == [200] * 6
        assert ending.asked


def test_a_message_that_a_pod_has_read_is_never_sent_twice_by_nginx() -> None:
    with backend() as pod, backend() as other, fronted(pod, other) as front:
        pod.hangs_up = other.hangs_up = True
        assert asked(front, "POST", "/api/chat", b"{}")[0] == 502
        assert len(pod.asked + other.asked) == 1


def test_the_access_log_names_no_session() -> None:
    with backend() as pod, fronted(pod, pod, pod) as front:
        asked(front, "GET", "/api/chat?session_id=secret-session&user_id=ann")
        asked(front, "GET", "/health")
        front.stop()
        written = front.log()
    assert '"GET /api/chat" 200' in written
    assert "secret-session" not in written


def test_the_front_of_several_clusters_keeps_a_session_in_one() -> None:
    """The block on the page about growth."""
    page = (shipped.ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    temporary = "".join(f"{kind}_temp_path /tmp/{kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    upstreams = "".join(f"upstream cluster_{n} {{ server nginx-{n}:8080 ; }}" for n in (1, 2))
    whole = f"""pid /tmp/nginx.pid; events {{}} http {{
        access_log off; client_body_temp_path /tmp/body; {temporary} {upstreams} {block} }}"""
    with backend() as one, backend() as other:
        with NginxServer(whole, {"nginx-1:8080": one.place, "nginx-2:8080": other.place}) as front:
            for number in range(40):
                asked(front, "GET", f"/api/sessions/s{number}/messages?user_id=ann")
                asked(front, "POST", f"/api/chat?session_id=s{number}", b"{}")
                asked(front, "GET", f"/api/look?session_id=s{number}")
        reached = [Counter(re.findall(r"\bs\d+", " ".join(cluster.asked))) for cluster in (one, other)]
    assert not set(reached[0]) & set(reached[1]), "a session is in two clusters"
    assert set((reached[0] + reached[1]).values()) == {3}
    assert min(map(len, reached)) >= 10
