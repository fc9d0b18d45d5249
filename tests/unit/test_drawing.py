"""Pictures of plans: what is in them, and that nothing lies on anything else."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ropewalk.core.drawing import to_dot, to_mermaid, to_svg
from ropewalk.core.plan import END, START, Arrow, Place, Plan, Router, Spread

Box = tuple[float, float, float, float]
HOSTILE = [
    "end",
    "two words",
    '"quoted"',
    "it's",
    "<script>alert(1)</script>",
    "</style></svg>",
    "]]>",
    "&amp;",
    "日本語のノード",
    "café 🎉",
    "a\nb",
    "back\\slash\\",
    "#35;",
    "%%{init: {}}%%",
    "style x:#f;",
    "`code`",
    "1. list",
    "\u202egnp.exe",
    "nul\x00bell\x07",
    "\ud800",
    "x" * 500,
    "subgraph",
    "a]b)c}d|e",
]


def build(edges: Sequence[tuple[Any, ...]], /, name: str = "graph", **nodes: Mapping[str, Any]) -> Plan:
    return build_named(edges, nodes, name)


def build_named(edges: Sequence[tuple[Any, ...]], nodes: Mapping[str, Mapping[str, Any]], name: str = "graph") -> Plan:
    """Build a plan: (a, b) is an arrow, (a, b, "map") a map edge, (a, [b, c], "label") a router.

    Without a label it is the node itself that chooses; with "?" for targets the routes are unknown.
    """
    ends = [end for source, target, *_ in edges for end in (source, *([target] if isinstance(target, str) else target))]
    names = [each for each in dict.fromkeys([START, *ends, *nodes]) if each not in {"?", END}]
    position = {each: index for index, each in enumerate([*names, END])}
    arrows: dict[str, list[Arrow]] = {each: [] for each in position}
    spreads: dict[str, list[Spread]] = {each: [] for each in position}
    routers: dict[str, list[Router]] = {each: [] for each in position}
    for number, (source, target, *kind) in enumerate(edges):
        if target == "?" or not isinstance(target, str):
            choose = None if kind[0] is None else len
            routes = dict(position) if target == "?" else {each: position[each] for each in target}
            routers[source].append(
                Router(edge=number, choose=choose, label=kind[0] or source, routes=routes, open=target == "?")
            )
        elif kind == ["map"]:
            spreads[source].append(Spread(edge=number, target=position[target], over=len))
        else:
            arrows[source].append(Arrow(edge=number, target=position[target]))
    places: list[Place] = []
    for each, index in position.items():
        settings_of = dict(nodes.get(each, {}))
        kind = "subgraph" if settings_of.get("plan") else "node"
        places.append(
            Place(
                index=index,
                name=each,
                node=settings_of.pop("node", each),
                kind={START: "start", END: "end"}.get(each, kind),
                arrows=tuple(arrows[each]),
                spreads=tuple(spreads[each]),
                routers=tuple(routers[each]),
                **settings_of,
            )
        )
    return Plan(name=name, places=tuple(places))


def chain(count: int) -> Plan:
    names = [START, *(f"step_{index}" for index in range(count)), END]
    return build(list(pairwise(names)))


def fan_out(count: int) -> Plan:
    branches = [f"work_{index}" for index in range(count)]
    return build(
        [
            (START, "split"),
            *(("split", each) for each in branches),
            *((each, "join") for each in branches),
            ("join", END),
        ]
    )


SUB = build([(START, "model"), ("model", ["tools", END], None), ("tools", "model")])
DOCUMENTS = build(
    [
        (START, "load"),
        ("load", ["scan", "split"], "by_kind"),
        ("scan", "split"),
        ("split", "summarise", "map"),
        ("summarise", "draft"),
        ("draft", "vote"),
        ("vote", "review"),
        ("review", ["draft", "send"], "approved"),
        ("send", END),
    ],
    scan={"plan": SUB},
    summarise={"fan": "map"},
    vote={"fan": "parallel", "repeat": 3, "labels": ("north", "south", "east")},
    review={"interrupt": "before"},
)


class Svg:
    """What a test reads from a picture."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.root = ElementTree.fromstring(text)
        found = [(each, each.get("data-node")) for each in self.root.iter() if each.get("data-node") is not None]
        self.nodes = {path: each for each, path in found}
        assert len(found) == len(self.nodes)
        self.edges = [each for each in self.root.iter() if each.get("data-edge") is not None]
        self.boxes = {path: _box(each) for path, each in self.nodes.items()}
        pills = [each for each in self.root.iter() if (each.get("class") or "").startswith("pill")]
        self.pills = [_rect(each) for pill in pills for each in pill if each.tag.endswith("}rect")]

    def edge(self, name: str) -> ElementTree.Element:
        (found,) = [each for each in self.edges if each.get("data-edge") == name]
        return found

    def words(self, path: str) -> str:
        return " | ".join(each.text or "" for each in self.nodes[path].iter() if each.tag.endswith("}text"))

    def title(self, path: str) -> str:
        return self.nodes[path][0].text or ""


