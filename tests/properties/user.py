"""Whoever starts a run, answers what it asks and brings it back when its process died, until it is done; and the final
audit.
"""

import asyncio
import itertools
import random
from collections import Counter
from typing import Any

from tests.properties.drawings import State
from tests.properties.reference import Reference
from tests.properties.virtual import Killed, Stuck, VirtualLoop
from tests.properties.witness import replayed
from tests.properties.world import Process, World, answer_to

from ropewalk import Graph, Run, RunStatus
from ropewalk.errors import (
    AlreadyAnswered,
    RunExists,
    RunFailed,
    RunFinished,
    RunTaken,
    StoreUnavailable,
)
from ropewalk.events import Entry, parse_event_id

PATIENCE = 400
"""How often a user comes back before saying that a run does not get on."""


def lived(world: World, life: Any, *args: Any) -> None:
    """Let ``life(world, loop)`` happen, in one process after another as they die."""
    for generation in range(50):
        loop = VirtualLoop(world.seed + generation, now=world.now)
        world.running.clear()
        try:
            loop.live(life(world, loop, *args))
            return
        except Killed:
            world.now = loop.now + 1
        except Stuck:
            world.wrong("promise 12: nothing can ever happen again, and the run is not finished")
            return
    world.wrong("too many deaths")


async def admitted(world: World, graph: Graph[State], run_id: str = "r") -> Run[State]:
    """Start the run, or open the one that an earlier process has started."""
    for _ in range(PATIENCE):
        try:
            run = graph.start(run_id=run_id)
            await run.admitted()
        except RunExists:
            return graph.open(run_id)
        except StoreUnavailable:
            continue
        if not world.entries(run_id):
            world.wrong("promise 1: admitted, and nothing is in the store")
        return run
    raise AssertionError("never admitted")


async def see_through(world: World, run: Run[State], *, rival: bool = False) -> bool:
    """Do whatever it takes until the run is done; False when another owner took it."""
    dice = random.Random(world.seed * 31 + len(world.entries(run.run_id)))
    for _ in range(PATIENCE):
        try:
            status = await (run.wait() if dice.random() < 0.2 and run._reading.owned else run.resume())
            if owns(world, run):
                audit_stop(world, run, status)
            if status in (RunStatus.DONE, RunStatus.CANCELLED):
                return True
            if status is RunStatus.PAUSED:
                await answer_some(world, run, dice)
        except StoreUnavailable:
            continue
        except RunFinished:
            return True
        except RunTaken:
            if not rival:
                world.wrong("promise 5: RunTaken, and nobody took the run")
            await asyncio.sleep(3)  # time to clean up
            left = [step for user, run_id, step in world.running.values() if user == run._desk.store.user]  # type: ignore
            if left:
                world.wrong(f"promise 5: the run was taken, and {left} still run in the process that lost it")
            return False
    world.wrong(f"promise 12: does not get on, status {run.status}, pauses {run.pauses}")
    return False


def owns(world: World, run: Run[State]) -> bool:
    engine = run._reading.engine
    return engine is not None and engine.epoch == world.inner._runs[run.run_id].record.epoch


def audit_stop(world: World, run: Run[State], status: RunStatus) -> None:
    """Check what must hold whenever a run has stopped."""
    log = [entry for entry in world.entries(run.run_id) if not entry.data.get("at_rest")]
    if log[-1].type != f"run_{status.value.lower()}":
        world.wrong(f"status {status}, but the last entry is {log[-1].type}")
    if run.status is not status:
        world.wrong(f"wait() said {status}, run.status says {run.status}")
    asked = {entry.data["pause"]: entry for entry in log if entry.type == "paused"}
    if any(entry.data.get("fork_of") for entry in log):
        fork = max(entry.number for entry in log if entry.data.get("fork_of"))
        asked = {pause: entry for pause, entry in asked.items() if entry.number > fork}
    for entry in log:
        if entry.type == "answered":
            asked.pop(entry.data["pause"], None)
    visible = {pause.id: pause.kind for pause in run.pauses}
    if visible != {pause: entry.data["kind"] for pause, entry in asked.items()} and status is RunStatus.PAUSED:
        world.wrong(f"promise 9: visible pauses {visible}, in the log {asked}")
    failed = [entry.number for entry in log if entry.type == "step_failed" and entry.data["retry_at"] is None]
    revived = [
        entry.number for entry in log if (entry.type == "reset" and entry.data["explicit"]) or entry.data.get("fork_of")
    ]
    if status is RunStatus.PAUSED:
        if not visible:
            world.wrong("promise 12: PAUSED without an open pause")
        if failed and failed[-1] > max(revived, default=0):
            world.wrong("FAILED outranks PAUSED")
        if visible and "breakpoint" not in visible.values():
            audit_questions(world, run, asked)
    if status is RunStatus.FAILED:
        error = run.error
        if not isinstance(error, RunFailed) or error.reason != log[-1].data.get("code"):
            world.wrong(f"promise 10: FAILED with {error!r} and {log[-1]}")
    if [step for user, run_id, step in world.running.values() if run_id == run.run_id and user == world.owner]:
        world.wrong(f"stopped as {status} while {world.running} still run")


