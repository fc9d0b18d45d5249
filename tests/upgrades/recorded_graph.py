"""The graph whose runs are recorded: something of everything that an entry can hold.

It must stay as it is, for the recordings tell of its nodes. A later release that can more gets a graph of its own.
"""

import asyncio
import datetime
from typing import Any

from pydantic import BaseModel

from ropewalk import (
    END,
    START,
    Context,
    Graph,
    GraphState,
    History,
    Incremental,
    LastValue,
    Reduced,
    Retry,
    Send,
    Token,
    merge_by_id,
)


class Note(BaseModel):
    id: str
    text: str


class Recorded(GraphState):
    mode: LastValue[str] = ""
    log: History[str]
    count: Incremental[int] = 0
    at: LastValue[datetime.datetime | None] = None
    meta: LastValue[dict[str, Any]] = {}
    notes: Reduced[list[Note], merge_by_id] = []
    pair: LastValue[tuple[int, str]] = (0, "")
    names: LastValue[set[str]] = set()


def draw(store: Any, broken: bool = True) -> Graph[Recorded]:
    """Draw the graph; ``broken`` makes runs of the modes failed, mended, running and taken stop where they did."""
    graph = Graph(Recorded, store=store, name="recorded")

    @graph.node
    async def load(state: Recorded, ctx: Context) -> dict[str, Any]:
        ctx.emit(Token("load"))
        ctx.emit(Token("ing"))
        state.log.append("in place")
        state.log.append("ünïcode ✓")
        state.meta["nested"] = {"list": [1, 2.5, None, True, "x"]}
        state.names = {"ann"}
        moment = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
        return {"log": "load", "count": 2, "at": moment, "notes": [Note(id="1", text="one")], "pair": (1, "x")}

    @graph.node(retry=Retry(attempts=3, backoff=0))
    async def flaky(ctx: Context) -> dict[str, Any]:
        kept = await ctx.step("kept", lambda: {"tried": 1})
        if ctx.attempt == 1:
            raise ConnectionError("down")
        return {"log": f"flaky {kept['tried']}", "notes": [Note(id="1", text="ONE"), Note(id="2", text="two")]}

    @graph.node
    async def work(state: Recorded, item: Note, index: int) -> dict[str, Any]:
        if broken and state.mode in ("running", "taken") and index == 1:
            await asyncio.Event().wait()
        return {"log": f"work {index} {item.text}", "count": 1}

    @graph.node
    async def sent(item: int) -> dict[str, Any]:
        return {"log": f"sent {item}"}

    @graph.subgraph()
    def review() -> Graph[Recorded]:
        inner = Graph(Recorded)

        @inner.node(interrupt="before")
        async def look(state: Recorded) -> dict[str, Any]:
            if broken and state.mode in ("failed", "mended"):
                raise ValueError("cannot look")
            return {"log": "look"}

        @inner.node
        async def ask(ctx: Context) -> dict[str, Any]:
            first = await ctx.ask({"question": "first?"})
            second = await ctx.ask("second?", kind="approval")
            return {"log": f"{first} {second}"}

        return inner.add_edge(START, "look").add_edge("look", "ask").add_edge("ask", END)

    @graph.node(interrupt="after")
    async def twice(index: int) -> dict[str, Any]:
        return {"log": f"twice {index}"}

    @graph.node
    async def pack(state: Recorded) -> None:
        del state.log[0]

    @graph.node
    async def decide(state: Recorded) -> str:
        return "finish" if state.count < 100 else "pack"

    @graph.node
    async def finish(state: Recorded) -> dict[str, Any]:
        return {"log": "finish"}

    graph.add_edge(START, "load").add_edge("load", "flaky")
    notes = [Note(id="a", text="first"), Note(id="b", text="second")]
    graph.add_map_edge("load", "work", "review", over=lambda: notes)
    graph.add_router_edge("flaky", lambda: [Send("sent", 1), Send("sent", 2)], routes=["sent"])
    graph.add_edge("sent", "review")
    graph.add_repeating_edge("review", "twice", "pack", repeat=2)
    graph.add_router_edge("pack", "decide")
    return graph.add_edge("finish", END)
