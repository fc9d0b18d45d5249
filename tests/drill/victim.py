"""What the drill kills: a process that drives one run on a SQLite file and witnesses every effect in a file."""

import asyncio
import os
import sys
from pathlib import Path

from ropewalk import END, START, Context, Graph, GraphState, History, Incremental

WIDE = 8
ROUNDS = 20


class Work(GraphState):
    log: History[str]
    rounds: Incremental[int] = 0


def drawn(folder: Path) -> Graph[Work]:
    """A map, a fork with an uneven branch, a loop, and a `ctx.step` inside each map step."""
    graph = Graph(Work, store=f"sqlite:///{folder}/runs.db")

    def witness(line: str) -> None:
        file = os.open(folder / "witness", os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        os.write(file, f"{line}\n".encode())
        os.fsync(file)
        os.close(file)

    def effect(key: str) -> str:
        witness(f"effect {key}")
        return key

    @graph.node
    async def split(ctx: Context) -> dict[str, object]:
        witness(f"step {ctx.idempotency_key} {ctx.attempt}")
        return {"log": "split"}

    @graph.node
    async def work(item: int, ctx: Context) -> dict[str, object]:
        witness(f"step {ctx.idempotency_key} {ctx.attempt}")
        await ctx.step("first", effect, f"{ctx.idempotency_key}/first")
        await asyncio.sleep(0.001 * (item % 3))
        await ctx.step("second", effect, f"{ctx.idempotency_key}/second")
        return {"log": f"work {item}"}

    @graph.node
    async def left(ctx: Context) -> dict[str, object]:
        witness(f"step {ctx.idempotency_key} {ctx.attempt}")
        return {"log": "left"}

    @graph.node
    def right(ctx: Context) -> dict[str, object]:
        witness(f"step {ctx.idempotency_key} {ctx.attempt}")
        return {"log": "right"}

    @graph.node
    async def far(ctx: Context) -> dict[str, object]:
        witness(f"step {ctx.idempotency_key} {ctx.attempt}")
        await asyncio.sleep(0.002)
        return {"log": "far"}

    @graph.node
    async def join(ctx: Context) -> dict[str, object]:
        witness(f"step {ctx.idempotency_key} {ctx.attempt}")
        return {"log": "join", "rounds": 1}

    graph.add_edge(START, "split").add_map_edge("split", "work", "left", over=lambda: range(WIDE))
    graph.add_edge("split", "right").add_edge("right", "far").add_edge("left", "join").add_edge("far", "join")
    return graph.add_router_edge(
        "join", lambda state: END if state.rounds >= ROUNDS else "split", routes=["split", END]
    )


async def main(folder: Path) -> None:
    graph = drawn(folder)
    begun = folder / "begun"
    if begun.exists():
        run = graph.open("r")
        await run.resume()
    else:
        run = graph.start(run_id="r")
        await run.admitted()
        begun.touch()
        print("admitted", flush=True)
    state = await run
    told = folder / "told"
    told.write_text("\n".join(state.log))
    told.rename(folder / "result")  # whole or not at all, however soon the next kill comes


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
