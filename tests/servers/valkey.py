"""A Redis-compatible server of our own: Valkey, or this machine's Redis."""

from tests.servers.programs import program
from tests.servers.server import Server, said_back

SETTINGS = {
    "bind": "127.0.0.1",
    "appendonly": "yes",  # what was answered is in the file: a restart and kill -9 lose nothing
    "appendfsync": "no",
    "save": '""',
    "daemonize": "no",
}


class RedisServer(Server):
    """A Redis-compatible server; ``settings`` are those of redis.conf, and outdo SETTINGS."""

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        own = {"port": str(self.port), "requirepass": self.password, "dir": f'"{self.folder.path}"'}
        lines = [f"{name} {value}\n" for name, value in (SETTINGS | own | self.settings).items()]
        return [str(program("redis")), str(self.folder.write("redis.conf", "".join(lines)))]

    def answers(self) -> bool:
        return said_back(self.port, f"AUTH {self.password}\r\nPING\r\n".encode(), b"+PONG")
