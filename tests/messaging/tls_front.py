"""TLS in front of a server that has none: real handshakes, and the bytes as they are behind them."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import trustme


class TlsFront:
    def __init__(self, url: str, folder: Path) -> None:
        self._behind = urlsplit(url)
        self.authority = folder / "authority.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self._door = socket.create_server(("127.0.0.1", 0))

    @property
    def url(self) -> str:
        port = self._door.getsockname()[1]
        user = self._behind.netloc.rpartition("@")[0]
        return self._behind._replace(
            scheme="rediss", netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}"
        ).geturl()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the door was closed
            while True:
                came, _ = self._door.accept()
                threading.Thread(target=self._serve, args=(came,), daemon=True).start()

    def _serve(self, came: socket.socket) -> None:
        place = self._behind.hostname or "127.0.0.1", self._behind.port or 6379
        with (
            contextlib.suppress(OSError),  # a handshake that failed, too
            came,
            socket.create_connection(place) as behind,
            self._context.wrap_socket(came, server_side=True) as front,
        ):
            back = threading.Thread(target=self._carry, args=(behind, front), daemon=True)
            back.start()
            self._carry(front, behind)
            behind.shutdown(socket.SHUT_RDWR)
            back.join()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while some := source.recv(65536):
                target.sendall(some)