def draw(plan: Plan, **given: Any) -> Svg:
    return Svg(to_svg(plan, **given))


def _rect(element: ElementTree.Element) -> Box:
    x, y, width, height = (float(element.get(name, "")) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def _box(element: ElementTree.Element) -> Box:
    (body,) = [each for each in element if each.get("class") == "body"]
    if body.tag.endswith("}rect"):
        return _rect(body)
    points = list(_points(body.get("d", "")))
    return (
        min(x for x, _ in points),
        min(y for _, y in points),
        max(x for x, _ in points),
        max(y for _, y in points),
    )


def _points(path: str) -> Iterator[tuple[float, float]]:
    """Walk along a path of M, L, H, C and Q in small steps."""
    x = y = 0.0
    for letter, rest in re.findall(r"([MLHCQ])([^MLHCQZ]*)", path):
        numbers = [float(each) for each in rest.split()]
        if letter == "H":
            numbers = [numbers[0], y]
        corners = [(x, y), *zip(numbers[::2], numbers[1::2], strict=True)]
        if letter == "M":
            corners = corners[1:]
        for step in range(17):
            yield _between(corners, step / 16)
        x, y = corners[-1]


def _between(corners: list[tuple[float, float]], share: float) -> tuple[float, float]:
    while len(corners) > 1:
        corners = [(ax + (bx - ax) * share, ay + (by - ay) * share) for (ax, ay), (bx, by) in pairwise(corners)]
    return corners[0]


def _wire(edge: ElementTree.Element) -> list[tuple[float, float]]:
    (wire,) = [each for each in edge if each.get("class") == "wire"]
    return list(_points(wire.get("d", "")))


def _paths(plan: Plan, above: str = "") -> Iterator[str]:
    for place in plan.places:
        yield above + place.name
        if place.plan:
            yield from _paths(place.plan, f"{above}{place.name}/")


def _edges(plan: Plan, above: str = "") -> Counter[str]:
    """Count the lines there must be: what leads from a node to the same target in the same way is one."""
    found: set[tuple[str, Any]] = set()
    inner: Counter[str] = Counter()
    for place in plan.places:
        ways: list[tuple[int, Any]] = [(arrow.target, "arrow") for arrow in place.arrows]
        ways += [(spread.target, "map") for spread in place.spreads]
        for router in place.routers:
            mark = router.edge if router.choose else "own"
            ways += [(target, mark) for target in router.routes.values() if not router.open]
        for target, mark in ways:
            found.add((f"{above}{place.name}->{above}{plan.places[target].name}", mark))
        if place.plan:
            inner += _edges(place.plan, f"{above}{place.name}/")
    return Counter(name for name, _ in found) + inner


def _apart(one: Box, other: Box) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def _within(inner: Box, outer: Box) -> bool:
    return inner[0] > outer[0] and inner[1] > outer[1] and inner[2] < outer[2] and inner[3] < outer[3]


def assert_sound(plan: Plan, svg: Svg) -> None:
    """Hold what is true of every picture."""
    assert sorted(svg.nodes) == sorted(_paths(plan))
    assert Counter(each.get("data-edge") for each in svg.edges) == _edges(plan)
    paths = list(svg.boxes)
    for index, path in enumerate(paths):
        box = svg.boxes[path]
        for other in paths[:index]:
            if path.startswith(f"{other}/"):
                assert _within(box, svg.boxes[other]), (path, other)
            elif other.startswith(f"{path}/"):
                assert _within(svg.boxes[other], box), (path, other)
            else:
                assert _apart(box, svg.boxes[other]), (path, other)
    small = [box for path, box in svg.boxes.items() if "group" not in (svg.nodes[path].get("class") or "")]
    for index, pill in enumerate(svg.pills):
        assert all(_apart(pill, other) for other in [*small, *svg.pills[:index]])
    first = svg.boxes[START][0]
    assert all(box[0] > first for path, box in svg.boxes.items() if path != START)
    width, height = float(svg.root.get("width", "")), float(svg.root.get("height", ""))
    whole = (0.0, 0.0, width, height)
    assert all(_within(box, whole) for box in svg.boxes.values())
    for edge in svg.edges:
        assert_runs_freely(edge, svg, whole)


def assert_runs_freely(edge: ElementTree.Element, svg: Svg, whole: Box) -> None:
    source = edge.get("data-edge", "").split("->")[0]
    above = source.rpartition("/")[0]
    boxes = [box for path, box in svg.boxes.items() if path.rpartition("/")[0] == above] + svg.pills
    area = svg.boxes[above] if above else whole
    for x, y in _wire(edge):
        assert area[0] < x < area[2]
        assert area[1] < y < area[3]
        for left, top, right, bottom in boxes:
            assert not (left + 0.2 < x < right - 0.2 and top + 0.2 < y < bottom - 0.2), edge.get("data-edge")


def test_a_chain_is_a_straight_line() -> None:
    plan = chain(4)
    svg = draw(plan)
    assert_sound(plan, svg)
    middles = {round((box[1] + box[3]) / 2, 1) for box in svg.boxes.values()}
    assert len(middles) == 1
    assert all(len({y for _, y in _wire(edge)}) == 1 for edge in svg.edges)


def test_a_diamond_lies_evenly_around_its_middle() -> None:
    plan = build([(START, "a"), ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("d", END)])
    svg = draw(plan)
    assert_sound(plan, svg)
    middle = {path: (box[1] + box[3]) / 2 for path, box in svg.boxes.items()}
    assert middle["a"] == middle["d"] == pytest.approx((middle["b"] + middle["c"]) / 2, abs=0.1)
    assert middle["b"] < middle["c"]


def test_a_loop_is_a_return_line_under_its_nodes() -> None:
    plan = build([(START, "draft"), ("draft", "check"), ("check", "review"), ("review", ["draft", END], "good")])
    svg = draw(plan)
    assert_sound(plan, svg)
    back = svg.edge("review->draft")
    assert back.get("data-back") == "true"
    assert [each.get("data-edge") for each in svg.edges if each.get("data-back")] == ["review->draft"]
    assert svg.boxes["draft"][0] < svg.boxes["check"][0] < svg.boxes["review"][0]
    assert max(y for _, y in _wire(back)) > max(box[3] for box in svg.boxes.values())


def test_a_node_may_loop_to_itself() -> None:
    plan = build([(START, "poll"), ("poll", ["poll", END], "ready"), ("own", ["own", END], None), (START, "own")])
    svg = draw(plan)
    assert_sound(plan, svg)
    assert svg.edge("poll->poll").get("data-back") == "true"
    assert svg.edge("own->own").get("data-back") == "true"


def test_loops_within_loops_get_lanes_of_their_own() -> None:
    names = ["a", "b", "c", "d", "e"]
    plan = build(
        [
            (START, "a"),
            *pairwise(names),
            ("c", ["b"], "inner"),
            ("d", ["a"], "middle"),
            ("e", ["a", END], "outer"),
        ]
    )
    svg = draw(plan)
    assert_sound(plan, svg)
    lanes = [max(y for _, y in _wire(svg.edge(name))) for name in ("c->b", "d->a", "e->a")]
    assert lanes[0] < lanes[1] < lanes[2]


def test_a_choice_closes_the_loop_whichever_branch_comes_first() -> None:
    plan = build(
        [
            (START, "research"),
            (START, "draft"),
            ("research", "join"),
            ("draft", "join"),
            ("join", "review"),
            ("review", ["draft", END], "good"),
        ]
    )
    svg = draw(plan)
    assert_sound(plan, svg)
    assert [each.get("data-edge") for each in svg.edges if each.get("data-back")] == ["review->draft"]


def test_a_subgraph_is_a_box_around_its_nodes_at_any_depth() -> None:
    inner = build([(START, "x"), ("x", END)])
    middle = build([(START, "y"), ("y", "inner"), ("inner", END)], inner={"plan": inner})
    plan = build([(START, "middle"), ("middle", "last"), ("last", END)], middle={"plan": middle})
    svg = draw(plan)
    assert_sound(plan, svg)
    assert "middle/inner/x" in svg.nodes
    assert svg.edge("middle/inner/__start__->middle/inner/x") is not None
    assert svg.words("middle") == "middle"


def test_repeats_and_maps_are_stacks_that_say_how_often() -> None:
    plan = build(
        [(START, "a"), ("a", "work", "map"), ("work", "vote"), ("vote", "group"), ("group", END)],
        work={"fan": "map"},
        vote={"fan": "parallel", "repeat": 3, "labels": ("north", "south", "east")},
        group={"fan": "sequence", "repeat": 2, "plan": SUB},
    )
    svg = draw(plan)
    assert_sound(plan, svg)
    assert svg.words("work") == "work | for each item"
    assert svg.words("vote") == "vote | \N{MULTIPLICATION SIGN}3 parallel | north, south, east"
    assert svg.words("group") == "group | \N{MULTIPLICATION SIGN}2 in sequence"
    assert all([each.get("class") for each in svg.nodes[path]].count("card") == 2 for path in ("work", "vote", "group"))
    assert svg.edge("a->work").get("data-kind") == "map"


def test_copies_of_a_node_are_shown_by_the_name_the_user_gave() -> None:
    svg = draw(build([(START, "work~2"), ("work~2", END)], **{"work~2": {"node": "work"}}))
    assert svg.words("work~2") == "work"
    assert svg.title("work~2") == "work~2"


def test_pauses_are_marked_in_words_and_by_a_sign() -> None:
    plan = build([(START, "a"), ("a", "b"), ("b", END)], a={"interrupt": "before"}, b={"interrupt": "after"})
    svg = draw(plan)
    assert svg.words("a") == "a | pause before"
    assert svg.words("b") == "b | pause after"
    assert "pause" in [each.get("class") for each in svg.nodes["a"]]
    assert "pause before" in to_mermaid(plan)
    assert "pause after" in to_dot(plan)


def test_a_router_is_a_sign_with_dashed_lines() -> None:
    plan = build([(START, "a"), ("a", ["b", END], "by_kind"), ("b", END)])
    svg = draw(plan)
    assert "by_kind" in [each.text for each in svg.root.iter()]
    assert {svg.edge(name).get("class") for name in ("a->b", f"a->{END}")} == {"edge router"}
    assert "chosen by by_kind" in (svg.edge("a->b")[0].text or "")
    assert 'n1 -. "by_kind" .-> n2' in to_mermaid(plan)
    assert 'n1 -> n2 [style="dashed", label="by_kind"]' in to_dot(plan)


def test_a_node_that_chooses_has_a_shape_of_its_own() -> None:
    svg = draw(SUB)
    assert svg.nodes["model"].get("class") == "node choice"
    assert svg.nodes["tools"].get("class") == "node"
    assert svg.edge("tools->model").get("data-back") == "true"
    assert "n1{{" in to_mermaid(SUB)


def test_unknown_routes_are_a_question_mark_and_no_lines() -> None:
    plan = build([(START, "a"), ("a", "?", None), ("b", "?", "where"), ("c", END)])
    svg = draw(plan)
    assert_sound(plan, svg)
    assert [each.text for each in svg.root.iter()].count("?") == 2
    assert sorted(each.get("data-edge", "") for each in svg.edges) == [f"{START}->a", f"c->{END}"]
    assert to_mermaid(plan).count('(("?"))') == 2
    assert to_dot(plan).count('label="?"') == 2


def test_a_single_node_is_a_picture() -> None:
    plan = build([(START, "only"), ("only", END)])
    assert_sound(plan, draw(plan))


def test_a_plan_without_nodes_is_a_picture() -> None:
    plan = build([(START, END)])
    assert_sound(plan, draw(plan))


def test_statuses_are_told_by_word_sign_and_colour() -> None:
    svg = draw(
        DOCUMENTS,
        statuses={
            "load": "done",
            "scan/model": "running",
            "review": "waiting",
            "send": "failed",
            "vote": "odd",
        },
    )
    assert_sound(DOCUMENTS, svg)
    for path, status in (
        ("load", "done"),
        ("scan/model", "running"),
        ("review", "waiting"),
        ("send", "failed"),
    ):
        assert svg.nodes[path].get("data-status") == status
        assert status in (svg.nodes[path].get("class") or "").split()
        assert svg.title(path).startswith(f"{path}: {status}")
        assert any("sign" in each.get("class", "") for each in svg.nodes[path].iter())
    assert svg.nodes["vote"].get("data-status") == "odd"
    assert svg.nodes["draft"].get("data-status") is None


def test_a_picture_stays_where_it_is_while_statuses_come_in() -> None:
    assert draw(DOCUMENTS, statuses={}).boxes == draw(DOCUMENTS, statuses={"load": "done"}).boxes


def test_counts_are_shown() -> None:
    svg = draw(DOCUMENTS, counts={"summarise": 5, "scan/tools": 2})
    assert "\N{MULTIPLICATION SIGN}5" in svg.words("summarise")
    assert "ran 2 times" in svg.title("scan/tools")


def test_only_edges_that_are_said_to_be_taken_are_drawn_as_taken() -> None:
    statuses = dict.fromkeys(_paths(DOCUMENTS), "done")
    svg = draw(DOCUMENTS, statuses=statuses)
    assert not [each for each in svg.edges if each.get("data-taken")]
    svg = draw(DOCUMENTS, statuses=statuses, taken={("review", "draft"): 2, ("review", "send"): 1})
    assert {each.get("data-edge"): each.get("data-taken") for each in svg.edges if each.get("data-taken")} == {
        "review->draft": "2",
        "review->send": "1",
    }
    assert svg.edge("review->draft").get("class") == "edge router taken"


def test_long_names_are_cut_and_given_in_full_to_who_points_at_them() -> None:
    name = "a name that goes on and on and on until nobody reads it any more"
    svg = draw(build([(START, name), (name, END)]))
    assert svg.words(name).endswith("…")
    assert svg.title(name) == name
    assert svg.boxes[name][2] - svg.boxes[name][0] < 280


def test_a_picture_needs_nothing_from_outside_and_is_for_everybody() -> None:
    svg = draw(DOCUMENTS, statuses={})
    assert svg.root.get("role") == "img"
    assert svg.root[0].tag.endswith("}title")
    assert svg.root[0].text == "Graph graph"
    assert "prefers-color-scheme:dark" in svg.text
    assert "prefers-reduced-motion" in svg.text
    assert re.findall(r"https?://[^\"' ]+", svg.text) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"url\(|@import|<script|<image|<use", svg.text)


