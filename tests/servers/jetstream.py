"""A NATS server with JetStream of our own."""

import json

from tests.servers.programs import program
from tests.servers.server import Server, said_back

USER = "ropewalk"


class NatsServer(Server):
    """A NATS server with JetStream; ``settings`` are those of its configuration file, as in {"max_payload": "2MB"}."""

    @property
    def url(self) -> str:
        return f"nats://{USER}:{self.password}@127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        own = {
            "listen": f"127.0.0.1:{self.port}",
            "authorization": f'{{ user: {USER}, password: "{self.password}" }}',
            "jetstream": f'{{ store_dir: "{self.folder.path}" }}',
        }
        lines = [f"{name}: {value}\n" for name, value in (own | self.settings).items()]
        return [str(program("nats")), "--config", str(self.folder.write("nats.conf", "".join(lines)))]

    def answers(self) -> bool:
        hello = json.dumps({"user": USER, "pass": self.password, "verbose": False})
        return said_back(self.port, f"CONNECT {hello}\r\nPING\r\n".encode(), b"PONG")  # after its INFO
