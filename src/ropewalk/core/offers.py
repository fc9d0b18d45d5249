"""What a node's function may offer beside being called: to check the answers it gets, and to show what it has done."""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from ropewalk.core.facts import Paused
from ropewalk.core.places import Step
from ropewalk.core.plan import Plan
from ropewalk.core.schedule import Schedule


@runtime_checkable
class ChecksAnswers(Protocol):
    """A node's function that refuses answers before they are in the log."""

    def check_answer(self, question: Paused, value: Any) -> Any:
        """Return the answer as plain data, the way the node wants to find it. Raises ValueError with the reason."""
        ...


@runtime_checkable
class ShowsProgress(Protocol):
    """A node's function whose unfinished steps have something to show."""

    def show(self, state: Any, steps: list[Step], schedule: Schedule) -> None:
        """Change ``state``, a copy that somebody looks at, so that it shows what these steps have done so far."""
        ...


def showing(plan: Plan) -> list[ShowsProgress]:
    """Return the functions of a plan, and of its subgraphs, that have something to show."""
    return list(dict.fromkeys(_showing(plan)))


def show_all(shows: list[ShowsProgress], state: Any, schedule: Schedule) -> None:
    """Let every function show what its steps have done."""
    for fn in shows:
        steps = [step for step in schedule.steps.values() if step.place.call is not None and step.place.call.fn is fn]
        fn.show(state, steps, schedule)


def _showing(plan: Plan) -> Iterator[ShowsProgress]:
    for place in plan.places:
        if place.call is not None and isinstance(place.call.fn, ShowsProgress):
            yield place.call.fn
        if place.plan is not None:
            yield from _showing(place.plan)
