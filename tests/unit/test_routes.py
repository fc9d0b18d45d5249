"""Routes: what a router may return, made ready for the log."""

import pytest
from pydantic import BaseModel

from ropewalk import END, START, Graph, Send
from ropewalk.core.facts import Route
from ropewalk.core.routes import items_of, routes_of
from ropewalk.errors import NotStorable, UnknownRoute, WrongReturn


class Job(BaseModel):
    name: str


def plan():
    graph = Graph()

    async def typed(item: Job):
        return None

    graph.add_node(lambda: None, name="a").add_node(lambda: None, name="b").add_node(typed, name="typed")
    graph.add_edge(START, "a").add_edge("b", END).add_edge("typed", END)
    graph.add_router_edge("a", lambda: "b", routes=["b", "typed", END])
    graph.add_map_edge("a", "typed", "b", over=lambda: [])
    return graph.plan


PLAN = plan()
PLACE = PLAN.by_name["a"]
(ROUTER,), (SPREAD,) = PLACE.routers, PLACE.spreads


def routes(value):
    return routes_of(value, ROUTER, PLAN, "a")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("b", (Route("b"),)),
        (END, (Route(END),)),
        ([], ()),
        (["b", END], (Route("b"), Route(END))),
        (("b",), (Route("b"),)),
        ({"typed", "b"}, (Route("b"), Route("typed"))),
        (Send("b", {"x": 1}), (Route("b", b'{"x":1}'),)),
        ([Send("typed", Job(name="n")), "b"], (Route("typed", b'{"name":"n"}'), Route("b"))),
        (Send("b", None), (Route("b", b"null"),)),
    ],
)
def test_routes_are_names_ends_sends_and_collections_of_them(value, expected):
    assert routes(value) == expected


@pytest.mark.parametrize("value", [None, 5, {"b": 1}, True, object()])
def test_anything_else_is_refused(value):
    with pytest.raises(WrongReturn, match="'a'"):
        routes(value)


@pytest.mark.parametrize("value", ["c", ["b", "c"], Send("c", 1), "a", START, ""])
def test_a_name_that_is_no_route_is_refused(value):
    with pytest.raises(UnknownRoute, match="no node it may lead to") as caught:
        routes(value)
    assert "__end__" not in str(caught.value), "END is called END"


def test_the_nearest_route_is_named_for_a_send_too():
    for value in ("typd", Send("typd", 1)):
        with pytest.raises(UnknownRoute, match="Did you mean 'typed'"):
            routes(value)


def test_an_item_is_stored_by_the_type_of_its_target():
    with pytest.raises(NotStorable, match="item for 'typed'"):
        routes(Send("typed", {"name": 5}))
    with pytest.raises(NotStorable, match="item for 'b'"):
        routes(Send("b", Job(name="n")))


def test_items_of_a_map_are_stored_one_by_one():
    found = items_of([Job(name="x"), Job(name="y")], SPREAD, PLAN, "a")
    assert [route.item for route in found] == [b'{"name":"x"}', b'{"name":"y"}']
    assert items_of([], SPREAD, PLAN, "a") == ()
    for wrong in ("text", b"bytes", 5, None):
        with pytest.raises(WrongReturn, match="list of items"):
            items_of(wrong, SPREAD, PLAN, "a")