def test_the_styles_of_a_picture_keep_to_the_picture() -> None:
    (style,) = [each.text or "" for each in draw(DOCUMENTS, statuses={}).root.iter() if each.tag.endswith("}style")]
    assert "%" not in style.replace("360deg", "")
    for selectors in re.findall(r"([^{}]+)\{[^{}]*\}", re.sub(r"@media[^{]*\{|@keyframes[^}]*\}\}", "", style)):
        assert all(each.startswith(".ropewalk-graph") for each in selectors.strip("}").split(",")), selectors


def test_hostile_names_are_only_names() -> None:
    links = [START, *HOSTILE, END]
    plan = build_named(
        [*pairwise(links), ("end", ["<script>alert(1)</script>"], '"-->]]><b>')],
        {},
        "</title>",
    )
    svg = draw(plan, statuses={"end": '"><script>'})
    assert set(svg.nodes) == {each.replace("\x00", "\ufffd").replace("\x07", "\ufffd") for each in links} - {
        "\ud800"
    } | {"\ufffd"}
    assert {each.tag.rpartition("}")[2] for each in svg.root.iter()} == {
        *("svg", "title", "desc", "style", "g", "rect", "path", "text")
    }
    assert svg.text.encode()
    assert "\u202e" not in "".join(each.text or "" for each in svg.root.iter())


