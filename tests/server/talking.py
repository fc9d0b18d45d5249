"""Graphs that the tests of chat doors talk to; drawn anew by each call."""

import asyncio
from typing import Any

from pydantic import BaseModel, Field

from ropewalk import (
    END,
    START,
    Context,
    Graph,
    GraphState,
    History,
    ModelRequest,
    ScriptedModel,
    ScriptedReply,
    Token,
    ToolCall,
    ToolContext,
    ToolGraph,
    ToolLoopOptions,
    tool,
)


class Conversation(GraphState):
    messages: History[dict[str, Any]] = Field(default_factory=list)
    seen: int = 0


def echo(name: str = "echo", seconds: float = 0.002) -> Graph[Conversation]:
    """Says back what it was told, word by word."""
    graph = Graph(Conversation, name=name)

    @graph.node
    async def say(state: Conversation, ctx: Context) -> dict[str, Any]:
        words = f"You said: {state.messages[-1]['content']}".split(" ")
        for i, word in enumerate(words):
            ctx.emit(Token(word if not i else f" {word}"))
            await asyncio.sleep(seconds)
        return {"messages": {"role": "assistant", "content": " ".join(words)}, "seen": len(state.messages)}

    return graph.add_edge(START, "say").add_edge("say", END)


def mute() -> Graph[Conversation]:
    """Answers without a token."""
    graph = Graph(Conversation, name="mute")
    answer = {"messages": {"role": "assistant", "content": "In one piece."}}
    graph.add_node(lambda state: answer, name="say")
    return graph.add_edge(START, "say").add_edge("say", END)


def broken() -> Graph[Conversation]:
    """Says a word and fails."""
    graph = Graph(Conversation, name="broken")

    @graph.node
    async def say(ctx: Context) -> None:
        ctx.emit(Token("Well"))
        await asyncio.sleep(0.01)
        raise ValueError("secret-of-the-node")

    return graph.add_edge(START, "say").add_edge("say", END)


def clerk() -> Graph[Conversation]:
    """A plain node that asks twice: each answer lets it begin anew, and say again what it had said."""
    graph = Graph(Conversation, name="clerk")

    @graph.node
    async def send(ctx: Context) -> dict[str, Any]:
        ctx.emit(Token("I will write to Ann."))
        await asyncio.sleep(0.01)
        if await ctx.ask({"letter": "to Ann"}, name="may I", kind="approval") is not True:
            return {"messages": {"role": "assistant", "content": "Not sent."}}
        name = await ctx.ask("Who signs it?", name="name")
        return {"messages": {"role": "assistant", "content": f"Sent, signed by {name}."}}

    return graph.add_edge(START, "send").add_edge("send", END)


@tool(pause_before_execution=True)
async def send_letter(to: str, ctx: ToolContext) -> str:
    """Send a letter."""
    ctx.emit({"envelope": to})
    return f"signed by {await ctx.ask('Who signs it?', name='name')}"


@tool
def look_up(name: str) -> str:
    """Look up an address."""
    if name == "Nobody":
        raise LookupError("no such person")
    return f"{name}, Rope Street 7"


def mailer(name: str = "mailer") -> ToolGraph[Any]:
    """A tool loop: the model wants to send a letter; a person is asked first, and the tool asks for a name as well."""
    return _loop(name, [send_letter], _mails)


def finder(name: str = "finder", seconds: float = 0.0) -> ToolGraph[Any]:
    """A tool loop: the model looks up who is named, thinking and talking meanwhile; ``seconds`` between two words."""
    return _loop(name, [look_up], lambda request: _finds(request, seconds))


def _loop(name: str, tools: list[Any], answers: Any) -> ToolGraph[Any]:
    graph: ToolGraph[Any] = ToolGraph(name)
    options = ToolLoopOptions(stream=True)
    graph.add_tool_node("agent", tools, ScriptedModel(answers, name="scripted-1"), options)
    return graph.add_edge(START, "agent").add_edge("agent", END)


def _mails(request: ModelRequest) -> Any:
    last = request.messages[-1]
    if last.role != "tool":
        return ["I will write to Ann.", ToolCall("send_letter", {"to": "Ann"})]
    if last.is_error:
        return f"Not sent: {last.text.partition('Reason: ')[2] or None}"
    return f"Sent, {last.text}."


def _finds(request: ModelRequest, seconds: float) -> Any:
    last = request.messages[-1]
    if last.role != "tool":
        calls = [ToolCall("look_up", {"name": name}) for name in last.text.split(" and ")]
        return ScriptedReply(text="Let me look.", tool_calls=calls, thinking="who is it?", delay_seconds=seconds)
    found = [message.text for message in request.messages if message.role == "tool"]
    return ScriptedReply(text=f"They live at {'; '.join(found)}.", delay_seconds=seconds)


@tool(pause_after_execution=True)
def weigh(what: str) -> int:
    """Weigh something."""
    return len(what)


@tool(pause_before_execution=True, approval_seconds=0.05)
def hurry(what: str) -> str:
    """Do something that has to be approved at once."""
    return f"{what} done"


@tool(effects="once", timeout=0.05)
async def transfer(amount: int) -> str:
    """Move money, and hang."""
    await asyncio.sleep(60)
    return "never told"


@tool(pause_before_execution=True)
def burn(letter: str) -> str:
    """Burn a letter."""
    return f"{letter} is ashes"


class Verdict(BaseModel):
    """What a judge says."""

    guilty: bool
    years: int


def judge(name: str = "judge") -> ToolGraph[Any]:
    """Answers with a structure and no text."""
    graph: ToolGraph[Any] = ToolGraph(name)
    options = ToolLoopOptions(output_mode="tool")
    model = ScriptedModel(lambda _: ToolCall("final_answer", {"guilty": True, "years": 3}))
    graph.add_tool_node("agent", [], model, options, output_schema=Verdict)
    return graph.add_edge(START, "agent").add_edge("agent", END)


def handyman(name: str = "handyman") -> ToolGraph[Any]:
    """Calls the tool that it is told to, ``weigh feather``, or several with "and"; then tells what became of it."""
    return _loop(name, [weigh, hurry, transfer, burn], _works)


def _works(request: ModelRequest) -> Any:
    last = request.messages[-1]
    if last.role != "tool":
        words = [part.split(" ", 1) for part in last.text.split(" and ")]
        fields = {"weigh": "what", "hurry": "what", "transfer": "amount", "burn": "letter"}
        return [ToolCall(do, {fields[do]: int(it) if it.isdigit() else it}) for do, it in words]
    since = [message for message in request.messages if message.role != "system"]
    told: list[str] = []
    while since and since[-1].role == "tool":
        told.insert(0, since.pop().text)
    return f"I heard: {'; '.join(told)}"
