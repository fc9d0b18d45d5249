"""A worker's own line to the database: a TCP proxy that can be cut, or fall silent."""

import selectors
import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

_CHUNK = 1 << 16


class Line:
    """Carries connections from a port of its own to the server in ``url``; `url` is what leads through it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._server = (parts.hostname, parts.port)
        self._door = socket.create_server(("127.0.0.1", 0))
        who = parts.netloc.rpartition("@")[0]
        self.url = parts._replace(netloc=f"{who}@127.0.0.1:{self._door.getsockname()[1]}").geturl()
        self._carries = threading.Event()
        self._carries.set()
        self._is_refusing = False
        self._ends: dict[socket.socket, socket.socket] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections, and every new one at once, until it is mended."""
        self._is_refusing = True
        self._hang_up()

    def silence(self) -> None:
        """Hold everything back, and tell nobody."""
        self._carries.clear()

    def mend(self) -> None:
        """Carry on. What was sent into the silence arrives now: late appends of a worker whose lease is gone, say."""
        self._is_refusing = False
        self._carries.set()

    def close(self) -> None:
        self._is_refusing = True
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._hang_up()
        self._carries.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._carries.wait()
        if self._is_refusing:
            client.close()
            return
        try:
            server = socket.create_connection(self._server, timeout=10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._ends |= {client: server}
        with suppress(OSError), selectors.DefaultSelector() as waiting:
            waiting.register(client, selectors.EVENT_READ, server)
            waiting.register(server, selectors.EVENT_READ, client)
            self._carry(waiting)
        with self._lock:
            self._ends.pop(client, None)
        client.close()
        server.close()

    def _carry(self, waiting: selectors.BaseSelector) -> None:
        while True:
            for key, _ in waiting.select():
                assert isinstance(key.fileobj, socket.socket)
                chunk = key.fileobj.recv(_CHUNK)
                self._carries.wait()
                if not chunk:
                    return
                key.data.sendall(chunk)

    def _hang_up(self) -> None:
        with self._lock:
            ends = [end for pair in self._ends.items() for end in pair]
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
