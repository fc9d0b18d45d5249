"""Versions: joined histories hold each step once, in an order that no clock has a part in."""

import hashlib
import itertools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk import GraphState, History, Incremental, LastValue, Reduced
from ropewalk.core.state import Shape
from ropewalk.core.versions import Version, Versions


class Log(GraphState):
    log: History[str]
    count: Incremental[int] = 0


SHAPE = Shape(Log)
drawn = settings(max_examples=80, derandomize=True, deadline=None)


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
    assert not a.parents
    assert not a.writes
    b = versions.after(a, writes("b"), only=False)
    c = versions.after(a, writes("c"), only=False)
    assert log_of(versions.merged([b, c])) == "abc"


# What they must be: a history is a tuple of names, a state is what naive folding makes of it.


def chained(old: str, new: str) -> str:
    """Merge in a way that any other order would show."""
    return hashlib.sha256(f"{old}>{new}".encode()).hexdigest()[:8]


class All(GraphState):
    """One field for each way to merge."""

    names: History[str]
    count: Incremental[int] = 0
    words: Incremental[str] = ""
    last: LastValue[str] = ""
    chain: Reduced[str, chained] = ""


ALL = Shape(All)


def all_writes(name: str) -> Any:
    """Write every field, or some, or set a history anew, as the name has it."""
    told = {"names": name, "count": len(name), "words": name, "last": name, "chain": name}
    kind = int(hashlib.sha256(name.encode()).hexdigest()[:2], 16)
    if kind < 20:
        return ALL.replaced({"names": [name], "count": kind, "chain": name}, "t")
    return ALL.returned({field: value for bit, (field, value) in enumerate(told.items()) if kind >> bit & 1}, "t")


def naive(history: tuple[str, ...]) -> dict[str, Any]:
    state: dict[str, Any] = {"names": ["0"], "count": 7, "words": "", "last": "", "chain": ""}
    for name in history:
        for field, op, value, _ in all_writes(name):
            if op == "set":
                state[field] = list(value) if field == "names" else value
            elif field == "names":
                state[field] = [*state[field], value]
            else:
                state[field] = chained(state[field], value) if field == "chain" else state[field] + value
    return state


def joined(histories: list[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(itertools.chain.from_iterable(histories)))


class Tokens:
    """Versions as the scheduler moves them, each with the history it must have; every token is one hold on its
    version.
    """

    def __init__(self) -> None:
        self.versions = Versions(ALL)
        root = self.versions.first(ALL.initial(All(names=["0"], count=7)))
        self.held: list[tuple[Version, tuple[str, ...]]] = [(root, ())]
        self.edits: list[str] = []
        self.names = (f"s{number} " for number in itertools.count())

    def fork(self, at: int) -> None:
        self.held[at][0].refs += 1
        self.held.append(self.held[at])

    def steps(self, at: int, count: int) -> None:
        version, history = self.held[at]
        for _ in range(count):
            name = next(self.names)
            version, history = self.versions.after(version, all_writes(name), only=True), (*history, name)
        self.held[at] = version, history

    def shared_step(self, at: int) -> None:
        version, history = self.held[at]
        name = next(self.names)
        self.held.append((self.versions.after(version, all_writes(name), only=False), (*history, name)))

    def join(self, places: list[int]) -> None:
        parts = [self.held[at] for at in places]
        self.held = [token for at, token in enumerate(self.held) if at not in places]
        history = joined([history for _, history in parts])
        history += tuple(edit for edit in self.edits if edit not in history)
        self.held.append((self.versions.merged([version for version, _ in parts]), history))

    def edit(self) -> None:
        self.edits.append(f"E{len(self.edits)} ")
        self.versions.edit(all_writes(self.edits[-1]))

    def cut(self) -> None:
        """Forget the past, as the scheduler does where one token is all there is."""
        if len(self.held) == 1:
            self.versions.cut(self.held[0][0])

    def check(self) -> None:
        for version, history in self.held:
            assert ALL.to_json(version.values) == naive(history)
        live = list(dict.fromkeys(version for version, _ in self.held))
        union = joined([history for _, history in self.held])
        union += tuple(edit for edit in self.edits if edit not in union)
        values = self.versions.values_of([*live, *self.versions.unseen_edits(live)])
        assert ALL.to_json(values) == naive(union)


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["fork", "fork", "steps", "steps", "long", "shared", "join", "join", "all", "edit", "cut"]),
        st.integers(0, 2**32),
    ),
    max_size=30,
)