def audit_questions(world: World, run: Run[State], asked: dict[str, Any]) -> None:
    """A question holds its own branch and no other: all else that can happen has happened."""
    waiting = {entry.data["step"] for entry in asked.values()}
    due = Reference(world.drawing, held_back=waiting, most=10_000)
    finished = {entry.data["step"] for entry in world.entries(run.run_id) if entry.type == "step_finished"}
    if finished != due.steps.keys() - due.in_flight or waiting != due.in_flight:
        world.wrong(
            f"promise 9: waits for {waiting} with {finished} finished; due are {due.in_flight} and {set(due.steps)}"
        )


async def answer_some(world: World, run: Run[State], dice: random.Random) -> None:
    pauses = run.pauses
    dice.shuffle(pauses)
    await asyncio.sleep(dice.choice((0, 10, 100_000)))
    for pause in pauses[: dice.randint(1, len(pauses))]:
        value = None if pause.kind == "breakpoint" else answer_to(pause.payload)
        if pause.kind == "breakpoint" and dice.random() < 0.7:
            continue
        times = dice.choice((1, 1, 2))
        told = await asyncio.gather(
            *(run.answer(pause.id, value, by=f"u{n}") for n in range(times)), return_exceptions=True
        )
        store = [one for one in told if isinstance(one, StoreUnavailable | RunTaken | RunFinished)]
        if store:
            raise store[0]
        refused = [one for one in told if one is not None]
        if not all(isinstance(one, AlreadyAnswered) for one in refused):  # all: an unacknowledged answer was written
            world.wrong(f"promise 9: {times} answers to {pause}: {told}")


def audit(world: World, run_id: str = "r") -> None:
    """Check the whole log of a finished run, and what the world outside saw."""
    log = world.entries(run_id)
    expected = world.expected
    kinds = [entry.type for entry in log]
    finished = Counter(entry.data["step"] for entry in log if entry.type == "step_finished")
    if [entry.number for entry in log] != list(range(1, len(log) + 1)):
        world.wrong("the log is not dense")
    if finished != Counter(expected.steps.keys()):
        world.wrong(f"promise 3: finished {finished}, due {sorted(expected.steps)}")
    begun = max(number for number, kind in enumerate(kinds) if kind == "run_started")
    if kinds[begun:].count("run_done") != 1 or kinds[-1] != "run_done":
        world.wrong(f"the log does not end with its only run_done: {kinds}")
    for name, keys in {
        "recorded": [(e.data["step"], e.data["name"], e.data["nth"]) for e in log if e.type == "step_recorded"],
        "paused": [e.data["pause"] for e in log if e.type == "paused"],
        "answered": [e.data["pause"] for e in log if e.type == "answered"],
    }.items():
        doubled = {key: times for key, times in Counter(keys).items() if times > 1}
        if doubled:
            world.wrong(f"{name} more than once: {doubled}")
    bad = [
        e
        for e in log
        if e.type == "answered"
        and not any(p.type == "paused" and p.data["pause"] == e.data["pause"] for p in log[: e.number])
    ]
    if bad:
        world.wrong(f"answered and never asked: {bad}")
    audit_executions(world, run_id)
    loop = VirtualLoop()
    graph = Process(world, loop).graph()
    told = replayed(graph, run_id, [body for _, body in loop.live(world.inner.read(run_id))])
    for number, (_, so_far, union) in enumerate(told, 1):
        if sorted(union["ids"]) != so_far:
            world.wrong(f"the union after entry {number} holds {union['ids']}, finished are {so_far}")
    last = told[-1][2]
    for name, value in final_state(world, run_id).items():
        if last[name] != value:
            world.wrong(f"promise 6: final {name} is {last[name]}, due {value}")


