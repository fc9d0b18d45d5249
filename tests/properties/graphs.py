"""Draws random graphs, and builds them through the public API."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from hypothesis import strategies as st
from tests.properties import drawings
from tests.properties.drawings import Drawing, Edge, Mapped, Node, Repeated, Routed, State, Through

from ropewalk import END, START, Context, Graph

NAMES = "abcdefgh"
WRITES = st.lists(st.sampled_from([*drawings.IN_PLACE, *drawings.RETURNED]), max_size=4, unique=True)
EXITS = st.sampled_from(["edge", "edge", "edge", "router", "router", "map", "parallel", "sequence", "own", "loop"])


class Plays(Protocol):
    """What stands behind the nodes of a built graph."""

    def play(self, drawing: Drawing, node: Node, state: State, ctx: Context) -> Awaitable[Any]: ...

    def play_now(self, drawing: Drawing, node: Node, state: State, ctx: Context) -> Any: ...

    def choose(self, edge: Routed, state: State) -> Awaitable[Any]: ...


@st.composite
def any_drawings(draw: Any, depth: int = 2, most: int = 6) -> Drawing:
    """Draw a graph that compiles: forks, uneven branches, joins, routers, loops, maps, repeats, subgraphs."""
    names = list(NAMES[: draw(st.integers(1, most))])
    routers = {name for name in names[1:] if draw(st.integers(0, 5)) == 5}
    loops = 2 if depth == 2 else 1
    bodies: list[str] = []
    edges: list[Any] = []
    led_to: set[str] = set()

    def some(choices: list[str], least: int = 1) -> tuple[str, ...]:
        return tuple(draw(st.lists(st.sampled_from(choices), min_size=least, max_size=3, unique=True)))

    def body() -> str:
        known = [name for name in names if name not in routers]
        name = draw(st.sampled_from([f"w{len(bodies)}", *bodies, *known]))
        if name.startswith("w") and name not in bodies:
            bodies.append(name)
        return name

    def plain(source: str, target: str) -> None:
        if Edge(source, target) not in edges:
            edges.append(Edge(source, target))

    for place, source in enumerate([START, *names]):
        later = [*names[place:], END]
        if source in routers:
            continue
        for _ in range(draw(st.sampled_from([1, 1, 1, 2, 2, 3]))):
            kind = draw(EXITS)
            target = draw(st.sampled_from(later[:3] if len(later) > 3 else later))
            own = [name for name in later[:-1] if name in routers]
            if kind == "router" or (kind == "loop" and source == START):
                ways = some(later)
                edges.append(Routed(source, ways, draw(st.integers(0, 99)), open=draw(st.integers(0, 9)) == 9))
            elif kind == "loop" and loops:
                loops -= 1
                ways, back = some(later), some(names[:place])
                edges.append(Routed(source, ways, draw(st.integers(0, 99)), back=back, bound=draw(st.integers(1, 2))))
                led_to.update(ways)
            elif kind == "map":
                edges.append(Mapped(source, body(), target, draw(st.integers(0, 99))))
            elif kind in ("parallel", "sequence"):
                edges.append(Repeated(source, body(), target, draw(st.integers(1, 3)), kind == "parallel"))
            elif kind == "own" and own:
                edges.append(Through(source, draw(st.sampled_from(own))))
            else:
                plain(source, target)
            last = edges[-1]
            led_to |= (
                {last.router}
                if isinstance(last, Through)
                else {*last.ways}
                if isinstance(last, Routed)
                else {last.target}
            )
    ways = {name: some([*names[names.index(name) + 1 :], END]) for name in routers}
    back = {name: some(names[: names.index(name)], 0) if draw(st.booleans()) else () for name in routers}
    for name in routers:
        led_to |= {*ways[name]}
    for name in names:
        if name in routers and not any(isinstance(edge, Through) and edge.router == name for edge in edges):
            edges.append(Through(START, name))
        elif name not in led_to:
            plain(START, name)
    looping = {edge.source for edge in edges if isinstance(edge, Routed) and edge.back}
    nodes: list[Node] = []
    for name in draw(st.permutations([*names, *bodies])):
        if name in routers:
            writes = tuple(write for write in draw(WRITES) if write in drawings.IN_PLACE)
            nodes.append(
                Node(name, writes, ways=ways[name], back=back[name], bound=draw(st.integers(1, 2)) if back[name] else 0)
            )
        elif depth and name not in looping and draw(st.integers(0, 7)) == 7:
            nodes.append(Node(name, sub=draw(any_drawings(depth - 1, 3))))
        else:
            nodes.append(Node(name, tuple(draw(WRITES)), sync=draw(st.integers(0, 9)) == 9))
    return Drawing(tuple(nodes), tuple(draw(st.permutations(edges))))


Options = Callable[[str, Node], Mapping[str, Any]]


def built(
    drawing: Drawing,
    plays: Plays,
    options: Options = lambda path, node: {},
    *,
    path: str = "",
    kind: type[Graph[State]] = Graph,
    **settings: Any,
) -> Graph[State]:
    """Return the drawing as a graph, not compiled yet."""
    graph = kind(State, **settings)
    for node in drawing.nodes:
        extra = options(path + node.name, node)
        if node.sub is not None:
            add_subgraph(graph, node.name, built(node.sub, plays, options, path=f"{path}{node.name}/"), extra)
        else:
            graph.add_node(function_of(drawing, node, plays), node.name, **extra)
    for edge in drawing.edges:
        match edge:
            case Edge():
                graph.add_edge(edge.source, edge.target)
            case Routed():
                graph.add_router_edge(
                    edge.source, router_of(edge, plays), None if edge.open else (*edge.ways, *edge.back)
                )
            case Through():
                node = drawing.node(edge.router)
                graph.add_router_edge(edge.source, edge.router, (*node.ways, *node.back))
            case Mapped():
                graph.add_map_edge(edge.source, edge.node, edge.target, over=over_of(edge))
            case Repeated():
                graph.add_repeating_edge(edge.source, edge.node, edge.target, edge.times, edge.parallel)
    return graph


def add_subgraph(graph: Graph[State], name: str, inner: Graph[State], extra: Mapping[str, Any]) -> None:
    graph.subgraph(name, interrupt=extra.get("interrupt"))(lambda: inner)


def function_of(drawing: Drawing, node: Node, plays: Plays) -> Callable[..., Any]:
    async def play(state: State, ctx: Context) -> Any:
        return await plays.play(drawing, node, state, ctx)

    def play_now(state: State, ctx: Context) -> Any:
        return plays.play_now(drawing, node, state, ctx)

    return play_now if node.sync else play


def router_of(edge: Routed, plays: Plays) -> Callable[[State], Any]:
    if edge.salt % 3:
        return lambda state: drawings.route(edge, state)
    return lambda state: plays.choose(edge, state)


def over_of(edge: Mapped) -> Callable[[State], Any]:
    return lambda state: drawings.items_over(edge.salt, state)
