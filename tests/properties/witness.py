"""Stands behind the nodes of a built graph: takes its time, and remembers which step was shown what."""

import asyncio
import copy
import random
from typing import Any

from tests.properties import drawings
from tests.properties.drawings import Drawing, Node, Routed, State

from ropewalk import Context
from ropewalk.codec import to_plain
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


def folded(graph: Any, run_id: str, bodies: list[bytes], *, on: Schedule | None = None) -> Schedule:
    """Fold the next entries of a log, on a fresh schedule where none is given."""
    schedule = on or Schedule(graph.plan, Shape(State), run_id, max_iterations=graph.max_node_iterations)
    for number, body in enumerate(bodies, schedule.number + 1):
        entry = read_entry(number, body)
        schedule.apply(number, entry.at, decode(entry, schedule.shape))
    return schedule


def stands(schedule: Schedule) -> dict[str, Any]:
    """Return everything that can be seen of a fold."""
    shape = schedule.shape
    return {
        "number": schedule.number,
        "status": schedule.status,
        "union": shape.to_json(schedule.union()),
        "final": schedule.final and shape.to_json(schedule.final.values),
        "steps": {name: _step_stands(shape, step) for name, step in schedule.steps.items()},
        "pending": [step.id for step in schedule.pending()],
        "undecided": list(schedule.undecided),
        "unannounced": [firing.id for firing in schedule.unannounced],
        "open": list(schedule.open_pauses),
        "pauses": {
            name: (to_plain(list(one.fact)), one.answered_at, one.answered_by) for name, one in schedule.pauses.items()
        },
        "held": (schedule.held, schedule.is_blocked(), schedule.failure, schedule.stopped),
        "time": (schedule.active_seconds, schedule.last_at),
        "limit": schedule.max_iterations,
    }


def _step_stands(shape: Shape, step: Any) -> dict[str, Any]:
    return {
        "place": (step.path, step.place.name, step.index),
        "item": step.inherited_item(),
        "status": (step.status, step.attempt, step.failures, step.spent, step.takeovers, step.deaths, step.retry_at),
        "kept": [dict(kept) for kept in (step.records, step.answers, step.asked)],
        "state": shape.to_json(step.version.values),
    }
