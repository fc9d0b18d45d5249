"""What a router may return, checked and made ready for the log."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from ropewalk.codec import ANY, stored_form
from ropewalk.core.facts import Route
from ropewalk.core.plan import END, Place, Plan, Router, Send, Spread
from ropewalk.errors import UnknownRoute, WrongReturn


def routes_of(value: Any, router: Router, plan: Plan, source: str) -> tuple[Route, ...]:
    """Return the routes that ``value`` names: a node's name, END, a Send, or several of them.

    Raises `WrongReturn`, `UnknownRoute`, and what `stored_form` raises for an item.
    """
    if isinstance(value, str | Send):
        return (_route(value, router, plan, source),)
    if isinstance(value, list | tuple | set | frozenset):
        several = cast("Iterable[Any]", value)
        chosen = sorted(several, key=str) if isinstance(value, set | frozenset) else several
        return tuple(_route(one, router, plan, source) for one in chosen)
    expected = "a node's name, END, Send(name, item) or a list of these"
    if router.choose is None:
        raise WrongReturn(source, value, f"{expected}: this node's return chooses the way")
    raise WrongReturn(source, value, expected, who=f"The router after {source!r}")


def items_of(value: Any, spread: Spread, plan: Plan, source: str) -> tuple[Route, ...]:
    """Return one route per item of a map edge. Raises `WrongReturn` and what `stored_form` raises.

    A set has another order in each process, and what of a mapping is meant nobody can tell.
    """
    if isinstance(value, str | bytes | set | frozenset | Mapping) or not isinstance(value, Iterable):
        who = f"The over= function of the map edge after {source!r}"
        expected = "a list of items, one for each step: sorted(...) makes one of a set, list(d.items()) one of a dict"
        raise WrongReturn(source, cast("object", value), expected, who=who)
    target = plan.places[spread.target]
    return tuple(_item("", item, target) for item in cast("Iterable[Any]", value))


def _route(chosen: Any, router: Router, plan: Plan, source: str) -> Route:
    name = chosen.name if isinstance(chosen, Send) else chosen
    if not isinstance(name, str) or name not in router.routes:
        raise UnknownRoute(source, name, ("END" if known == END else known for known in router.routes))
    if isinstance(chosen, Send):
        return _item(name, chosen.item, plan.places[router.routes[name]])
    return Route(name)


def _item(name: str, item: Any, target: Place) -> Route:
    adapter = target.call.item if target.call else ANY
    raw, _ = stored_form(adapter, item, f"The item for {target.node!r}")
    return Route(name, raw)
