"""Checks of a run store: it belongs to no event loop, and lets go of everything when it is closed."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from ropewalk.contracts import RunStore
from ropewalk.testing.store_checks import OpensStore, admit, log, with_store, write

Result = TypeVar("Result")


def _in_another_thread(work: Coroutine[Any, Any, Result]) -> "Future[Result]":
    """Run a coroutine in a loop of its own, in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work)


class LoopChecks(OpensStore):
    """Never blocks the loop, and may be used from any event loop, several at a time; close."""

    def test_a_store_is_used_by_one_event_loop_after_another(self) -> None:
        store = asyncio.run(self.open_store())
        asyncio.run(admit(store, "r"))
        asyncio.run(write(store, "r", b"x", after=1))
        assert asyncio.run(log(store, "r")) == [b"started", b"x"]
        asyncio.run(store.close())

    @with_store
    async def test_a_store_is_used_by_several_event_loops_at_a_time(self, store: RunStore) -> None:
        async def one(run_id: str) -> None:
            await admit(store, run_id, [])
            for i in range(20):
                await write(store, run_id, b"%d" % i, after=i)
                assert len(await log(store, run_id)) == i + 1

        def many(name: str) -> None:
            async def all_at_once() -> None:
                await asyncio.gather(*[one(f"{name}{i}") for i in range(5)])

            asyncio.run(all_at_once())

        with ThreadPoolExecutor(3) as pool:
            await asyncio.gather(
                *[asyncio.get_running_loop().run_in_executor(pool, many, name) for name in "abc"], one("here")
            )
        assert len(await store.runs()) == 16

    @with_store
    async def test_a_helper_thread_is_served_while_this_loop_is_blocked(self, store: RunStore) -> None:
        await admit(store, "r")
        assert _in_another_thread(log(store, "r")).result() == [b"started"]
        _in_another_thread(write(store, "r", b"x", after=1)).result()
        assert await log(store, "r") == [b"started", b"x"]

    @with_store
    async def test_a_loop_that_went_away_harms_nobody(self, store: RunStore) -> None:
        await admit(store, "r", [])

        async def leave() -> None:
            for i in range(5):
                task = asyncio.ensure_future(write(store, "r", b"x", after=i))
                await asyncio.sleep(0)
                task.cancel()

        for _ in range(5):
            _in_another_thread(leave()).result()
        await store.claim("r")  # what is still under way can no longer be written
        written = await log(store, "r")
        await write(store, "r", b"here", after=len(written), epoch=2)
        assert await log(store, "r") == [*written, b"here"]

    def test_closing_twice_or_unused_is_harmless(self) -> None:
        async def close_twice() -> None:
            store = await self.open_store()
            await store.close()
            await store.close()

        asyncio.run(close_twice())

    def test_closing_finishes_what_was_asked_and_lets_go_of_threads(self) -> None:
        async def ask_and_close() -> None:
            before = threading.active_count()
            store = await self.open_store()
            await admit(store, "r", [])
            tasks = [asyncio.ensure_future(write(store, "r", b"%d" % i, after=i)) for i in range(30)]
            await asyncio.sleep(0)
            await store.close()
            assert await asyncio.gather(*tasks) == [None] * 30
            await asyncio.get_running_loop().shutdown_default_executor()
            assert threading.active_count() <= before

        asyncio.run(ask_and_close())
