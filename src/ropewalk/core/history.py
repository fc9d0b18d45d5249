"""Reads back what a run has left in its log.

Without a store there is what its feed keeps: the newest ten thousand entries.
"""

from collections.abc import Mapping
from typing import Any

from ropewalk.core.facts import RunStarted, read_entry
from ropewalk.core.picture import Picture
from ropewalk.core.reading import Reading
from ropewalk.events import Entry


async def entries_of(reading: Reading) -> list[Entry]:
    """Return the log, oldest entry first."""
    store = reading.desk.store
    if store is None:
        return [logged.to_entry() for logged in reading.read_now().feed.kept()]
    return [read_entry(number, body) for number, body in await store.read(reading.run_id)]


async def note_of(reading: Reading) -> Mapping[str, Any] | None:
    """Return what the door that admitted the run left for itself; None when it left nothing."""
    store = reading.desk.store
    if store is not None:
        return await reading.desk.note_of(await store.look(reading.run_id))
    started = [logged.fact for logged in reading.read_now().feed.kept() if isinstance(logged.fact, RunStarted)]
    return started[-1].note if started else None


async def picture_of(reading: Reading) -> Picture:
    """Return the graph's picture with what the run did."""
    store, plan = reading.desk.store, reading.desk.plan
    if store is None:
        engine = reading.read_now()
        entries = [logged.to_entry() for logged in engine.feed.kept()]
    else:  # one reading of the log, whatever is committed meanwhile
        engine = await reading.desk.load(reading.run_id)
        log = await store.read(reading.run_id, limit=engine.schedule.number)
        entries = [read_entry(number, body) for number, body in log]
    unfinished = {step.id: step.status for step in engine.schedule.steps.values()}
    return Picture.of_run(plan, entries, unfinished, engine.schedule.status)


async def was_handed_over(reading: Reading) -> bool:
    """Tell whether the run's last owner has said that it stops: nothing has died then."""
    return await _handed_over_in(reading) is not None


async def is_laid_down(reading: Reading) -> bool:
    """Tell whether the run's last owner has said that it stops, and nobody has taken it since."""
    store, epoch = reading.desk.store, await _handed_over_in(reading)
    return store is not None and epoch is not None and (await store.look(reading.run_id)).epoch == epoch


async def _handed_over_in(reading: Reading) -> int | None:
    """Return the epoch of the owner with whose word of its stop the log ends; None: it does not."""
    store = reading.desk.store
    if store is None:
        return None
    last = (await store.look(reading.run_id)).last
    newest = [read_entry(*one) for one in await store.read(reading.run_id, after=max(0, last - 1))]
    data = newest[-1].data if newest and newest[-1].type == "reset" else {}
    return int(data["epoch"]) if data.get("reason") == "interrupted" else None
