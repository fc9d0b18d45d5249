"""Versions: the state along each branch, and how branches become one again.

A version knows the versions it came from and what it added. Its history is the steps in its causal past, in an order
that no clock has a part in: the first parent's history, then what each further parent adds, then its own writes. Its
values are the fold of that.
"""

import heapq
from collections import Counter
from collections.abc import Sequence

from ropewalk.core.state import EMPTY, Shape, Values, Write


class Version:
    """One version of the state."""

    __slots__ = ("edits", "number", "parents", "refs", "squash_due", "values", "writes")

    def __init__(
        self, number: int, parents: "tuple[Version, ...]", writes: list[Write], values: Values, edits: int
    ) -> None:
        self.number = number
        """Larger than those of its parents."""
        self.parents = parents
        self.writes = writes
        self.values = values
        self.edits = edits
        """How many of the run's edits its history holds; they are always its first ones."""
        self.refs = 1
        """Tokens, firings and versions that point here; may be too high, never too low."""
        self.squash_due = 0
        """How long ``writes`` may become before it is worth squashing; 0: the list belongs to an entry."""


class Versions:
    """Makes the versions of one run."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self.count = 0
        self.edits: list[Version] = []
        """The edits of the state; every version made by `merged` after an edit holds it."""

    def first(self, writes: list[Write]) -> Version:
        """Return the root, which every other version descends from: its values matter, its writes never again."""
        return self._new((), [], self._shape.fold(EMPTY, writes), len(self.edits))

    def after(self, version: Version, writes: list[Write], *, only: bool, values: Values | None = None) -> Version:
        """Return ``version`` with ``writes`` behind it; ``values`` is the state then, where that is known already.

        ``only`` gives the caller's hold on ``version`` away. If nobody else has one, nothing will ever point at it
        again and the new version takes its place in the history, so that a long branch stays one version.
        """
        if not only:
            version.refs += 1
        if not writes:
            return version
        if values is None:
            values = self._shape.fold(version.values, writes)
        if version.refs == 1:
            return self._behind(version, writes, values)
        return self._new((version,), writes, values, version.edits)

    def _behind(self, version: Version, writes: list[Write], values: Values) -> Version:
        """Let a version that nothing else points at become the one behind it: it goes on with its list."""
        due = version.squash_due
        if due:
            version.writes.extend(writes)
            writes = version.writes
        elif version.writes:
            writes, due = [*version.writes, *writes], _SQUASH_FROM
        if due and len(writes) > due:
            writes = self._shape.squash(writes)
            due = max(_SQUASH_FROM, 2 * len(writes))
        self.count += 1
        version.number = self.count
        version.writes = writes
        version.values = values
        version.squash_due = due
        return version

    def edit(self, writes: list[Write]) -> None:
        """Put an edit into the past of everything that `merged` returns from now on."""
        self.edits.append(self._new((), writes, EMPTY, -1))

    def merged(self, versions: Sequence[Version]) -> Version:
        """Return one version whose history is that of all, in their order, and every edit."""
        distinct = list(dict.fromkeys(versions))
        together = [*distinct, *self.unseen_edits(distinct)]
        values = self.values_of(together)
        if len(distinct) != len(versions):
            for version, count in Counter(versions).items():
                version.refs -= count - 1
        return together[0] if len(together) == 1 else self._new(tuple(together), [], values, len(self.edits))

    def unseen_edits(self, versions: Sequence[Version]) -> list[Version]:
        return self.edits[max(version.edits for version in versions) :]

    def values_of(self, versions: Sequence[Version]) -> Values:
        """Return the state after the joined history of ``versions``; edits may only stand behind the first."""
        first = versions[0]
        if len(versions) == 1:
            return first.values
        past = _above_their_base(versions)
        seen = {first}
        _history(first, past, seen)
        writes: list[Write] = []
        for version in versions[1:]:
            for step in _history(version, past, seen):
                writes += step.writes
        return self._shape.fold(first.values, writes)

    def cut(self, version: Version) -> None:
        """Forget the past of a version that everything still to come descends from."""
        version.parents = ()
        version.writes = []

    def _new(self, parents: tuple[Version, ...], writes: list[Write], values: Values, edits: int) -> Version:
        self.count += 1
        return Version(self.count, parents, writes, values, edits)


IS_EDIT = -1
_SQUASH_FROM = 64


def _above_their_base(versions: Sequence[Version]) -> set[Version]:
    """Return the versions above the newest one that every path down from ``versions`` passes.

    Numbers grow along every path, so taking the largest from the frontier until one is left finds that base.
    """
    past: set[Version] = set()
    queued: set[Version] = set()
    frontier: list[tuple[int, Version]] = []

    def push(version: Version) -> None:
        if version.edits == IS_EDIT:
            past.add(version)
        elif version not in queued:
            queued.add(version)
            heapq.heappush(frontier, (-version.number, version))

    for version in versions:
        push(version)
    while len(frontier) > 1:
        version = heapq.heappop(frontier)[1]
        past.add(version)
        for parent in version.parents:
            push(parent)
    return past


def _history(version: Version, past: set[Version], seen: set[Version]) -> list[Version]:
    """Return the versions of ``past`` in the history of ``version`` that are not in ``seen``, in order; add them to
    it.
    """
    found: list[Version] = []
    walk: list[tuple[Version, int]] = [(version, 0)]
    entered = {version}
    while walk:
        node, position = walk.pop()
        if position < len(node.parents):
            walk.append((node, position + 1))
            parent = node.parents[position]
            if parent in past and parent not in entered and parent not in seen:
                entered.add(parent)
                walk.append((parent, 0))
        elif node in past and node not in seen:
            seen.add(node)
            found.append(node)
    return found
