"""The workflow: read every document, sort them by kind, write a digest, ask a person, publish it.

    START ─> find ─> read (for each file) ─> sort ─> by_kind ─┬─> invoices ───┐          ┌─> approve ─┬─> publish ─> END
                                                              ├─> letters ────┤          │            └─> END
                                                              ├─> ...         ├─> write ─┤
                                                              └─> unreadable ─┘          └─> clerk ─> END

The clerk is an agent: beside the digest it answers a question about the documents, with tools, and asks before it
publishes (`clerk.py`). It is a node like the others.

Every finished step is in the log before the next one starts, and so is every reply and every call of the clerk. Kill
the process wherever you like: whoever opens the run again goes on behind the last of them, and nothing finished is done
again.
"""

import asyncio
from pathlib import Path
from typing import Literal

from ropewalk import END, START, Context, Token, ToolGraph

from . import clerk, digest
from .desk import Desk
from .digest import Section
from .files import publish_draft, texts_in, write_draft
from .reading import Document, read_document

graph = ToolGraph("documents", state_class=Desk, max_concurrency=3, execution_timeout=3600)


@graph.node
def find(state: Desk) -> dict[str, tuple[str, ...]]:
    """List the files. From here on the run knows what it has to do, whatever happens to the folder."""
    files, left_out = texts_in(Path(state.folder), without=Path(state.out))
    return {"files": files, "left_out": left_out}


def each_file(state: Desk) -> tuple[str, ...]:
    """Say what to run `read` for."""
    return state.files


@graph.node
async def read(state: Desk, item: str) -> dict[str, Document]:
    """Read one file. The map edge below runs this once per file, side by side, and joins the results in their order."""
    await asyncio.sleep(state.pace)
    return {"documents": await asyncio.to_thread(read_document, Path(state.folder), item)}


@graph.node
def sort(state: Desk) -> None:
    """Give each document the words that tell it from all the others: what a node changes in place is written too."""
    digest.add_keywords(state.documents)


Branch = Literal["invoices", "letters", "minutes", "reports", "others", "unreadable"]


def by_kind(state: Desk) -> list[Branch]:
    """Choose the branches that have something to do; those not chosen are not waited for."""
    return digest.branches(state.documents)


@graph.node
def invoices(state: Desk) -> dict[str, Section]:
    """Add up what is to be paid, and check each sum."""
    return {"sections": digest.invoices(state.documents)}


@graph.node
def letters(state: Desk) -> dict[str, Section]:
    """Say who wants what by when."""
    return {"sections": digest.letters(state.documents)}


@graph.node
def minutes(state: Desk) -> dict[str, Section]:
    """Collect decisions and actions."""
    return {"sections": digest.minutes(state.documents)}


@graph.node
def reports(state: Desk) -> dict[str, Section]:
    """Say what each report is about, and how hard it is to read."""
    return {"sections": digest.reports(state.documents)}


@graph.node
def others(state: Desk) -> dict[str, Section]:
    """Poems, recipes, and whatever else there is."""
    return {"sections": digest.others(state.documents)}


@graph.node
def unreadable(state: Desk) -> dict[str, Section]:
    """List what a person has to look at."""
    return {"sections": digest.unreadable(state.documents)}


@graph.node
async def write(state: Desk, ctx: Context) -> dict[str, str]:
    """Write the digest. The branches join here in the order of their edges, whichever ended first."""
    summary = digest.summary(state.documents)
    for word in summary.split(" "):
        ctx.emit(Token(word + " "))  # readers see it at once, as they would see a model's tokens
        await asyncio.sleep(state.pace / 6)
    page = digest.page(state.folder, summary, state.sections, state.left_out)
    draft = await ctx.step("write the draft", write_draft, state.out, state.edition, page)
    return {"summary": summary, "draft": draft}


def after_write(state: Desk) -> list[Literal["approve", "clerk"]]:
    """Ask about the digest; beside that, let the clerk look for the answer, if there is a question."""
    return ["approve", "clerk"] if state.question else ["approve"]


@graph.node
async def approve(state: Desk, ctx: Context) -> dict[str, bool]:
    """Ask a person. Until the answer comes, in a minute or a month, the run holds no memory and no process."""
    answer = await ctx.ask({"question": "Publish this digest?", "draft": state.draft})
    return {"approved": answer is True}


def decided(state: Desk) -> Literal["publish", "__end__"]:
    """Go where the person said."""
    return "publish" if state.approved else END


@graph.node
async def publish(state: Desk, ctx: Context) -> dict[str, str]:
    """Do what must not be done twice inside `ctx.step`: its result is kept in the log."""
    return {"published": await ctx.step("publish", publish_draft, state.out, state.edition)}


def what_is_asked(state: Desk) -> str:
    """Return what the clerk is told."""
    return state.question


graph.add_tool_node(
    "clerk",
    clerk.TOOLS,
    clerk.model_to_ask(),
    clerk.OPTIONS,
    system_prompt=clerk.INSTRUCTIONS,
    prompt=what_is_asked,
    output_field="answer",
)

graph.add_edge(START, "find")
graph.add_map_edge("find", "read", "sort", over=each_file)
graph.add_router_edge("sort", by_kind)
for branch in ("invoices", "letters", "minutes", "reports", "others", "unreadable"):
    graph.add_edge(branch, "write")
graph.add_router_edge("write", after_write)
graph.add_router_edge("approve", decided)
graph.add_edge("publish", END)
graph.add_edge("clerk", END)
graph.compile()
