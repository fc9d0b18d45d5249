"""Errors: one tree, each with a code of its own and a message that says what, why and what to do."""

import inspect

import pytest

from ropewalk import errors
from ropewalk.errors import (
    AlreadyAnswered,
    GraphInvalid,
    Problem,
    RopewalkError,
    RunFailed,
    RunNotFound,
    RunPaused,
    UnknownField,
    WrongType,
    did_you_mean,
)

EVERY = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, RopewalkError)]


@pytest.mark.parametrize("cls", EVERY)
def test_every_error_has_a_code_of_its_own(cls):
    assert cls.code
    assert [other.code for other in EVERY].count(cls.code) == 1


def test_the_tree_in_the_docstring_has_every_error():
    missing = [cls.__name__ for cls in EVERY if cls.__name__ not in errors.__doc__]
    assert missing == []


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("sumarize", ["fetch", "summarize"], " Did you mean 'summarize'? Known: fetch, summarize."),
        ("xyz", ["fetch"], " Known: fetch."),
        ("x", [], ""),
        ("n1", [f"n{number}" for number in range(20)], "(20 in all)"),
    ],
)
def test_the_nearest_name_is_named(name, known, said):
    assert said in did_you_mean(name, known)


def test_builtin_kinds_are_kept_for_those_who_catch_them():
    assert issubclass(RunNotFound, KeyError)
    assert issubclass(RunFailed, RuntimeError)
    assert issubclass(WrongType, TypeError)
    assert issubclass(GraphInvalid, ValueError)
    assert str(RunNotFound("r")).startswith("No run 'r'"), "no quotes around the message, as KeyError would put"


def test_messages_say_what_and_what_to_do():
    assert "resume() retries" in str(RunFailed("r", reason="node_failed", message="down", node="n", attempt=2))
    assert "in node 'n': looped" in str(RunFailed("r", reason="too_many_iterations", message="looped", node="n"))
    assert "answer" in str(RunPaused("r", []))
    assert "Fork" in str(AlreadyAnswered("r", "p", by=None, at="now"))
    assert "Declare the field" in str(UnknownField("x", ["y"], "Node 'n'"))
    text = str(GraphInvalid("g", [Problem(message="m1", hint="h1"), Problem(message="m2", hint="h2")]))
    assert "2 mistakes" in text
    assert all(part in text for part in ("m1", "h1", "m2", "h2"))


def test_a_long_value_is_shortened():
    assert len(str(WrongType("f", "str", "x" * 10_000, "why", "Node 'n'"))) < 400
