"""Callers who bring tokens: real signatures, keys from a file and from a real URL that change meanwhile."""

import asyncio
import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.server.graphs import quick
from tests.server.serving import Served, bearer

from ropewalk.errors import NotAuthenticated
from ropewalk.server import tokens
from ropewalk.server.auth import ApiKeys, Credentials
from ropewalk.server.tokens import Tokens


class Issuer:
    """Signs tokens and publishes its keys."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.new_key("k1")

    def new_key(self, name: str) -> None:
        self.keys[name] = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def jwks(self) -> str:
        public = {
            name: json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) for name, key in self.keys.items()
        }
        return json.dumps(
            {"keys": [{**jwk, "kid": name, "alg": "RS256", "use": "sig"} for name, jwk in public.items()]}
        )

    def token(self, key: str = "k1", **claims: Any) -> str:
        told = {"sub": "ann", "iss": "https://id.example", "aud": "ropewalk", "exp": time.time() + 60} | claims
        told = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(told, self.keys[key], algorithm="RS256", headers={"kid": key})


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


def caller(auth: Any, token: str | None) -> str | None:
    return asyncio.run(auth(Credentials(token=token, headers={}))).owner


@pytest.fixture
def auth(issuer: Issuer, tmp_path: Path) -> Tokens:
    file = tmp_path / "jwks.json"
    file.write_text(issuer.jwks())
    return Tokens(str(file), issuer="https://id.example", audience="ropewalk")


def test_who_asks_is_who_the_token_was_issued_for(auth: Tokens, issuer: Issuer) -> None:
    assert caller(auth, issuer.token()) == "ann"
    assert caller(auth, issuer.token(sub="bob")) == "bob"


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_000_000},
        {"exp": None},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"nbf": time.time() + 3_600},
    ],
)
def test_a_token_that_is_not_for_here_and_now_is_refused(auth: Tokens, issuer: Issuer, claims: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated):
        caller(auth, issuer.token(**claims))


def signed_with_a_secret(claims: dict[str, Any], secret: bytes) -> str:
    """Sign by hand what the library refuses to: a token whose secret is a public key."""

    def text(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    head = text(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "k1"}).encode())
    signed = f"{head}.{text(json.dumps(claims).encode())}"
    return f"{signed}.{text(hmac.digest(secret, signed.encode(), 'sha256'))}"


def test_a_token_that_chooses_its_own_signature_is_refused(auth: Tokens, issuer: Issuer) -> None:
    claims = {"sub": "ann", "iss": "https://id.example", "aud": "ropewalk", "exp": time.time() + 60}
    unsigned = jwt.encode(claims, None, algorithm="none", headers={"kid": "k1"})
    with_public_key = signed_with_a_secret(claims, issuer.jwks().encode())
    stranger = Issuer().token()
    head, body, signature = issuer.token().split(".")
    for token in (unsigned, with_public_key, stranger, f"{head}.{body}.{signature[:-4]}AAAA", "a.b.c", "..", None):
        with pytest.raises(NotAuthenticated):
            caller(auth, token)


def test_keys_from_a_url_change_and_are_not_asked_for_again_by_every_stranger(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Publishes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = issuer.jwks().encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Publishes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        auth = Tokens(f"http://127.0.0.1:{server.server_port}/jwks")
        assert [caller(auth, issuer.token()) for _ in range(5)] == ["ann"] * 5
        assert len(asked) == 1
        issuer.new_key("k2")
        for _ in range(5):
            with pytest.raises(NotAuthenticated):
                caller(auth, issuer.token("k2"))
        assert len(asked) == 1, "strangers make it ask again and again"
        monkeypatch.setattr(tokens, "_AGAIN_SECONDS", 0.0)
        assert caller(auth, issuer.token("k2")) == "ann"
        assert len(asked) == 2
    finally:
        server.shutdown()
        server.server_close()
    monkeypatch.setattr(tokens, "_OLD_SECONDS", 0.0)
    assert caller(auth, issuer.token("k2")) == "ann", "while the keys cannot be had, the old ones count"


def test_keys_are_never_read_over_an_open_line() -> None:
    with pytest.raises(ValueError, match="Use https"):
        Tokens("http://id.example/jwks")


def test_api_keys_stand_beside_tokens(issuer: Issuer, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(issuer.jwks())
    auth = Tokens(str(file), otherwise=ApiKeys(["robot:robot-key-1"]))
    assert caller(auth, "robot-key-1") == "robot"
    assert caller(auth, issuer.token()) == "ann"
    with pytest.raises(NotAuthenticated):
        caller(auth, "another-key")


@pytest.fixture
def served(issuer: Issuer, tmp_path: Path) -> Iterator[Served]:
    file = tmp_path / "jwks.json"
    file.write_text(issuer.jwks())
    with Served(quick(), jwks=str(file)) as running:
        yield running


def test_tokens_open_the_doors(served: Served, issuer: Issuer) -> None:
    run_id = served.start("quick", as_=issuer.token(sub="ann"))
    assert served.wait(run_id, "DONE", as_=issuer.token(sub="ann"))["run_id"] == run_id
    assert served.client.get(f"/runs/{run_id}", headers=bearer(issuer.token(sub="bob"))).status_code == 404
    assert served.client.get("/runs").status_code == 401
