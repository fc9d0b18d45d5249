"""What a compose file says of its services, with the environment's values in it. Pure, but for the reading of YAML."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?-)([^}]*))?\})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One service."""

    name: str
    image: str
    is_ours: bool
    """It is built from this checkout."""
    command: tuple[str, ...]
    environ: dict[str, str]
    replicas: int

    @property
    def names(self) -> list[str]:
        """What its containers are called."""
        return [self.name] if self.replicas == 1 else [f"{self.name}-{n}" for n in range(1, self.replicas + 1)]


def read(text: str, environ: Mapping[str, str]) -> dict[str, Service]:
    """Return the services of a compose file."""
    given = _filled(yaml.safe_load(text), environ)
    return {name: _service(name, said, environ) for name, said in given["services"].items()}


def _service(name: str, said: dict[str, Any], environ: Mapping[str, str]) -> Service:
    build = said.get("build", {})
    given: dict[str, str | None] = said.get("environment", {})
    passed = {key: environ[key] for key, value in given.items() if value is None and key in environ}
    return Service(
        name=name,
        image=said["image"],
        is_ours=build.get("dockerfile") == "deploy/Dockerfile",
        command=tuple(said.get("command", ())),
        environ={key: str(value) for key, value in given.items() if value is not None} | passed,
        replicas=said.get("deploy", {}).get("replicas", 1),
    )


def _filled(value: Any, environ: Mapping[str, str]) -> Any:
    """Return ``value`` with ${NAME}, ${NAME-or this} and ${NAME:-or this} replaced in every text of it."""
    match value:
        case str():
            return _VARIABLE.sub(lambda found: _value_of(found, environ), value)
        case list():
            return [_filled(one, environ) for one in value]
        case dict():
            return {key: _filled(one, environ) for key, one in value.items()}
        case _:
            return value


def _value_of(found: re.Match[str], environ: Mapping[str, str]) -> str:
    name, dash, otherwise = found.groups()
    if name is None:
        return "$"
    given = environ.get(name)
    if given is None or (not given and dash == ":-"):
        return otherwise or ""
    return given
