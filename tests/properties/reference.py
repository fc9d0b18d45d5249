"""What must happen when a drawing runs: docs/how-a-run-moves.md said again, with naive sets and no eye for speed.

Nothing is shared with the engine. A version of the state is the list of the steps in its causal past; a state is the
fold of their writes. What is in flight finishes in the order that ``order`` draws: if the rule is right, the order
cannot matter.
"""

import copy
import random
from collections import defaultdict
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tests.properties import drawings
from tests.properties.drawings import Drawing, Edge, Mapped, Node, Repeated, Routed, Through

from ropewalk import END, START


class TooLarge(Exception):
    """The run takes more steps than a test has time for."""


@dataclass
class Place:
    name: str
    node: Node | None
    fan: Mapped | Repeated | None = None
    always: list[tuple[int, str]] = field(default_factory=list)
    routers: list[tuple[int, Routed | None]] = field(default_factory=list)
    """None: what the node itself returns."""
    maps: list[tuple[int, Mapped, str]] = field(default_factory=list)


@dataclass
class Token:
    order: tuple[float, int, int]
    """Edge, place it came from, firing of that place."""
    past: tuple[str, ...]
    items: tuple[Any, ...] | None


@dataclass
class Seen:
    """What a step must be shown."""

    path: str
    item: Any
    index: int | None
    past: tuple[str, ...]
    state: dict[str, Any]


def laid_out(drawing: Drawing) -> dict[str, Place]:
    """Return the places in the order of declaration: START, each node and then the copies that edges run of it, END."""
    fans = [(number, edge) for number, edge in enumerate(drawing.edges) if isinstance(edge, Mapped | Repeated)]
    in_person = {START, END}
    for edge in drawing.edges:
        match edge:
            case Edge() | Mapped() | Repeated():
                in_person |= {edge.source, edge.target}
            case Routed():
                in_person |= {edge.source, *(() if edge.open else edge.ways + edge.back)}
            case Through():
                in_person |= {
                    edge.source,
                    edge.router,
                    *drawing.node(edge.router).ways,
                    *drawing.node(edge.router).back,
                }
    places = {START: Place(START, None)}
    copies: dict[int, str] = {}
    for node in drawing.nodes:
        mine = [(number, edge) for number, edge in fans if edge.node == node.name]
        if node.name in in_person or not mine:
            places[node.name] = Place(node.name, node)
        for number, edge in mine:
            taken = sum(place.node is node for place in places.values())
            copies[number] = node.name if not taken else f"{node.name}~{taken + 1}"
            places[copies[number]] = Place(copies[number], node, edge)
    places[END] = Place(END, None)
    for number, edge in enumerate(drawing.edges):
        match edge:
            case Edge():
                places[edge.source].always.append((number, edge.target))
            case Routed():
                places[edge.source].routers.append((number, edge))
            case Through():
                places[edge.source].always.append((number, edge.router))
                if not any(router is None for _, router in places[edge.router].routers):
                    places[edge.router].routers.append((number, None))
            case Mapped():
                places[edge.source].maps.append((number, edge, copies[number]))
                places[copies[number]].always.append((number, edge.target))
            case Repeated():
                places[edge.source].always.append((number, copies[number]))
                places[copies[number]].always.append((number, edge.target))
    return places


def reached(places: dict[str, Place], source: str) -> set[str]:
    """Return every place that one edge or more lead to."""
    found: set[str] = set()
    edge = {source}
    while edge:
        place = places[edge.pop()]
        targets = {target for _, target in place.always} | {copied for _, _, copied in place.maps}
        for _, router in place.routers:
            one = place.node if router is None else router
            in_person = {name for name, other in places.items() if not other.fan and name != START}
            targets |= in_person if router is not None and router.open else {*one.ways, *one.back}
        edge |= targets - found
        found |= targets
    return found


