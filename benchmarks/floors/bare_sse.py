"""The bare server's side of the cases about streams."""

import asyncio
from collections.abc import Awaitable, Callable

from benchmarks.measure import Costs
from benchmarks.readers import Child, many_files, open_readers

_SERVER = ("-m", "benchmarks.floors.bare_server")


def fan_out(clients: int, tokens: int) -> Callable[[], Awaitable[Costs]]:
    """Time a token to a reader."""
    server = Child(*_SERVER)

    async def repeat() -> Costs:
        with many_files():
            readers = await open_readers(server, f"/events?tokens={tokens}&pause=0", clients)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await loop.run_in_executor(None, server.ask, "POST", "/go")
        await asyncio.gather(*[reader.done for reader in readers])
        wall = loop.time() - began
        for reader in readers:
            reader.close()
        return {"wall": wall / (clients * tokens)}

    return repeat


def delays(clients: int, tokens: int, pause: float) -> Callable[[], Awaitable[list[float]]]:
    """Return what gives, for each token at each reader, how long it was on its way."""
    server = Child(*_SERVER)

    async def repeat() -> list[float]:
        readers = await open_readers(server, "/shared", clients)
        for reader in readers:
            reader.delays = []
        path = f"/produce?tokens={tokens}&pause={pause}"
        await asyncio.get_running_loop().run_in_executor(None, server.ask, "POST", path)
        await asyncio.gather(*[reader.done for reader in readers])
        for reader in readers:
            reader.close()
        return [delay for reader in readers for delay in reader.delays or []]

    return repeat
