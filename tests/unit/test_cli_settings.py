"""Which store a command uses."""

from pathlib import Path

import pytest

from ropewalk.settings import DEFAULT_STORE, chosen_store


def project(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_what_was_typed_comes_first(tmp_path: Path) -> None:
    project(tmp_path, '[tool.ropewalk]\nstore = "sqlite:///project.db"')
    choice = chosen_store("memory:", environ={"ROPEWALK_STORE": "sqlite:///env.db"}, folder=tmp_path)
    assert (choice.url, choice.origin) == ("memory:", "--store")


def test_the_environment_comes_before_the_project(tmp_path: Path) -> None:
    project(tmp_path, '[tool.ropewalk]\nstore = "sqlite:///project.db"')
    choice = chosen_store(None, environ={"ROPEWALK_STORE": "sqlite:///env.db"}, folder=tmp_path)
    assert (choice.url, choice.origin) == ("sqlite:///env.db", "ROPEWALK_STORE")


def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    assert chosen_store(None, environ={"ROPEWALK_STORE": ""}, folder=tmp_path).url == DEFAULT_STORE


def test_the_project_is_found_from_a_subfolder_and_its_path_stays_its_own(tmp_path: Path) -> None:
    project(tmp_path, '[tool.ropewalk]\nstore = "sqlite:///runs.db"')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert chosen_store(None, environ={}, folder=below).url == f"sqlite:///{tmp_path}/runs.db"


def test_an_absolute_path_and_another_scheme_are_left_alone(tmp_path: Path) -> None:
    for url in ("sqlite:////var/lib/runs.db", "postgresql://host/db"):
        project(tmp_path, f'[tool.ropewalk]\nstore = "{url}"')
        assert chosen_store(None, environ={}, folder=tmp_path).url == url


def test_a_project_without_our_table_says_nothing(tmp_path: Path) -> None:
    project(tmp_path, '[tool.ropewalk]\nstore = "sqlite:////above.db"')
    below = project(tmp_path / "member", '[project]\nname = "x"')
    assert chosen_store(None, environ={}, folder=below).url == "sqlite:////above.db"


def test_without_anything_it_is_a_folder_here(tmp_path: Path) -> None:
    choice = chosen_store(None, environ={}, folder=tmp_path)
    assert (choice.url, choice.origin) == (DEFAULT_STORE, "the default")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('[tool.ropewalk]\nstroe = "memory:"', "Did you mean 'store'?"),
        ("[tool.ropewalk]\nstore = 3", "Write a URL"),
        ("[tool.ropewalk\n", "is no TOML"),
    ],
)
def test_a_mistake_in_the_project_is_told(tmp_path: Path, text: str, word: str) -> None:
    project(tmp_path, text)
    with pytest.raises(ValueError, match=r"pyproject\.toml") as caught:
        chosen_store(None, environ={}, folder=tmp_path)
    assert word in str(caught.value)