class Reference:
    """One run, whole: `steps` by id, `final` state (None while a step in `held_back` has not gone on)."""

    def __init__(
        self, drawing: Drawing, *, order: random.Random | None = None, held_back: Any = (), most: int = 150
    ) -> None:
        self.order = order or random.Random(0)
        self.held_back = frozenset(held_back)
        self.most = most
        self.steps: dict[str, Seen] = {}
        self.in_flight: set[str] = set()
        """Steps in `held_back` that were reached: they have started and not finished."""
        self.first = {name: copy.deepcopy(getattr(drawings.State(), name)) for name in drawings.FIELDS}
        self._writes: dict[str, list[tuple[str, str, Any]]] = {}
        self._routes: dict[str, Any] = {}
        past = self._scope(drawing, "", "", (), None)
        self.past = past
        self.final = None if past is None else self.state(past)

    def state(self, past: tuple[str, ...]) -> dict[str, Any]:
        state = copy.deepcopy(self.first)
        for step in past:
            for name, op, value in self._writes[step]:
                if op == "set" or (
                    op == "write" and name not in drawings.HISTORIES | drawings.SUMS | {*drawings.REDUCERS}
                ):
                    state[name] = value
                elif name in drawings.HISTORIES:
                    state[name] = [*state[name], *(value if op == "more" else [value])]
                else:
                    state[name] = (
                        drawings.REDUCERS[name](state[name], value)
                        if name in drawings.REDUCERS
                        else state[name] + value
                    )
        return copy.deepcopy(state)

    def _scope(
        self, drawing: Drawing, prefix: str, path: str, past: tuple[str, ...], item: Any
    ) -> tuple[str, ...] | None:
        places = laid_out(drawing)
        declared = list(places)
        reach = {name: reached(places, name) for name in places}
        waiting: dict[str, list[Token]] = defaultdict(list)
        ended: list[Token] = []
        fired: dict[str, int] = defaultdict(int)
        flying: list[tuple[str, int, tuple[str, ...], tuple[Any, ...] | None]] = []
        stuck: list[str] = []

        def leave(name: str, number: int, past: tuple[str, ...], returned: list[Any]) -> None:
            place, given = places[name], []
            given += [(edge, target, None) for edge, target in place.always]
            for edge, router in place.routers:
                routes = returned if router is None else drawings.routes_in(drawings.route(router, self._shown(past)))
                for target in dict.fromkeys(target for target, _ in routes):
                    items = tuple(sent for to, sent in routes if to == target)
                    given.append((edge, target, items if any(sent is not None for sent in items) else None))
            given += [
                (edge, copied, tuple(drawings.items_over(one.salt, self._shown(past))))
                for edge, one, copied in place.maps
            ]
            for edge, target, items in given or [(float("inf"), END, None)]:
                token = Token((edge, declared.index(name), number), past, items)
                (ended if target == END else waiting[target]).append(token)

        def may_start(name: str) -> bool:
            live = {one for one, tokens in waiting.items() if tokens and one != name}
            if any(name in reach[one] for one in [*stuck, *(one for one, *_ in flying)]):
                return False
            holding = {one for one in live if name in reach[one]}
            return all(one in reach[name] and declared.index(one) > declared.index(name) for one in holding)

        leave(START, 1, past, [])
        while True:
            ready = [name for name in declared if waiting[name] and may_start(name)]
            if ready:
                name = self.order.choice(ready)
                tokens = sorted(waiting.pop(name), key=lambda token: token.order)
                fired[name] += 1
                place, items = places[name], None
                if any(token.items is not None for token in tokens):
                    items = tuple(one for token in tokens for one in ((None,) if token.items is None else token.items))
                if isinstance(place.fan, Repeated):
                    items = tuple(range(place.fan.times))
                flying.append((name, fired[name], merged([token.past for token in tokens]), items))
            elif flying:
                name, number, started, items = flying.pop(self.order.randrange(len(flying)))
                out, returned = self._fire(
                    drawing, places[name], f"{prefix}{name}#{number}", path, started, items, item
                )
                if out is None:
                    stuck.append(name)
                else:
                    leave(name, number, out, returned)
            else:
                break
        if stuck:
            return None
        return merged([token.past for token in sorted(ended, key=lambda token: token.order)])

    def _fire(
        self, drawing: Drawing, place: Place, firing: str, path: str, past: tuple[str, ...], items: Any, around: Any
    ) -> tuple[tuple[str, ...] | None, list[Any]]:
        outs: list[tuple[str, ...] | None] = []
        returned: list[Any] = []
        in_turn = isinstance(place.fan, Repeated) and not place.fan.parallel
        for index, item in enumerate([None] if items is None else items):
            step = firing if items is None else f"{firing}[{index}]"
            shown = around if item is None else item
            position = None if items is None else index
            assert place.node is not None
            if place.node.sub is not None:
                outs.append(self._scope(place.node.sub, f"{step}/", f"{path}{place.node.name}/", past, shown))
            else:
                outs.append(
                    self._step(
                        drawing, place.node, step, Seen(path + place.node.name, shown, position, past, {}), returned
                    )
                )
            if in_turn and outs[-1] is None:
                break
            past = outs[-1] if in_turn and outs[-1] is not None else past
        if None in outs:
            return None, []
        return merged([out for out in outs if out is not None]) if outs else past, list(dict.fromkeys(returned))

    def _step(self, drawing: Drawing, node: Node, step: str, seen: Seen, returned: list[Any]) -> tuple[str, ...] | None:
        assert step not in self.steps, f"the rule starts {step} twice"
        seen.state = self.state(seen.past)
        self.steps[step] = seen
        if len(self.steps) > self.most:
            raise TooLarge
        if step in self.held_back:
            self.in_flight.add(step)
            return None
        state = SimpleNamespace(**copy.deepcopy(seen.state))
        result = drawings.behave(drawing, node, step, seen.item, state)
        writes = [self._changed(name, seen.state[name], getattr(state, name)) for name in drawings.FIELDS]
        if node.ways:
            returned += drawings.routes_in(result)
        else:
            writes += [(name, "write", value) for name, value in result.items()]
        self._writes[step] = [write for write in writes if write is not None]
        return (*seen.past, step)

    def _changed(self, name: str, old: Any, new: Any) -> tuple[str, str, Any] | None:
        if new == old:
            return None
        if name in drawings.HISTORIES and new[: len(old)] == old:
            return name, "more", new[len(old) :]
        if name in drawings.SUMS:
            return name, "write", new[len(old) :] if isinstance(new, list) else new - old
        return name, "set", new

    def _shown(self, past: tuple[str, ...]) -> Any:
        return SimpleNamespace(**self.state(past))


def merged(pasts: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the histories one behind the other, each step once, at its first occurrence."""
    return tuple(dict.fromkeys(step for past in pasts for step in past))