def final_state(world: World, run_id: str) -> dict[str, Any]:
    assert world.expected.final is not None
    final = dict(world.expected.final)
    final["answers"] = dict(asked_in(world))
    final["edits"] = sum(
        dict(w[:1] + w[2:] for w in e.data["writes"]).get("edits", 0)
        for e in world.entries(run_id)
        if e.type == "state_edited"
    )
    return final


def asked_in(world: World) -> Counter[str]:
    nodes: Counter[str] = Counter()
    for step, seen in world.expected.steps.items():
        drawing = world.drawing
        *around, name = seen.path.split("/")
        for sub in around:
            inner = drawing.node(sub).sub
            assert inner is not None
            drawing = inner
        for place, act in enumerate(world.script(seen.path, drawing.node(name))):
            if act in ("ask", "ask both"):
                nodes.update(f"{step} {one} {place}" for one in (("ask",) if act == "ask" else ("left", "right")))
    return nodes


def cut_offs(log: list[Entry]) -> int:
    """Count what may have cut a step off without a failure of its own: takeovers, and the end of the run's time."""
    resets = sum(entry.type == "reset" and entry.data["reason"] != "resumed" for entry in log)
    return resets + sum(entry.type == "run_failed" and entry.data.get("code") == "run_timeout" for entry in log)


def audit_executions(world: World, run_id: str) -> None:
    log = world.entries(run_id)
    begun = max(entry.number for entry in log if entry.type == "run_started")
    log = log[begun:]
    takeovers = cut_offs(log)
    questions = {
        entry.data["pause"]: entry.data["step"]
        for entry in log
        if entry.type == "paused" and entry.data["kind"] != "breakpoint"
    }
    answers = Counter(questions.get(entry.data["pause"]) for entry in log if entry.type == "answered")
    failures = Counter(entry.data["step"] for entry in log if entry.type == "step_failed")
    for (of, step), executions in world.executions.items():
        most = 1 + takeovers + answers[step] + failures[step]
        if of == run_id and len(executions) > most:
            world.wrong(f"promise 4: {step} ran {len(executions)} times, at most {most} are allowed")
        attempts = [one.attempt for one in executions if one.user == executions[-1].user]
        if attempts != sorted(attempts):
            world.wrong(f"promise 4: the attempts of {step} were {attempts}")
    for (of, step, name, nth), times in world.effects.items():
        if of == run_id and times > len(world.executions[of, step]):
            world.wrong(f"promise 4: effect {name} {nth} of {step} happened {times} times")


async def follow(world: World, run: Run[State], seen: list[str]) -> None:
    """Read the run's events, going away and coming back at random, until its last one."""
    dice = random.Random(world.seed)
    last = ""
    while last not in ("run_done", "run_cancelled"):
        left = dice.randint(1, 30)
        try:
            async for event in run.events(after=seen[-1] if seen else None):
                seen.append(event.id)
                last = event.type
                left -= 1
                if not left:
                    break
        except (StoreUnavailable, RunTaken):
            pass
        await asyncio.sleep(dice.choice((0, 1, 30)))


def audit_stream(world: World, seen: list[str], run_id: str = "r") -> None:
    """Promise 13: every entry once and in order, and live events only between them."""
    entries = [int(one) for one in seen if "." not in one]
    if entries != list(range(1, len(world.entries(run_id)) + 1)):
        world.wrong(f"promise 13: a reader saw the entries {entries} of {len(world.entries(run_id))}")
    places = [parse_event_id(one) for one in seen]
    if any(one >= other for one, other in itertools.pairwise(places)):
        world.wrong(f"promise 13: a reader saw {seen}")
