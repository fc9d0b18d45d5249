"""The clerk: an agent that answers a question about the documents with its tools, and asks before it publishes.

Who thinks for it: the model that the environment names (`ROPEWALK_MODEL`, or the one whose key is set), else the script
in `script.py`, which needs neither key nor network. The loop, its log and its approvals are the same for all.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from ropewalk import Model, ScriptedModel, ToolContext, ToolLoopOptions, tool
from ropewalk.errors import did_you_mean
from ropewalk.runtime import default_model

from .desk import Desk
from .files import note_call, write_answer
from .reading import text_of
from .script import next_move
from .searching import Place, places

SCRIPTED = "scripted"
_LONGEST = 6_000
"""Characters that one `read` returns."""

INSTRUCTIONS = """\
You answer one question about the documents of a folder, from what your tools show you and from nothing else.
1. Search for the words that matter, several searches at once. Follow up what you find: names, places, orders.
2. Read the documents that matter.
3. Call publish once, with an answer of a few sentences and the names of the files it rests on.
A person decides whether it is published. Then say in one or two sentences what the answer is, and whether it was \
published; if not, why. If the documents do not tell, say so and publish nothing."""

OPTIONS = ToolLoopOptions(max_iterations=20, max_tool_calls=60, stream=True)


@tool("Search all documents for words. Returns the lines that have them, the best first.", effects="none")
async def search(
    words: Annotated[str, "one or several words; a line with any of them is found"], *, state: Desk, ctx: ToolContext
) -> list[Place]:
    await asyncio.sleep(state.pace)
    found = places(await asyncio.to_thread(_texts, state), words)
    note_call(state.out, state.edition, ctx.idempotency_key, "search", words)
    return found


@tool("Read a document.", effects="none")
async def read(file: Annotated[str, "its name, as search returns it"], *, state: Desk, ctx: ToolContext) -> str:
    await asyncio.sleep(state.pace)
    if file not in state.files:  # only what the run has found: a model may ask for anything
        raise ValueError(f"There is no document {file!r}.{did_you_mean(file, state.files)}")
    text = await asyncio.to_thread(text_of, Path(state.folder), file)
    note_call(state.out, state.edition, ctx.idempotency_key, "read", file)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}\n... ({len(text):,} characters in all)"


@tool(
    "Publish the answer, when it is complete. A person is asked first.",
    pause_before_execution=True,
    effects="idempotent",  # done twice it is done once: the same file, whole
)
async def publish(
    answer: str, sources: Annotated[list[str], "names of the documents it rests on"], *, state: Desk, ctx: ToolContext
) -> str:
    cited = "".join(f"- `{source}`\n" for source in sources)
    page = f"# {state.question}\n\n{answer}\n\n## Sources\n\n{cited}"
    state.answer_file = await asyncio.to_thread(write_answer, state.out, state.edition, page)
    note_call(state.out, state.edition, ctx.idempotency_key, "publish", ", ".join(sources))
    return "It is published."


TOOLS = (search, read, publish)


def model_to_ask() -> Model | str:
    """Return who thinks for the clerk."""
    name = default_model()
    return ScriptedModel(next_move, name=SCRIPTED) if name in (None, SCRIPTED) else name


def model_in_words(environ: Mapping[str, str]) -> str:
    """Say which model it is, and why this one."""
    name = default_model(environ)
    if name is None:
        return "a script, without a model: OPENAI_API_KEY, ANTHROPIC_API_KEY or ROPEWALK_MODEL would ask a real one"
    given = "ROPEWALK_MODEL"
    if not environ.get(given):
        given = "OPENAI_API_KEY" if name.startswith("openai") else "ANTHROPIC_API_KEY"
    why = f"{given} is set"
    return f"a script, without a model: {why} to it" if name == SCRIPTED else f"{name}, because {why}"


def _texts(state: Desk) -> dict[str, str]:
    return {file: text_of(Path(state.folder), file) for file in state.files}