def test_hostile_names_keep_mermaid_whole() -> None:
    links = [START, *HOSTILE, END]
    plan = build_named([*pairwise(links), ("end", ["two words"], '"] --> x; end')], {})
    lines = to_mermaid(plan, {"end": '"]; click'}).splitlines()
    words = r'"[^"<>\[\]{}|`\\;&]*?(?:(?:#\d+;|<br/>)[^"<>\[\]{}|`\\;&]*?)*"'
    node = rf"  n\d+(?:\(\[{words}\]\)|\[{words}\])(?::::\w+)?"
    edge = rf"  n\d+ (?:-->|-\. {words} \.->) n\d+"
    assert lines[0] == "flowchart LR"
    assert all(re.fullmatch(rf"{node}|{edge}", line) for line in lines[1:])
    assert len(lines) == 1 + len(links) + len(links)


def test_hostile_names_keep_dot_whole() -> None:
    links = [START, *HOSTILE, END]
    plan = build_named([*pairwise(links), ("end", ["two words"], '"] -> x; }')], {}, '"; evil')
    lines = to_dot(plan).splitlines()
    quoted = r'"(?:[^"\\]|\\.)*"'
    attributes = rf"\[\w+={quoted}(?:, \w+={quoted})*\]"
    assert lines[0] == 'digraph "\\"; evil" {'
    assert all(
        re.fullmatch(rf"  (?:n\d+(?: -> n\d+)?|graph|node|edge)(?: {attributes})?", line) for line in lines[1:-1]
    )


