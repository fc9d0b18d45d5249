# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""A program as a user with a strict type checker writes it: `./dev check` looks at it, test_typing_user.py runs it.

Each `pyright: ignore` is a mistake that the checker must find: one that it no longer finds is an error too.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Literal, assert_type

from pydantic import BaseModel

from ropewalk import (
    END,
    START,
    Context,
    Entry,
    Event,
    Graph,
    GraphState,
    History,
    Incremental,
    LastValue,
    Pause,
    Reduced,
    Retry,
    Run,
    RunStatus,
    Send,
    Token,
    merge_by_id,
)


class Stop(BaseModel):
    city: str
    days: int = 1


class Trip(GraphState):
    stops: list[Stop] = [Stop(city="Riga"), Stop(city="Oslo", days=3)]
    visited: History[str]
    letters: History[str] = []
    days: Incremental[int] = 0
    mood: LastValue[str] = "curious"
    notes: Reduced[list[dict[str, str]], merge_by_id] = []
    home: str = ""


class Other(GraphState):
    field: str = ""


trip = Graph(Trip, store="memory:", name="trip", execution_timeout=20, max_node_iterations=5, max_concurrency=2)
assert_type(trip, Graph[Trip])


@trip.node
async def visit(item: Stop, index: int) -> dict[str, str | int]:
    return {"visited": f"{index}. {item.city}", "days": item.days}


@trip.node(retry=Retry(attempts=3, backoff=0.01), timeout=5, metadata={"who": "clerk"})
def count(state: Trip, ctx: Context) -> dict[str, str]:
    assert_type(state.visited, list[str])
    assert_type(state.days, int)
    assert_type(state.notes, list[dict[str, str]])
    ctx.emit(Token("counted"))
    return {"mood": "tired" if state.days > 3 else "curious"}


@trip.node(name="ask")
async def ask_at_home(state: Trip, ctx: Context) -> dict[str, str]:
    price = await ctx.step("price", price_of, state.days)
    assert_type(price, int)
    rounded = await ctx.step("round", rounded_up, price, to=10)
    assert_type(rounded, str)
    yes = await ctx.ask({"pay": rounded})
    return {"home": f"paid {rounded}" if yes else "stayed"}


assert_type(visit(Stop(city="Riga"), 0).close(), None)  # the decorators return the function as it was
plain: Callable[[Trip, Context], dict[str, str]] = count


async def price_of(days: int) -> int:
    return days * 61


def rounded_up(price: int, *, to: int) -> str:
    return str(-(-price // to) * to)


@trip.subgraph()
def writing() -> Graph[Trip]:
    inner = Graph(Trip)
    inner.add_node(lambda: {"letters": "Dear all"}, name="write")
    return inner.add_edge(START, "write").add_edge("write", END).compile()


def enough(state: Trip) -> Literal["writing", "__end__"]:
    return END if state.home == "" else "writing"


trip.add_map_edge(START, "visit", "count", over=lambda s: s.stops)
trip.add_edge("count", "ask").add_router_edge("ask", enough).add_edge("writing", END)
assert_type(trip.compile(), Graph[Trip])


async def later(state: Trip) -> list[str]:
    return [stop.city for stop in state.stops]


async def choose(state: Trip) -> str | list[Send]:
    return [Send("a", stop) for stop in state.stops] or END


class Chooser:
    def __call__(self, state: GraphState) -> str:  # what takes any state takes this one
        return END


def about_another_state(state: Other) -> str:
    return state.field


def no_route(state: Trip) -> float:
    return 0.5


def every_form_of_edge() -> Graph[Trip]:
    graph = Graph(Trip())  # pyright: ignore[reportCallIssue]  a History without a default: give it one to leave it out
    graph = Graph(Trip(visited=[]))
    graph.add_router_edge("a", lambda s: "b" if s.days else END)
    graph.add_router_edge("a", lambda s: [Send("b", stop) for stop in s.stops])
    graph.add_router_edge("a", lambda: {"a", "b"}, routes=["a", "b"])
    graph.add_router_edge("a", choose).add_router_edge("a", Chooser()).add_router_edge("a", "b")
    graph.add_map_edge("a", "b", "c", over=later)
    graph.add_map_edge("a", "b", "c", over=lambda: range(3))
    graph.add_repeating_edge("a", "b", "c", repeat=2, parallel=True, repeat_names=("one", "two"))
    graph.add_router_edge("a", about_another_state)  # pyright: ignore[reportArgumentType]
    graph.add_router_edge("a", no_route)  # pyright: ignore[reportArgumentType]
    graph.add_map_edge("a", "b", "c", over=lambda s: s.cities)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownLambdaType]
    return graph


def without_state() -> Graph:
    graph = Graph(name="bare")
    graph.add_node(lambda: None, name="only")
    return graph.add_edge(START, "only").add_router_edge("only", lambda: END)


async def main() -> list[str]:
    told: list[str] = []
    run = trip.start(Trip(visited=[], mood="merry"), run_id="trip-1", timeout=10)
    assert_type(run, Run[Trip])
    await run.admitted()
    async for event in run.events():
        assert_type(event, Event)
        assert_type(event.data, Any)
        told.append(event.type)
    assert_type(await run.wait(), RunStatus)
    for pause in run.pauses:
        assert_type(pause, Pause)
        await run.answer(pause.id, True, by="Ann")
    state = await run
    assert_type(state, Trip)
    for entry in await run.history():
        assert_type(entry, Entry)
    again = await run.fork(at=1, updates={"mood": "grim"})
    assert_type(again, Run[Trip])
    await again.cancel("enough")
    assert_type(trip.open("trip-1").state.letters, list[str])
    chain = await without_state().execute()
    assert_type(chain, str)
    assert_type(trip.state, Trip | None)
    return [*told, *state.visited, *state.letters, state.home]


if __name__ == "__main__":
    print(asyncio.run(main()))