@given(MOVES)
@drawn
def test_whatever_tokens_do_a_state_is_the_naive_fold_of_its_history(moves: list[tuple[str, int]]) -> None:
    """Promise 6: holds, squashed writes, forgotten pasts and edits change no value and no order."""
    tokens = Tokens()
    for move, number in moves:
        dice = random.Random(number)
        at = dice.randrange(len(tokens.held))
        match move:
            case "fork" if len(tokens.held) < 8:
                tokens.fork(at)
            case "steps":
                tokens.steps(at, dice.randint(1, 3))
            case "long":  # as many as make several writes one
                tokens.steps(at, dice.randint(60, 90))
            case "shared" if len(tokens.held) < 8:
                tokens.shared_step(at)
            case "join":
                tokens.join(dice.sample(range(len(tokens.held)), dice.randint(1, min(4, len(tokens.held)))))
            case "all":
                tokens.join(dice.sample(range(len(tokens.held)), len(tokens.held)))
            case "edit":
                tokens.edit()
            case "cut":
                tokens.cut()
            case _:
                continue
        tokens.check()


RECIPES = st.lists(st.lists(st.integers(0, 2**16), min_size=1, max_size=3), min_size=1, max_size=12)
"""What each version is made of: one parent and a write, or several parents."""


def made(recipe: list[list[int]], dice: random.Random) -> list[dict[str, Any]]:
    """Make the versions of a recipe in a drawn order that has parents first; return their states in its own."""
    parents = [[number % (place + 1) for number in numbers] for place, numbers in enumerate(recipe)]
    versions = Versions(ALL)
    known = {0: versions.first(ALL.initial(All(names=["0"], count=7)))}
    due = list(range(1, len(recipe) + 1))
    uses = [sum(made.count(place) for made in parents) for place in range(len(recipe) + 1)]
    known[0].refs = uses[0] + 1
    while due:
        place = dice.choice([one for one in due if all(parent in known for parent in parents[one - 1])])
        due.remove(place)
        held = [known[parent] for parent in parents[place - 1]]
        if len(held) == 1:
            known[place] = versions.after(held[0], all_writes(f"v{place}"), only=True)
        else:
            known[place] = versions.merged(held)
        known[place].refs += uses[place]  # each use is a token's hold, and we hold it to look at it
    return [ALL.to_json(known[place].values) for place in range(len(recipe) + 1)]


@given(RECIPES, st.integers(0, 2**32))
@drawn
def test_the_order_in_which_versions_are_made_changes_nothing(recipe: list[list[int]], seed: int) -> None:
    """Promise 6: no clock and no order of completion takes part."""
    dice = random.Random(seed)
    assert made(recipe, dice) == made(recipe, dice)


@given(RECIPES, st.integers(0, 2**32))
@drawn
def test_joins_of_joins_are_one_join(recipe: list[list[int]], seed: int) -> None:
    dice = random.Random(seed)
    tokens = Tokens()
    for numbers in recipe:
        tokens.fork(numbers[0] % len(tokens.held))
        tokens.steps(-1, 1)
        if len(numbers) == 3:
            tokens.fork(numbers[1] % len(tokens.held))
            tokens.join([len(tokens.held) - 1, numbers[2] % (len(tokens.held) - 1)])
    heads = [version for version, _ in tokens.held]
    for version in heads:
        version.refs += 100  # joined again and again below
    flat = tokens.versions.merged(heads)
    parts: list[Version] = heads
    while len(parts) > 1:
        at = dice.randrange(len(parts) - 1)
        many = dice.randint(2, 3)
        parts = [*parts[:at], tokens.versions.merged(parts[at : at + many]), *parts[at + many :]]
    assert ALL.to_json(parts[0].values) == ALL.to_json(flat.values)
    assert ALL.to_json(flat.values) == naive(joined([history for _, history in tokens.held]))


def test_many_writes_become_few_and_a_join_sees_no_difference(versions):
    root = first(versions)
    root.refs += 1
    branch = root
    for number in range(1000):
        branch = versions.after(branch, writes(f"{number} "), only=True)
    other = versions.after(root, writes("other "), only=False)
    assert len(branch.writes) < 100
    expected = "other " + "".join(f"{number} " for number in range(1000))
    assert log_of(versions.merged([other, branch])) == expected


class Weighed(Shape):
    """Counts the writes that it was asked to make fewer."""

    handled = 0

    def squash(self, writes: Any) -> Any:
        given_writes = list(writes)
        self.handled += len(given_writes)
        return super().squash(given_writes)


def test_writes_that_cannot_become_fewer_are_not_gone_through_again_at_every_step():
    """Promise 16. Found: each step of a long branch went through every write of a Reduced field that came before."""
    shape = Weighed(All)
    versions = Versions(shape)
    branch = versions.first(shape.initial(All(names=[])))
    branch.refs += 1  # another branch begins there too
    for number in range(4_000):
        branch = versions.after(branch, shape.returned({"chain": f"{number}"}, "t"), only=True)
    assert len(branch.writes) == 4_000
    assert shape.handled <= 4 * 4_000
