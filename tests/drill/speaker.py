"""A server whose runs speak for the soak: many small steps, each saying numbered words. Prints its URL."""

import asyncio
import sys
from typing import Any

from ropewalk import END, START, Context, Graph, GraphState, Incremental, Token
from ropewalk.doors import Doors
from ropewalk.runtime import open_store
from ropewalk.settings import DoorSettings

WORDS = 20
"""What one step says."""


class Talk(GraphState):
    said: Incremental[int] = 0
    words: int = 0
    pause_seconds: float = 0.1


talk = Graph(Talk, name="talk", execution_timeout=None, max_node_iterations=1_000_000)


@talk.node
async def say(state: Talk, ctx: Context) -> dict[str, Any]:
    for word in range(state.said, state.said + WORDS):
        ctx.emit(Token(f"{word} "))
        await asyncio.sleep(state.pause_seconds)
    return {"said": WORDS}


talk.add_edge(START, "say")
talk.add_router_edge("say", lambda state: "say" if state.said < state.words else END, routes=["say", END])


async def main(store_url: str) -> None:
    talk.use_store(open_store(store_url))
    doors = Doors([talk], DoorSettings(), aliases={})
    listening = doors.open_socket("127.0.0.1", 0)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    await doors.serve(listening)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
