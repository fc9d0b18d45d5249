"""How a session and its user stand before a run is admitted: one read, where the store has it.

What is seen here is a moment old when it is used. That costs another look, never a promise: a turn that was given
meanwhile is refused by the store (`server/sessions.py`), and who came in meanwhile is counted (`server/room.py`).
"""

from dataclasses import dataclass

from ropewalk.contracts import RunStore, SessionStands, TellsOfSessions
from ropewalk.server.room import Seen

_RUNNING = ("RUNNING",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Glance:
    """What was seen of a session, and of its user."""

    stands: SessionStands
    seen: Seen


async def session_stands(store: RunStore, *, owner: str, session: str, most: int) -> SessionStands:
    """Return how the owner's session stands; the owner's RUNNING runs are counted to ``most``.

    One by one, the last turn is asked for before what is under way: what is admitted between the two has taken a turn
    that is given no second time.
    """
    if isinstance(store, TellsOfSessions):
        return await store.session_stands(owner=owner, session=session, most=most)
    of_owner = await store.runs(owner=owner, statuses=_RUNNING, limit=most)
    newest = await store.runs(owner=owner, session=session, limit=1)
    last_turn = await store.last_turn(owner=owner, session=session)
    running = await store.runs(owner=owner, session=session, statuses=_RUNNING)
    return SessionStands(
        newest=newest[0] if newest else None,
        last_turn=last_turn,
        running=running,
        running_of_owner=len(of_owner),
    )
