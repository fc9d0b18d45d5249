"""Asks the functions on edges: routers, and the ``over=`` of map edges."""

import inspect
from collections.abc import Awaitable, Generator
from typing import Any

from ropewalk.core.facts import Choice, Route
from ropewalk.core.places import Firing, Scope, Step
from ropewalk.core.plan import START, Plan, Router, Way
from ropewalk.core.raised import NOT_ITS_OWN, original
from ropewalk.core.routes import items_of, routes_of
from ropewalk.core.state import Shape, Values, Write
from ropewalk.errors import RouterWrites


def ask(way: Way, shape: Shape, values: Values) -> tuple[Any, Any]:
    """Call the function of a way; return what it gave (an awaitable, of an async one) and the view it was shown."""
    choose = way.exit.choose if isinstance(way.exit, Router) else way.exit.over
    assert choose is not None
    view = shape.view(values) if shape.fields else None
    return choose(view), view


def routes_by(way: Way, value: Any, view: Any, *, shape: Shape, plan: Plan, path: str) -> tuple[Route, ...]:
    """Return the routes that ``value`` means. Raises `StepProblem`s, `RouterWrites` among them."""
    if type(value) is str and value in way.routes:  # most routers
        routes = (Route(value),)
    elif isinstance(way.exit, Router):
        routes = routes_of(value, way.exit, plan, path)
    else:
        routes = items_of(value, way.exit, plan, path)
    if view is not None and shape.is_touched(view) and (written := shape.changes(view, "A function on an edge")):
        label = way.exit.label if isinstance(way.exit, Router) else "over="
        raise RouterWrites(label, path, [write.field for write in written])
    return routes


def choices_at_once(step: Step, writes: list[Write], shape: Shape) -> tuple[Choice, ...]:
    """Return what the routers and map edges behind a step choose, none of them async; the step is still in flight.

    What one raises becomes the firing's `objection`; one that turns out to be async is left to the commit: then () is
    returned.
    """
    firing = step.firing
    plan = firing.scope.plan
    choices: list[Choice] = []
    try:
        values = firing.ahead = shape.fold(firing.version.values, writes)
        for index, way in enumerate(plan.ways[step.place.index]):
            if isinstance(way.exit, Router) and way.exit.choose is None:
                continue
            value, view = ask(way, shape, values)
            if type(value) is not str and inspect.isawaitable(value):
                if inspect.iscoroutine(value):
                    value.close()
                return ()
            routes = routes_by(way, value, view, shape=shape, plan=plan, path=step.path)
            choices.append(Choice(firing.id, index, routes))
    except NOT_ITS_OWN:
        raise
    except BaseException as error:  # noqa: BLE001  part of door one: the commit makes it the router's failure
        firing.objection = original(error)
        return ()
    return tuple(choices)


async def choices_awaited(step: Step, writes: list[Write], shape: Shape) -> tuple[Choice, ...]:
    """Do what `choices_at_once` does where async functions choose: they hold up nobody, and end with the step."""
    firing = step.firing
    try:
        firing.ahead = shape.fold(firing.version.values, writes)
        asking = ask_all(firing, firing.ahead, shape)
        value: Any = None
        while True:
            value = await asking.send(value)
    except StopIteration as done:
        return tuple(done.value)
    except NOT_ITS_OWN:
        raise
    except BaseException as error:  # noqa: BLE001  as above
        firing.objection = original(error)
        return ()


def ask_all(departing: Firing | Scope, values: Values, shape: Shape) -> Generator[Awaitable[Any], Any, list[Choice]]:
    """Ask everything behind what departs, a firing or a scope at its START; yields what must be awaited.

    Raises what one of them raises, or has raised while the step was in flight.
    """
    if isinstance(departing, Firing):
        if departing.objection is not None:
            objection, departing.objection = departing.objection, None
            raise objection
        plan, place, path, departure = departing.scope.plan, departing.place.index, departing.path, departing.id
    else:
        plan, place, path, departure = departing.plan, 0, f"{departing.path}START", f"{departing.prefix}{START}"
    choices: list[Choice] = []
    for index, way in enumerate(plan.ways[place]):
        if isinstance(way.exit, Router) and way.exit.choose is None:
            continue
        value, view = ask(way, shape, values)
        if not isinstance(value, str) and hasattr(value, "__await__"):
            value = yield value
        choices.append(Choice(departure, index, routes_by(way, value, view, shape=shape, plan=plan, path=path)))
    return choices
