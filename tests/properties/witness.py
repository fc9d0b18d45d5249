"""Stands behind the nodes of a built graph: takes its time, and remembers which step was shown what."""

import asyncio
import copy
import random
from typing import Any

from tests.properties import drawings
from tests.properties.drawings import Drawing, Node, Routed, State

from ropewalk import Context
from ropewalk.core.facts import decode, read_entry
from ropewalk.core.schedule import Schedule
from ropewalk.core.state import Shape


class Witness:
    """Plays every node as drawn; sleeps by seed."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.shown: dict[str, dict[str, Any]] = {}
        self.told: dict[str, tuple[str, Any, int | None]] = {}
        self.ran: list[str] = []

    def see(self, state: State, ctx: Context) -> str:
        step = ctx.idempotency_key.partition("/")[2]
        self.ran.append(step)
        self.shown[step] = copy.deepcopy({name: getattr(state, name) for name in drawings.FIELDS})
        self.told[step] = (ctx.node, ctx.item, ctx.index)
        return step

    async def play(self, drawing: Drawing, node: Node, state: State, ctx: Context) -> Any:
        step = self.see(state, ctx)
        item = ctx.item
        await self.take_time()
        returned = drawings.behave(drawing, node, step, item, state)
        await self.take_time()
        return returned

    def play_now(self, drawing: Drawing, node: Node, state: State, ctx: Context) -> Any:
        return drawings.behave(drawing, node, self.see(state, ctx), ctx.item, state)

    async def choose(self, edge: Routed, state: State) -> Any:
        await self.take_time()
        return drawings.route(edge, state)

    async def take_time(self) -> None:
        seconds = self.dice.choice((None, 0.0, 0.0, 1.0, self.dice.random() * 10))
        if seconds is not None:
            await asyncio.sleep(seconds)


def plain(state: State) -> dict[str, Any]:
    return {name: getattr(state, name) for name in drawings.FIELDS}


def replayed(graph: Any, run_id: str, bodies: list[bytes]) -> list[tuple[str, list[str], dict[str, Any]]]:
    """Fold a log with a fresh schedule; return (status, finished steps, union state) after each entry."""
    shape = Shape(State)
    schedule = Schedule(graph.plan, shape, run_id, max_iterations=graph.max_node_iterations)
    told: list[tuple[str, list[str], dict[str, Any]]] = []
    finished: list[str] = []
    for number, body in enumerate(bodies, 1):
        entry = read_entry(number, body)
        schedule.apply(number, entry.at, decode(entry, shape))
        if entry.type == "step_finished":
            finished.append(entry.data["step"])
        told.append((schedule.status, sorted(finished), plain(shape.to_state(schedule.union()))))
    return told
