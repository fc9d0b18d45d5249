"""Asks the functions on edges: routers, and the ``over=`` of map edges."""

from typing import Any

from ropewalk.core.facts import Choice, Route, StepFinished
from ropewalk.core.places import Step
from ropewalk.core.plan import Plan, Router, Way
from ropewalk.core.routes import items_of, routes_of
from ropewalk.core.state import Shape, Values
from ropewalk.errors import RouterWrites


def ask(way: Way, shape: Shape, values: Values) -> tuple[Any, Any]:
    """Call the function of a way; return what it gave (an awaitable, of an async one) and the view it was shown."""
    choose = way.exit.choose if isinstance(way.exit, Router) else way.exit.over
    assert choose is not None
    view = shape.view(values) if shape.fields else None
    return choose(view), view


def routes_by(way: Way, value: Any, view: Any, *, shape: Shape, plan: Plan, path: str) -> tuple[Route, ...]:
    """Return the routes that ``value`` means. Raises `StepProblem`s, `RouterWrites` among them."""
    routes = (
        routes_of(value, way.exit, plan, path)
        if isinstance(way.exit, Router)
        else items_of(value, way.exit, plan, path)
    )
    if view is not None and (written := shape.changes(view, "A function on an edge")):
        label = way.exit.label if isinstance(way.exit, Router) else "over="
        raise RouterWrites(label, path, [write.field for write in written])
    return routes


async def with_choices(step: Step, fact: StepFinished, shape: Shape) -> StepFinished:
    """Return a step's fact with what its routers chose, asked while the step is still in flight.

    So an async router holds up nobody else and is cancelled like its node. What a router raises is left for the commit
    to meet again: the step has finished, its router has not.
    """
    firing = step.firing
    plan = firing.scope.plan
    values = shape.fold(firing.version.values, fact.writes)
    choices: list[Choice] = []
    try:
        for index, way in enumerate(plan.ways[step.place.index]):
            if isinstance(way.exit, Router) and way.exit.choose is None:
                continue
            value, view = ask(way, shape, values)
            if hasattr(value, "__await__"):
                value = await value
            choices.append(
                Choice(firing.id, index, routes_by(way, value, view, shape=shape, plan=plan, path=step.path))
            )
    except Exception:  # noqa: BLE001  met again in the commit, where it becomes the router's failure
        return fact
    return fact._replace(choices=tuple(choices))
