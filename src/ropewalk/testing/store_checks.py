"""How a check of a run store is made into a test that any runner can call."""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from ropewalk.contracts import NewRun, RunStore

Opener = TypeVar("Opener", bound="OpensStore")


class OpensStore:
    """What a suite asks of whoever inherits it."""

    async def open_store(self) -> RunStore:
        """Return a store on a medium that holds no run yet. The test closes it."""
        raise NotImplementedError(f"{type(self).__name__} must override open_store() to return an empty store.")

    async def open_again(self, store: RunStore) -> RunStore:
        """Return another store on the same medium, as another process would, or ``store`` itself."""
        return store


def with_store(check: Callable[[Opener, RunStore], Awaitable[None]]) -> Callable[[Opener], None]:
    """Make a test of ``check``, with a store that is closed afterwards.

    ``functools.wraps`` would show pytest the parameter ``store``, which it would take for a fixture.
    """

    async def run(self: Opener) -> None:
        store = await self.open_store()
        try:
            await check(self, store)
        finally:
            await store.close()

    def test(self: Opener) -> None:
        asyncio.run(run(self))

    test.__name__ = test.__qualname__ = check.__name__
    test.__doc__ = check.__doc__
    return test


@contextmanager
def refused(error: type[Exception], saying: str = "") -> Generator[None]:
    """Check that the block raises ``error`` with these words."""
    told: str | None = None
    try:
        yield
    except error as raised:
        told = str(raised)
    assert told is not None, f"{error.__name__} was to be raised, and was not"
    assert saying in told, f"{saying!r} is not in {told!r}"


def new_run(run_id: str = "r", **changes: Any) -> NewRun:
    """Return a run to admit: started on a graph ``g`` at 100.0 unless told otherwise."""
    told: dict[str, Any] = {"graph": "g", "plan": "p1", "status": "RUNNING", "at": 100.0} | changes
    return NewRun(run_id=run_id, **told)


async def admit(store: RunStore, run_id: str, bodies: Sequence[bytes] = (b"started",), **changes: Any) -> None:
    """Create a run of that id with those entries."""
    assert await store.create(new_run(run_id, **changes), bodies) == 1


async def write(store: RunStore, run_id: str, *bodies: bytes, after: int, epoch: int = 1, **changes: Any) -> None:
    """Append entries as the owner of that epoch."""
    told: dict[str, Any] = {"status": "RUNNING", "at": 101.0} | changes
    await store.append(run_id, epoch=epoch, after=after, bodies=bodies, **told)


async def log(store: RunStore, run_id: str) -> list[bytes]:
    """Return the bodies of the whole log, having checked that the numbers are dense."""
    entries = await store.read(run_id)
    assert [number for number, _ in entries] == [*range(1, len(entries) + 1)]
    return [body for _, body in entries]