def test_mermaid_has_a_block_for_each_subgraph_and_a_class_for_each_status() -> None:
    text = to_mermaid(DOCUMENTS, {"load": "done", "scan": "running"})
    assert text.count("subgraph ") == text.count("\n  end\n") == 1
    assert 'n1["load<br/>(done)"]:::done' in text
    assert '  subgraph n2["scan · (running)"]' in text
    assert "  class n2 running" in text
    assert "classDef done" in text
    assert '[["summarise<br/>for each item"]]' in text


def test_mermaid_never_leads_a_line_from_a_subgraph_to_itself() -> None:
    plan = build([(START, "sub"), ("sub", ["sub", END], "again")], sub={"plan": SUB})
    assert 'n1_3 -. "again" .-> n1_0' in to_mermaid(plan)


def test_dot_has_a_cluster_for_each_subgraph_and_may_be_opaque() -> None:
    text = to_dot(DOCUMENTS, {"load": "done"})
    assert 'subgraph "cluster_n2"' in text
    assert 'lhead="cluster_n2"' in text
    assert 'ltail="cluster_n2"' in text
    assert "load\\n(done)" in text
    assert 'bgcolor="transparent"' in text
    assert 'bgcolor="white"' in to_dot(DOCUMENTS, transparent=False)


def test_the_same_plan_is_always_the_same_picture() -> None:
    assert to_svg(DOCUMENTS) == to_svg(DOCUMENTS)


