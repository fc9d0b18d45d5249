"""Our doors with graphs for measuring. Prints its URL.

POST /go lets the node go that waits for it, GET /driving tells how many runs are under way.
"""

import asyncio
import sys
import time

from ropewalk import END, START, Context, Graph, GraphState, Token
from ropewalk.cli.garbage import what_is_here_stays
from ropewalk.doors import Doors
from ropewalk.runtime import open_store
from ropewalk.settings import DoorSettings

go = asyncio.Event()


class Say(GraphState):
    tokens: int = 0
    pause_seconds: float = 0.0


class Add(GraphState):
    n: int = 0


say = Graph(Say, name="say", execution_timeout=None)


@say.node
async def tell(state: Say, ctx: Context) -> None:
    await go.wait()
    pause = state.pause_seconds
    for n in range(state.tokens):
        ctx.emit(Token(f"{time.perf_counter():.6f} some words of a token "))
        if pause or n % 10 == 0:  # the bare server's does not wait between two tokens either
            await asyncio.sleep(pause)


say.add_edge(START, "tell").add_edge("tell", END)
add = Graph(Add, name="add")


@add.node
async def one(state: Add) -> dict[str, int]:
    return {"n": state.n + 1}


add.add_edge(START, "one").add_edge("one", END)


async def main(store_url: str) -> None:
    store = open_store(store_url)
    for graph in (say, add):
        graph.use_store(store)
    doors = Doors([say, add], DoorSettings(), aliases={})

    @doors.app.post("/go")
    async def let_go() -> None:
        go.set()
        await asyncio.sleep(0)
        go.clear()

    @doors.app.get("/driving")
    async def driving() -> int:
        return add.desk.driving

    listening = doors.open_socket("127.0.0.1", 0)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    with what_is_here_stays():  # as `ropewalk serve` does
        await doors.serve(listening)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
