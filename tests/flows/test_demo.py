"""`./dev run`, as somebody uses it who does not trust it: killed, interrupted, without a terminal, on odd folders."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from examples.documents.files import publish_draft, write_draft
from tests.flows.demoing import (
    DEMO,
    ROOT,
    TEXTS,
    answers,
    at_a_terminal,
    demo,
    environ,
    log,
    ropewalk,
    runs,
    stopped_when,
)


def assert_nothing_was_done_twice(folder: Path, run_id: str) -> None:
    entries = log(folder, run_id)
    finished = Counter(entry.data["step"] for entry in entries if entry.type == "step_finished")
    kept = Counter((entry.data["step"], entry.data["name"]) for entry in entries if entry.type == "step_recorded")
    assert set(finished.values()) == {1}
    assert set(kept.values()) == {1}
    assert sum(step.startswith("read#1[") for step in finished) == TEXTS
    out = folder / ".ropewalk" / "demo" / "texts"
    assert sorted(path.name for path in (out / "published").iterdir()) == ["digest-1.html", "digest-1.md"]
    assert list((out / "drafts").iterdir()) == []


MOMENTS = [
    ("Run documents", 1),
    ("read  ", 3),
    ("read  ", TEXTS),
    ("minutes  ", 1),
    ("2 files are odd", 1),
    ("write  ", 1),
    ("approve", 1),
]


@pytest.mark.parametrize(("words", "times"), MOMENTS)
def test_a_demo_that_was_killed_goes_on_where_it_was(tmp_path: Path, words: str, times: int) -> None:
    assert stopped_when(tmp_path, words, signal.SIGKILL, "--yes", times=times) in {-signal.SIGKILL, 0}
    (killed,) = runs(tmp_path)
    again = demo(tmp_path, "--yes")
    assert again.returncode == 0, again.stderr
    if killed.status != "DONE":
        assert f"Going on with run {killed.run_id}" in again.stdout
        (done,) = runs(tmp_path)
        assert done.status == "DONE"
        assert_nothing_was_done_twice(tmp_path, killed.run_id)


def test_a_demo_that_is_killed_again_and_again_loses_and_repeats_nothing(tmp_path: Path) -> None:
    for words in ("find", "read  ", "read  ", "read  ", "letters", "3 invoices"):
        with contextlib.suppress(AssertionError):  # it was further than that
            stopped_when(tmp_path, words, signal.SIGKILL)
    assert demo(tmp_path, "--yes").returncode == 0
    (run,) = runs(tmp_path)
    assert_nothing_was_done_twice(tmp_path, run.run_id)


def test_ctrl_c_says_that_nothing_is_lost(tmp_path: Path) -> None:
    assert stopped_when(tmp_path, "read  ", signal.SIGINT, "--pace", "0.2", times=4) == 130
    again = demo(tmp_path, "--yes")
    assert re.search(r"Going on with run \S+: \d+ of 14 documents had been read", again.stdout)
    (run,) = runs(tmp_path)
    assert_nothing_was_done_twice(tmp_path, run.run_id)


def test_without_a_terminal_it_waits_and_says_how_to_answer(tmp_path: Path) -> None:
    ran = demo(tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "\033" not in ran.stdout
    assert runs(tmp_path)[0].status == "PAUSED"
    digest = tmp_path / ".ropewalk" / "demo" / "texts" / "drafts" / "digest-1.md"
    assert "Adds up wrongly: its lines make EUR 2,091.50" in digest.read_text(encoding="utf-8")
    assert 'data-node="approve" data-status="waiting"' in picture(tmp_path)
    ropewalk(tmp_path, *answers(ran.stdout)[0], code=75)  # the clerk's answer is another thing
    published = tmp_path / ".ropewalk" / "demo" / "texts" / "published" / "digest-1.md"
    assert published.exists()
    assert not digest.exists()


def test_a_second_call_says_again_that_it_waits(tmp_path: Path) -> None:
    demo(tmp_path)
    again = demo(tmp_path)
    assert again.returncode == 0
    assert "the digest was written" in again.stdout
    assert "Waiting" in again.stdout
    assert len(runs(tmp_path)) == 1


def test_yes_publishes_and_tells_where_everything_is(tmp_path: Path) -> None:
    ran = demo(tmp_path, "--yes")
    assert ran.returncode == 0, ran.stderr
    for words in ("published/digest-1.md", "run-1.svg", "runs show documents-texts-"):
        assert words in ran.stdout
    assert 'data-edge="publish-&gt;__end__" data-kind="arrow" data-taken="1"' in picture(tmp_path)
    page = (tmp_path / ".ropewalk" / "demo" / "texts" / "published" / "digest-1.html").read_text(encoding="utf-8")
    assert page.count("<ul>") == page.count("</ul>") == 6
    show = next(line for line in ran.stdout.splitlines() if "runs show" in line)
    assert "DONE" in ropewalk(tmp_path, *shlex.split("runs" + show.partition(" runs")[2]))


def test_a_finished_run_is_followed_by_another_edition(tmp_path: Path) -> None:
    demo(tmp_path, "--yes")
    assert "published/digest-2.md" in demo(tmp_path, "--yes").stdout


def test_fresh_cancels_what_was_unfinished(tmp_path: Path) -> None:
    demo(tmp_path)
    assert "digest-2.md" in demo(tmp_path, "--fresh").stdout
    assert [run.status for run in runs(tmp_path)] == ["PAUSED", "CANCELLED"]


def picture(folder: Path) -> str:
    return (folder / ".ropewalk" / "demo" / "texts" / "run-1.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("typed", "words", "status"),
    [(b"y\n", "published/digest-1.md", "DONE"), (b"no\n", "Not published", "DONE"), (b"\n", "Waiting", "PAUSED")],
)
def test_at_a_terminal_it_asks(tmp_path: Path, typed: bytes, words: str, status: str) -> None:
    seen, code = at_a_terminal(tmp_path, [(b"Publish this digest?", typed)], "--question", "")
    assert code == 0, seen
    assert words in seen
    assert "\033[32m" in seen
    assert "of 14 documents" in seen
    assert runs(tmp_path)[0].status == status


def test_ctrl_c_at_the_question_leaves_it_open(tmp_path: Path) -> None:
    seen, code = at_a_terminal(tmp_path, [(b"Publish this digest?", b"\x03")])
    assert code == 130, seen
    assert runs(tmp_path)[0].status == "PAUSED"


def test_no_wait_does_not_ask_at_a_terminal_either(tmp_path: Path) -> None:
    seen, code = at_a_terminal(tmp_path, [], "--no-wait")
    assert code == 0
    assert "Publish this digest? [y/n" not in seen


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_text("x"), "is a file and not a folder"),
        (lambda path: path.mkdir(), "There is no file in"),
    ],
)
def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path, make: Any, words: str) -> None:
    make(tmp_path / "there")
    ran = demo(tmp_path, "there")
    assert ran.returncode == 2
    assert words in ran.stderr
    assert "do:" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (tmp_path / ".ropewalk" / "runs.db").exists() or runs(tmp_path) == []


def test_odd_files_become_remarks(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "secret.txt").write_text("never read", encoding="utf-8")
    (folder / "deep" / "er" / "note.txt").write_text("A note that lies deep, and is read.", encoding="utf-8")
    (folder / "binary.bin").write_bytes(b"PNG\0\1\2")
    (folder / "long.txt").write_bytes(b"word " * 300_000)
    (folder / "bom.txt").write_bytes(b"\xef\xbb\xbfA note with a mark in front.")
    (folder / "escape\033[31m.txt").write_text("red \033[31m text", encoding="utf-8")
    (folder / "sixteen.txt").write_bytes("wide".encode("utf-16"))
    (folder / "void.txt").touch()
    (folder / "link.txt").symlink_to(folder / "bom.txt")
    os.mkfifo(folder / "pipe")
    with contextlib.suppress(OSError):  # file systems that take UTF-8 names alone
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("x", encoding="utf-8")
    ran = demo(tmp_path, "odd", "--yes")
    assert ran.returncode == 0, ran.stderr
    assert "\033" not in ran.stdout
    page = next((tmp_path / ".ropewalk" / "demo" / "odd" / "published").glob("*.md")).read_text(encoding="utf-8")
    for words in (
        "`binary.bin` is no text",
        "`long.txt` is longer than",
        "`void.txt` is empty",
        "`sixteen.txt` is no text",
        "deep/er/note.txt",
        "bom.txt",
    ):
        assert words in page
    for words in ("secret", "link.txt", "pipe"):
        assert words not in page


@pytest.mark.parametrize(
    "files",
    [{"e.txt": b""}, {"x.bin": b"\0\1\2"}, {"e.txt": b"", "x.bin": b"\0"}, {"a.txt": b"hi", "x.bin": b"\0\1"}],
    ids=["empty", "binary", "both", "two bytes and a binary"],
)
def test_a_folder_without_a_telling_word_gets_a_digest_too(tmp_path: Path, files: dict[str, bytes]) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    ran = demo(tmp_path, "bare", "--yes")
    assert ran.returncode == 0, ran.stderr
    assert "no document has telling words" in ran.stdout
    page = next((tmp_path / ".ropewalk" / "demo" / "bare" / "published").glob("*.md")).read_text(encoding="utf-8")
    for name in files:
        assert f"`{name}`" in page
    assert [run.status for run in runs(tmp_path)] == ["DONE"]


def test_a_file_that_vanishes_is_a_remark(tmp_path: Path) -> None:
    folder = tmp_path / "papers"
    folder.mkdir()
    for name in ("a", "b", "c", "d"):
        (folder / f"{name}.txt").write_text("The paper is here and is to be read.", encoding="utf-8")
    stopped_when(tmp_path, "find", signal.SIGKILL, "papers")
    (folder / "d.txt").unlink()
    assert demo(tmp_path, "papers", "--yes").returncode == 0
    page = next((tmp_path / ".ropewalk" / "demo" / "papers" / "published").glob("*.md")).read_text(encoding="utf-8")
    assert "`d.txt` cannot be read: No such file or directory" in page


def test_two_folders_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for place in ("one", "other"):
        (tmp_path / place / "papers").mkdir(parents=True)
        (tmp_path / place / "papers" / f"{place}.txt").write_text("A paper.", encoding="utf-8")
    demo(tmp_path, "one/papers", "--out", "a")
    assert "Going on" not in demo(tmp_path, "other/papers", "--out", "b").stdout
    assert len(runs(tmp_path)) == 2


def test_a_second_process_takes_the_run_over_and_the_first_one_says_so(tmp_path: Path) -> None:
    command = [*DEMO, "--pace", "0.3"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, env=environ(), stdout=pipe, stderr=pipe, text=True) as first:
        assert first.stdout is not None
        for line in first.stdout:
            if "read" in line:
                break
        second = demo(tmp_path, "--yes")
        _, err = first.communicate(timeout=15)
    assert second.returncode == 0, second.stderr
    assert first.returncode == 2
    assert "Another process goes on with this run" in err
    (run,) = runs(tmp_path)
    assert_nothing_was_done_twice(tmp_path, run.run_id)


@pytest.mark.parametrize("moved", [(), (".html",), (".html", ".md")])
def test_a_digest_is_published_once_wherever_the_move_was_cut_off(tmp_path: Path, moved: tuple[str, ...]) -> None:
    write_draft(str(tmp_path), 1, "# A digest\n")
    (tmp_path / "published").mkdir()
    for suffix in moved:
        (tmp_path / "drafts" / f"digest-1{suffix}").rename(tmp_path / "published" / f"digest-1{suffix}")
    assert publish_draft(str(tmp_path), 1) == str(tmp_path / "published" / "digest-1.md")
    assert sorted(path.name for path in (tmp_path / "published").iterdir()) == ["digest-1.html", "digest-1.md"]
    assert list((tmp_path / "drafts").iterdir()) == []


def test_the_texts_hold_an_empty_file_and_one_that_is_not_utf_8() -> None:
    texts = sorted((ROOT / "examples" / "documents" / "texts").iterdir())
    assert len(texts) == TEXTS
    assert [path.name for path in texts if not path.read_bytes()] == ["notes-empty.txt"]
    with pytest.raises(UnicodeDecodeError):
        (ROOT / "examples" / "documents" / "texts" / "carta-de-cadiz-1987.txt").read_text(encoding="utf-8")
