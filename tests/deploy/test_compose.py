"""The compose file can be run: its words are those of the schema, of the command line and of the settings."""

import re
from typing import Any

import pytest
from tests.deploy import shipped
from tests.deploy.told import names_read
from tests.up import composed

from ropewalk.cli.arguments import parser

OURS = ("pod-1", "pod-2", "pod-3", "workflow")
OF_IMAGES = {
    "postgres": {"POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD"},
    "redis": {"REDISCLI_AUTH"},
}
DEFAULT = re.compile(r"\$\{(\w*(?:PASSWORD|KEY|SECRET|TOKEN)\w*)(?::?-([^}]*))?\}")


def test_it_fits_the_schema() -> None:
    assert not shipped.complaints(shipped.compose(), "compose-spec")


def test_the_schema_finds_what_is_wrong() -> None:
    wrong = shipped.compose()
    wrong["services"]["nats"]["comand"] = wrong["services"]["nats"].pop("command")
    assert any("comand" in one for one in shipped.complaints(wrong, "compose-spec"))


def test_the_services_have_the_seeds_names_and_places() -> None:
    services = shipped.compose()["services"]
    assert set(services) == {*OURS, "nats", "redis", "postgres", "nginx"}
    ports = {name: [one.rpartition("}:")[2] for one in said.get("ports", [])] for name, said in services.items()}
    assert [ports[name] for name in ("pod-1", "pod-2", "pod-3")] == [["8081:8080"], ["8082:8080"], ["8083:8080"]]
    assert ports["nginx"] == ["80:8080"]
    assert services["nats"]["ports"] == ["127.0.0.1:8222:8222"], "monitoring is for this machine only"
    assert not ports["workflow"] + ports["redis"] + ports["postgres"]


def test_pods_and_workers_are_one_image() -> None:
    services = shipped.services()
    assert {name for name, one in services.items() if one.is_ours} == set(OURS)
    assert len({services[name].image for name in OURS}) == 1


@pytest.mark.parametrize("name", OURS)
def test_its_command_is_one_of_ours(name: str) -> None:
    service = shipped.services()[name]
    options = parser().parse_args(service.command)
    assert options.command == ("worker" if name == "workflow" else "gateway")


def test_a_mistyped_command_would_be_found() -> None:
    with pytest.raises(Exception, match="metrics-prt"):
        parser().parse_args(["worker", "--metrics-prt", "9100"])


@pytest.mark.parametrize("name", list(shipped.compose()["services"]))
def test_every_name_in_its_environment_is_read(name: str) -> None:
    known = names_read() if name in OURS else OF_IMAGES.get(name, set())
    given = set(shipped.compose()["services"][name].get("environment", {}))
    assert given <= known, f"{sorted(given - known)} mean nothing to {name}"


def test_pods_have_names_of_their_own() -> None:
    services = shipped.services()
    assert [services[name].environ["POD_ID"] for name in OURS[:3]] == list(OURS[:3])


@pytest.mark.parametrize("name", list(shipped.compose()["services"]))
def test_its_image_is_pinned(name: str) -> None:
    version = shipped.services()[name].image.rpartition(":")[2]
    assert re.match(r"\d+\.\d+(\.\d+)?(-alpine)?$", version)


@pytest.mark.parametrize(("name", "said"), shipped.compose()["services"].items())
def test_nobody_is_root(name: str, said: dict[str, Any]) -> None:
    user, _, group = said["user"].partition(":")
    assert user.isdecimal(), "a number: Kubernetes and others cannot know that a name is not root's"
    assert group.isdecimal()
    assert "0" not in (user, group)
    assert said["cap_drop"] == ["ALL"]
    assert said["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize(("name", "said"), shipped.compose()["services"].items())
def test_it_tells_how_it_is_and_waits_for_what_it_needs(name: str, said: dict[str, Any]) -> None:
    assert said["healthcheck"]["test"]
    for needed, how in said.get("depends_on", {}).items():
        assert how == {"condition": "service_healthy"}, f"{name} does not wait until {needed} is well"


def test_no_secret_is_in_it() -> None:
    text = shipped.COMPOSE.read_text(encoding="utf-8")
    defaults = dict(DEFAULT.findall(text))
    assert set(defaults) == {"REDIS_PASSWORD", "DB_PASSWORD", "ROPEWALK_API_KEYS"}
    assert set(defaults.values()) <= {"local-only", ""}
    said = shipped.services()
    assert {said["redis"].environ["REDISCLI_AUTH"], said["postgres"].environ["POSTGRES_PASSWORD"]} == {"local-only"}
    chosen = shipped.services(DB_PASSWORD="x", REDIS_PASSWORD="y")
    assert chosen["postgres"].environ["POSTGRES_PASSWORD"] == chosen["pod-1"].environ["DB_PASSWORD"] == "x"
    assert chosen["redis"].environ["REDISCLI_AUTH"] == chosen["workflow"].environ["REDIS_PASSWORD"] == "y"
    assert "y" in chosen["redis"].command


def test_nothing_is_published_beyond_this_machine_unless_somebody_says_so() -> None:
    for said in shipped.compose()["services"].values():
        for port in said.get("ports", []):
            assert port.startswith(("${PUBLISH:-127.0.0.1}:", "127.0.0.1:"))


def test_a_worker_is_not_killed_while_it_hands_over() -> None:
    said = shipped.compose()["services"]["workflow"]
    options = parser().parse_args(said["command"])
    assert int(said["stop_grace_period"].removesuffix("s")) > options.grace


def test_what_the_parts_keep_is_on_volumes() -> None:
    given = shipped.compose()
    mounted = {one for said in given["services"].values() for one in said.get("volumes", []) if not one.startswith(".")}
    assert mounted == {"nats_data:/data", "redis_data:/data", "postgres_data:/var/lib/postgresql"}
    assert {one.partition(":")[0] for one in mounted} == set(given["volumes"])
    assert re.search(r"^\s*store_dir: /data$", (shipped.DEPLOY / "nats.conf").read_text(encoding="utf-8"), re.MULTILINE)
    assert given["services"]["redis"]["command"][1:3] == ["--appendonly", "yes"]


@pytest.mark.parametrize(
    ("written", "environ", "read"),
    [
        ("${A}", {}, ""),
        ("${A}", {"A": "1"}, "1"),
        ("${A:-x}", {"A": ""}, "x"),
        ("${A-x}", {"A": ""}, ""),
        ("${A-x}", {}, "x"),
        ("$${A} ${A:-y} $$", {}, "${A} y $"),
    ],
)
def test_variables_are_read_as_compose_reads_them(written: str, environ: dict[str, str], read: str) -> None:
    text = f"services: {{one: {{image: '{written}'}}}}"
    assert composed.read(text, environ)["one"].image == read


def test_a_name_without_a_value_is_passed_on_when_the_shell_has_it() -> None:
    text = "services: {one: {image: x, environment: {A: , B: 2}}}"
    assert composed.read(text, {})["one"].environ == {"B": "2"}
    assert composed.read(text, {"A": "1"})["one"].environ == {"A": "1", "B": "2"}
