"""Which links close a loop: taken out, they leave a picture that runs one way."""

from collections import deque
from collections.abc import Sequence

from ropewalk.core.drawing.layout.boxes import Link

MOST_STEPS = 1_000_000


def find_back_links(count: int, links: Sequence[Link]) -> set[int]:
    """Return links without which there is no loop.

    They are those that lead back in a depth-first walk from the first box, unless there is another reading in which
    rather the chosen ones do. Take ``research`` and ``draft``, which both lead to ``join`` and on to ``review``, and a
    choice that leads from there back to ``draft``: a walk that came by ``research`` meets ``draft`` last, yet it is
    ``review`` that goes back.
    """
    leaving: list[list[int]] = [[] for _ in range(count)]
    for number, link in enumerate(links):
        leaving[link.source].append(number)
    back = _walked(leaving, links)
    return back if all(links[number].chosen for number in back) else _weighed(leaving, links, back)


def _walked(leaving: list[list[int]], links: Sequence[Link]) -> set[int]:
    """Return the links that lead to a box from which a depth-first walk has not returned yet."""
    back: set[int] = set()
    entered = [False] * len(leaving)
    left = [False] * len(leaving)
    for root in range(len(leaving)):
        if entered[root]:
            continue
        entered[root] = True
        walk = [(root, iter(leaving[root]))]
        while walk:
            box, rest = walk[-1]
            number = next(rest, None)
            if number is None:
                left[box] = True
                walk.pop()
                continue
            target = links[number].target
            if not entered[target]:
                entered[target] = True
                walk.append((target, iter(leaving[target])))
            elif not left[target]:
                back.add(number)
    return back


def _weighed(leaving: list[list[int]], links: Sequence[Link], walked: set[int]) -> set[int]:
    """Add links one by one, of the boxes reached so far, chosen ones last; return those that close a loop.

    In a picture too large for that, what the walk found stands.
    """
    added: list[list[int]] = [[] for _ in leaving]
    reached = [False] * len(leaving)
    back: set[int] = set()
    firm, chosen = deque[int](), deque[int]()
    steps = MOST_STEPS

    def reach(box: int) -> None:
        if not reached[box]:
            reached[box] = True
            for number in leaving[box]:
                (chosen if links[number].chosen else firm).append(number)

    for root in range(len(leaving)):
        reach(root)
        while firm or chosen:
            number = (firm or chosen).popleft()
            link = links[number]
            behind = _behind(link.target, link.source, added) if reached[link.target] else set[int]()
            steps -= len(behind)
            if steps < 0:
                return walked
            if link.source in behind:
                back.add(number)
            else:
                added[link.source].append(link.target)
                reach(link.target)
    return back


def _behind(box: int, sought: int, added: list[list[int]]) -> set[int]:
    """Return what a walk from ``box`` meets until it finds ``sought``."""
    met = {box}
    walk = [box]
    while walk and sought not in met:
        for target in added[walk.pop()]:
            if target not in met:
                met.add(target)
                walk.append(target)
    return met
