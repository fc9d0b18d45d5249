"""The small readings and writings of the command line."""

import io
import os
from pathlib import Path
from typing import Any

import pytest

from ropewalk.cli import remembered
from ropewalk.cli.answering import value_of
from ropewalk.cli.follow import label
from ropewalk.cli.remembered import recall, remember
from ropewalk.cli.result import asked
from ropewalk.cli.screen import Screen, one_line, printable
from ropewalk.cli.tooling import decision_in_words, in_brief, in_full, in_words
from ropewalk.cli.trouble import Trouble


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("yes", True),
        ("No", False),
        ("true", True),
        ("3.5", 3.5),
        ('{"a": [1]}', {"a": [1]}),
        ('"yes"', "yes"),
        ("not before Monday", "not before Monday"),
        ("", ""),
    ],
)
def test_an_answer_is_yes_no_json_or_text(typed: str, value: Any) -> None:
    assert value_of(typed) == value


def test_steps_are_shown_without_the_number_of_a_first_firing() -> None:
    assert [label(step) for step in ("load#1", "load#2", "work#1[3]", "sub#1/check#12")] == [
        "load",
        "load#2",
        "work[3]",
        "sub/check#12",
    ]


def test_a_question_is_shown_before_what_belongs_to_it() -> None:
    assert asked({"draft": "x", "question": "Send it?"}) == 'Send it?  {"draft": "x"}'
    assert asked("Send it?") == "Send it?"
    assert asked(None) == "null"


def test_a_call_that_waits_is_a_question_and_all_that_it_was_given() -> None:
    call = {"tool": "pay", "call_id": "c1", "when": "before", "arguments": {"to": "Ann", "note": "a\nb"}}
    assert in_brief(call) == 'May pay run?  pay(to="Ann", note="a\\nb")'
    assert in_full(call) == ['to: "Ann"', "note:", "  a", "  b"]
    assert asked(call, kind="approval") == 'May pay run? pay(to="Ann", note="a\\nb")'
    assert in_full({**call, "when": "after", "arguments": {}, "result": 3}) == ["-> result: 3"]
    assert asked({"when": "x"}, kind="approval") == '{"when": "x"}'  # a question of the application's own


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"approve": True, "hash": "x"}, "approved"),
        ({"approve": True, "arguments": {"n": 1}, "hash": "x"}, 'approved, with other arguments: {"n": 1}'),
        ({"approve": False}, "rejected"),
        ({"approve": False, "reason": "too dear"}, "rejected: too dear"),
        ({"approve": False, "expired": True}, "nobody decided in time"),
        ({"approve": False, "happened": True, "result": "paid"}, 'it did happen: "paid"'),
        ({"topping": "olives"}, None),
        (True, None),
    ],
)
def test_a_decision_is_told_in_words(value: Any, words: str | None) -> None:
    assert decision_in_words(value) == words


def test_a_reply_is_told_by_what_it_used_and_asks_for() -> None:
    calls = [{"name": "look"}, {"name": "look"}, {"name": "send"}]
    value = {"model": "m", "finish": "stop", "message": {"content": "Well, then.", "tool_calls": calls}}
    data = {"value": value, "usage": {"input_tokens": 12, "output_tokens": 3}}
    assert in_words("model_replied", data) == "m: 12+3 tokens: asks for look (2), send"
    value["message"] = {"content": "Well, then."}
    assert in_words("model_replied", data) == "m: 12+3 tokens: Well, then."
    assert in_words("model_replied", data, is_read=True) == "m: 12+3 tokens: stop"


def test_nothing_that_steers_a_terminal_gets_through() -> None:
    assert printable("a\033[2Jb\r\u202ec\u009b1m") == "a\ufffd[2Jb\ufffd\ufffdc\ufffd1m"
    assert printable("a\tb\n") == "a\tb\n"


def test_long_values_are_cut_and_stay_on_one_line() -> None:
    assert one_line("a\n" * 200, 10) == "a a a a a\N{HORIZONTAL ELLIPSIS}"


def test_without_a_terminal_there_is_neither_colour_nor_movement() -> None:
    out = io.StringIO()
    screen = Screen(stream=out, environ={})
    screen.bottom(["working"])
    screen.text("half ")
    screen.text("a line")
    screen.line(screen.paint("done", "green"))
    assert out.getvalue() == "half a line\ndone\n"


@pytest.mark.parametrize(("environ", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_a_terminal_may_refuse_colour(environ: dict[str, str], coloured: bool) -> None:
    out = Terminal()
    screen = Screen(stream=out, environ=environ)
    screen.line(screen.paint("done", "green"))
    assert ("\033[32m" in out.getvalue()) is coloured


def test_lines_at_the_bottom_make_room_for_lines_that_stay() -> None:
    out = Terminal()
    screen = Screen(stream=out, environ={})
    screen.bottom(["one", "two"])
    screen.line("stays")
    screen.bottom(())
    assert out.getvalue() == "one\ntwo\r\033[1A\033[Jstays\none\ntwo\r\033[1A\033[J"


def test_a_run_is_remembered_by_its_newest_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert recall("a") is None
    remember("a", "/x/old.py:g", "memory:")
    remember("ab", "/x/other.py:g", "memory:")
    remember("a", "/x/new.py:g", None)
    known = recall("a")
    assert known is not None
    assert (known.graph, known.store) == ("/x/new.py:g", None)


def test_a_password_is_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    remember("a", "/x/f.py:g", "postgresql://me:secret@host/db")
    assert "secret" not in (tmp_path / ".ropewalk" / "graphs.jsonl").read_text(encoding="utf-8")


def test_what_is_remembered_is_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    remember("a", "/x/f.py:g", "memory:")
    file = tmp_path / ".ropewalk" / "graphs.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / ".ropewalk" / ".gitignore").read_text(encoding="utf-8") == "*\n"
    file.chmod(0o666)
    with pytest.raises(Trouble, match="not believed"):
        recall("a")


def test_a_record_of_somebody_else_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    remember("a", "/x/f.py:g", "memory:")
    monkeypatch.setattr(remembered.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(Trouble, match="not believed"):
        recall("a")


@pytest.mark.parametrize("line", ["", "{", "[]", '{"run_id": "a"}', '{"run_id": "a", "graph": 3}', '"a"'])
def test_a_broken_line_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.chdir(tmp_path)
    remember("a", "/x/f.py:g", "memory:")
    with (tmp_path / ".ropewalk" / "graphs.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    known = recall("a")
    assert known is not None
    assert known.graph == "/x/f.py:g"
