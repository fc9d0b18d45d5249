"""The image is made from what is pinned, by nobody who is root at the end."""

import json
import re
import shlex

from tests.deploy import shipped

from ropewalk.cli.arguments import parser

DOCKERFILE = shipped.instructions("Dockerfile")


def given(name: str) -> list[str]:
    return [words for instruction, words in DOCKERFILE if instruction == name]


def test_every_base_is_pinned_and_the_same() -> None:
    bases = {words.split()[0] for words in given("FROM")}
    assert len(given("FROM")) == 2, "what builds does not enter the image"
    assert [bool(re.match(r"python:3\.\d+\.\d+-slim-\w+$", base)) for base in bases] == [True]


def test_the_last_user_is_a_number_and_not_roots() -> None:
    assert given("USER")[-1] == "10001:10001"
    names = [instruction for instruction, _ in DOCKERFILE]
    assert "RUN" not in names[len(names) - names[::-1].index("USER") :]


def test_it_starts_a_command_of_ours() -> None:
    assert json.loads(given("ENTRYPOINT")[0]) == ["ropewalk"]
    assert parser().parse_args(json.loads(given("CMD")[0])).command == "gateway"


def test_all_that_is_installed_is_pinned_with_hashes() -> None:
    for words in given("RUN"):
        for step in words.split("&&"):
            if "pip install" in step:
                assert "--require-hashes" in step or "--no-index" in step, step
            if "pip wheel" in step:
                assert "--no-build-isolation" in step, step


def test_what_it_copies_is_there_and_is_not_left_out() -> None:
    ignored = (shipped.DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").split()
    assert ignored[0] == "*", "nothing enters by chance"
    for words in given("COPY"):
        if words.startswith("--from"):
            continue
        for path in shlex.split(words)[:-1]:
            assert (shipped.ROOT / path).exists()
            assert f"!{path}" in ignored


def test_the_health_check_is_python_that_compiles() -> None:
    (words,) = given("HEALTHCHECK")
    command = json.loads(words.partition("CMD ")[2])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "the health check", "exec")
    assert "/health" in command[2]


def test_the_image_has_the_drivers_of_the_chat_service() -> None:
    pinned = (shipped.ROOT / "requirements" / "image.txt").read_text(encoding="utf-8")
    names = set(re.findall(r"^([\w-]+)==", pinned, re.MULTILINE))
    assert names >= {
        "fastapi",
        "uvicorn",
        "nats-py",
        "redis",
        "psycopg",
        "psycopg-binary",
        "prometheus-client",
        "pyjwt",
    }
