"""What many servers write, as one stream of lines with their names in front."""

from collections.abc import Iterator, Mapping

from tests.servers.server import Server


class Lines:
    """Reads on in the logs of servers."""

    def __init__(self, servers: Mapping[str, Server]) -> None:
        self._files = {name: server.folder.path / "log" for name, server in servers.items()}
        self._read = dict.fromkeys(servers, 0)
        self._width = max(map(len, servers), default=0)

    def fresh(self) -> Iterator[str]:
        """Yield the whole lines that were written since the last time."""
        for name, path in self._files.items():
            with path.open("rb") as file:
                file.seek(self._read[name])
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read[name] += len(whole)
            for line in whole.decode("utf-8", errors="replace").splitlines():
                yield f"{name:<{self._width}} | {line}"