def _dense(count: int, lines: int) -> Plan:
    """Build a plan in which lines skip far and wide."""
    edges: list[tuple[str, str]] = [(START, "n0"), (f"n{count - 1}", END)]
    edges += [(f"n{index // 2}", f"n{index}") for index in range(1, count)]
    for number in range(lines):
        one, other = sorted((number * 7919 % count, number * 104729 % count))
        if one != other:
            edges.append((f"n{one}", f"n{other}"))
    return build(edges)


@pytest.mark.parametrize(
    ("plan", "seconds"),
    [
        pytest.param(chain(300), 2, id="chain of 300"),
        pytest.param(fan_out(300), 2, id="fan-out of 300"),
        pytest.param(_dense(1000, 1000), 6, id="1000 nodes"),
    ],
)
def test_a_large_plan_is_drawn_soon(plan: Plan, seconds: float) -> None:
    start = time.process_time()
    svg = to_svg(plan)
    assert time.process_time() - start < seconds
    assert svg.count("data-node=") == len(plan.places)


def test_a_long_chain_and_a_wide_fan_out_are_sound() -> None:
    for plan in (chain(120), fan_out(60)):
        assert_sound(plan, draw(plan))


@st.composite
def plans(draw_: st.DrawFn, depth: int = 2) -> Plan:
    names = [f"{'node' * draw_(st.integers(0, 3))}{index}" for index in range(draw_(st.integers(1, 7)))]
    nodes: dict[str, dict[str, Any]] = {}
    for name in names:
        nodes[name] = {"interrupt": draw_(st.sampled_from([None, None, "before", "after"]))}
        nodes[name] |= draw_(
            st.sampled_from([{}, {}, {"fan": "map"}, {"fan": "parallel", "repeat": 3}, {"fan": "sequence"}])
        )
        if depth and draw_(st.integers(0, 4)) == 0:
            nodes[name]["plan"] = draw_(plans(depth - 1))
    sources, targets = st.sampled_from([START, *names]), st.sampled_from([*names, END])
    edge = st.one_of(
        st.tuples(sources, targets),
        st.tuples(sources, targets, st.just("map")),
        st.tuples(sources, st.lists(targets, min_size=1, max_size=4), st.sampled_from(["route", "pick", None])),
        st.tuples(sources, st.just("?"), st.sampled_from(["route", None])),
    )
    return build_named(draw_(st.lists(edge, max_size=16)), nodes)


@settings(max_examples=60, deadline=None)
@given(plans(), st.booleans())
def test_no_picture_has_anything_lying_on_anything_else(plan: Plan, running: bool) -> None:
    statuses = dict.fromkeys(_paths(plan), "done") if running else None
    assert_sound(plan, draw(plan, statuses=statuses))
    assert to_mermaid(plan, statuses)
    assert to_dot(plan, statuses)
