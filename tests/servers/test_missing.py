"""A server that cannot be had is an error which names the command that brings it, and only for who needs one."""

from pathlib import Path

import pytest
from tests.servers.programs import INSTALLED, ServerMissing, program

NAMES = ["postgres", "redis", "nats"]


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_package_names_the_command_that_brings_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ROPEWALK_TEST_SERVERS", str(tmp_path))
    monkeypatch.delenv("TEST_SYSTEM_SERVERS", raising=False)
    with pytest.raises(
        ServerMissing, match=rf"(?s)no {name} server.*\./dev services --install.*TEST_{name.upper()}_URL"
    ):
        program(name)


def test_a_server_that_no_url_can_name_is_not_asked_for_by_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ROPEWALK_TEST_SERVERS", str(tmp_path))
    monkeypatch.delenv("TEST_SYSTEM_SERVERS", raising=False)
    with pytest.raises(ServerMissing, match=r"(?s)no nginx server.*\./dev services --install") as missing:
        program("nginx")
    assert "_URL" not in str(missing.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_is_not_installed_names_the_command_that_brings_it(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEST_SYSTEM_SERVERS", "postgres, redis nats")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(INSTALLED, name, (f"{name}-server", f"{tmp_path}/*/{name}-server"))
    with pytest.raises(ServerMissing, match=f"(?s)no {name} server.*apt install"):
        program(name)


def test_a_server_of_this_machine_is_taken_by_the_name_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "redis-check-rdb").touch(mode=0o755)
    (tmp_path / "redis-server").symlink_to("redis-check-rdb")
    monkeypatch.setenv("TEST_SYSTEM_SERVERS", "redis")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program("redis") == tmp_path / "redis-server"


def test_the_newest_of_several_installed_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for number in ("9", "15", "16"):
        (tmp_path / number).mkdir()
        (tmp_path / number / "postgres").touch()
    monkeypatch.setenv("TEST_SYSTEM_SERVERS", "postgres")
    monkeypatch.setitem(INSTALLED, "postgres", (f"{tmp_path}/*/postgres",))
    assert program("postgres") == tmp_path / "16" / "postgres"


def test_a_mistyped_server_gets_the_nearest_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SYSTEM_SERVERS", "reddis")
    with pytest.raises(ServerMissing, match="Did you mean 'redis'"):
        program("nats")
