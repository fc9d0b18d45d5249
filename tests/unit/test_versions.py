"""Versions: joined histories hold each step once, in an order that no clock has a part in."""

import itertools
import random

import pytest

from ropewalk import GraphState, History, Incremental
from ropewalk.core.state import Shape
from ropewalk.core.versions import Versions


class Log(GraphState):
    log: History[str]
    count: Incremental[int] = 0


SHAPE = Shape(Log)


def writes(word):
    return SHAPE.returned({"log": word, "count": 1}, "t")


def log_of(version):
    return "".join(SHAPE.to_state(version.values).log)


@pytest.fixture
def versions():
    return Versions(SHAPE)


def first(versions):
    return versions.first(SHAPE.initial(Log()))


def test_a_join_holds_the_first_parent_s_history_then_what_each_other_adds(versions):
    root = first(versions)
    a = versions.after(root, writes("a"), only=False)
    b = versions.after(a, writes("b"), only=False)
    c = versions.after(a, writes("c"), only=False)
    d = versions.after(c, writes("d"), only=False)
    assert log_of(versions.merged([b, d])) == "abcd"
    assert log_of(versions.merged([d, b])) == "acdb"


def test_a_step_in_the_past_of_both_is_counted_once(versions):
    root = first(versions)
    w = versions.after(root, writes("w"), only=False)
    x = versions.after(root, writes("x"), only=False)
    y = versions.after(versions.merged([w, x]), writes("y"), only=False)
    z = versions.after(versions.merged([x, w]), writes("z"), only=False)
    joined = versions.merged([y, z])
    assert log_of(joined) == "wxyz"
    assert SHAPE.to_state(joined.values).count == 4


def test_merging_one_version_or_the_same_twice_changes_nothing(versions):
    root = first(versions)
    a = versions.after(root, writes("a"), only=False)
    a.refs += 2  # as tokens that point at it would
    assert versions.merged([a]) is a
    assert versions.merged([a, a]) is a
    assert log_of(versions.merged([root, a])) == "a"


def test_a_version_without_writes_is_the_same_version(versions):
    root = first(versions)
    assert versions.after(root, [], only=False) is root


def test_an_edit_is_in_the_past_of_all_that_comes_later_and_counted_once(versions):
    root = first(versions)
    a = versions.after(root, writes("a"), only=False)
    versions.edit(writes("E"))
    left = versions.merged([a])
    right = versions.merged([root])
    assert (log_of(left), log_of(right)) == ("aE", "E")
    left = versions.after(left, writes("l"), only=False)
    right = versions.after(right, writes("r"), only=False)
    joined = versions.merged([left, right])
    assert log_of(joined) == "aElr"
    versions.edit(writes("F"))
    assert log_of(versions.merged([joined])) == "aElrF"


def test_a_cut_version_keeps_its_values(versions):
    root = first(versions)
    a = versions.after(root, writes("a"), only=False)
    versions.cut(a)
    b = versions.after(a, writes("b"), only=False)
    c = versions.after(a, writes("c"), only=False)
    assert log_of(versions.merged([b, c])) == "abc"


@pytest.mark.parametrize("seed", range(60))
def test_random_histories_are_what_plain_lists_say(versions, seed):
    dice = random.Random(seed)
    pool = [(first(versions), ())]
    names = iter(f"{number} " for number in range(100))
    for _ in range(25):
        if dice.random() < 0.5:
            version, history = dice.choice(pool)
            name = next(names)
            pool.append((versions.after(version, writes(name), only=False), (*history, name)))
        else:
            chosen = [dice.choice(pool) for _ in range(dice.randint(1, 4))]
            for version, _ in chosen:
                version.refs += 1  # as a token that points at it would
            version = versions.merged([one for one, _ in chosen])
            pool.append(
                (version, tuple(dict.fromkeys(itertools.chain.from_iterable(history for _, history in chosen))))
            )
        version, history = pool[-1]
        assert log_of(version) == "".join(history)
