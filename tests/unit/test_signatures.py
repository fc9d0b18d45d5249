"""Signatures: what fills a node's parameters, and where a router's source says it may lead."""

import functools
from typing import Literal

import pytest

from ropewalk import END, Context, GraphState, Send
from ropewalk.core.signatures import call_of, edge_problems, one_argument, routes_in

ELSEWHERE = "elsewhere"


class Doc(GraphState):
    n: int = 0


def params(fn, state_class=Doc):
    problems = []
    call = call_of("work", fn, state_class, problems)
    return call.params, call.is_async, [problem.message for problem in problems]


async def an_async(state, ctx):
    return None


class Caller:
    async def __call__(self, state):
        return None

    def method(self, ctx):
        return None


@pytest.mark.parametrize(
    ("fn", "expected", "is_async"),
    [
        (lambda: None, (), False),
        (lambda state: None, (("state", "state"),), False),
        (lambda ctx, item, index: None, (("ctx", "ctx"), ("item", "item"), ("index", "index")), False),
        (an_async, (("state", "state"), ("ctx", "ctx")), True),
        (Caller(), (("state", "state"),), True),
        (Caller().method, (("ctx", "ctx"),), False),
        (functools.partial(lambda word, state: None, "x"), (("state", "state"),), False),
        (functools.partial(an_async, ctx=None), (("state", "state"), ("ctx", "ctx")), True),
        (lambda *args, **kwargs: None, (), False),
        (lambda a=1, *, b=2: None, (), False),
    ],
)
def test_parameters_are_filled_by_name(fn, expected, is_async):
    found, found_async, problems = params(fn)
    assert problems == []
    if isinstance(fn, functools.partial) and "ctx" in fn.keywords:
        assert found in (expected, expected[:1]), "what is bound is bound"
    else:
        assert found == expected
    assert found_async is is_async


def test_parameters_are_filled_by_annotation():
    def node(where: Context, sheet: Doc, other: "Context"):
        return None

    found, _, problems = params(node)
    assert dict(found)["where"] == "ctx"
    assert dict(found)["sheet"] == "state"
    assert dict(found)["other"] == "ctx"
    assert problems == []


def test_a_parameter_that_nobody_fills_is_a_problem_each():
    _, _, problems = params(lambda x, y: None)
    assert [problem.partition(",")[0] for problem in problems] == ["Node 'work' takes 'x'", "Node 'work' takes 'y'"]


def test_the_item_is_typed_by_its_annotation():
    def node(item: int):
        return None

    problems = []
    call = call_of("work", node, None, problems)
    assert call.item.validate_json(b"5") == 5
    with pytest.raises(ValueError, match="int"):
        call.item.validate_json(b'"x"')


def literal(state) -> Literal["a", "b"]:
    return state.x


def literal_or_several(state) -> Literal["a"] | list[Literal["b", "c"]]:
    return state.x


def two_returns(state):
    if state:
        return "a"
    return "b"


def nested(state):
    for _ in range(3):
        try:
            with open(state) as file:
                if file:
                    return "a"
        except OSError:
            return "b"
        finally:
            pass
    return "c"
    while True:
        return END


def a_list(state):
    return ["a", "b"] if state else [Send("c", 1)]


def a_comprehension(state):
    return [Send("a", n) for n in state]


def a_global(state):
    return ELSEWHERE


def a_variable(state):
    way = "a" if state else "b"
    return way  # noqa: RET504  this is what is tried


def a_call(state):
    return str(state)


def nothing(state):
    pass


def an_empty_return(state):
    if state:
        return "a"
    return None


@pytest.mark.parametrize(
    ("router", "expected"),
    [
        (literal, ("a", "b")),
        (literal_or_several, ("a", "b", "c")),
        (two_returns, ("a", "b")),
        (nested, ("a", "b", "c", END)),
        (a_list, ("a", "b", "c")),
        (a_comprehension, ("a",)),
        (a_global, ("elsewhere",)),
        (a_variable, None),
        (a_call, None),
        (nothing, None),
        (len, None),
    ],
)
def test_the_routes_of_a_router_are_found_or_left_open(router, expected):
    assert routes_in(router) == expected


def test_a_return_of_nothing_leaves_the_routes_open():
    assert routes_in(an_empty_return) is None


@pytest.mark.parametrize(
    ("fn", "result"),
    [
        (lambda: "none", "none"),
        (lambda state: f"one {state}", "one S"),
        (lambda anything: f"any {anything}", "any S"),
        (lambda *all_: f"star {all_}", "star ('S',)"),
        (lambda *, state: f"keyword {state}", "keyword S"),
        (lambda state="default": f"default {state}", "default S"),
    ],
)
def test_a_router_takes_the_state_or_nothing(fn, result):
    assert one_argument(fn)("S") == result


@pytest.mark.parametrize(
    "fn",
    [
        lambda: 1,
        lambda s: 1,
        lambda s, n=1: 1,
        lambda *a: 1,
        lambda s, **k: 1,
        functools.partial(lambda s, n: 1, n=2),
        len,
    ],
)
def test_a_function_on_an_edge_that_can_be_called_has_no_problem(fn):
    assert edge_problems("The router after 'a'", fn) == []


def test_each_parameter_of_a_function_on_an_edge_that_nobody_fills_is_a_problem():
    def by_name(*, state): ...

    def greedy(state, config, /, *, key): ...

    def named(*, states): ...

    assert edge_problems("It", by_name) == []
    assert [one.message for one in edge_problems("The router after 'a'", greedy)] == [
        "The router after 'a' takes 'config', which nobody fills.",
        "The router after 'a' takes 'key', which nobody fills.",
    ]
    assert len(edge_problems("It", named)) == 1
