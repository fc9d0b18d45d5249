"""What every provider demands of a conversation before it reads a word of it."""

from collections import Counter
from collections.abc import Iterator, Sequence

from ropewalk.contracts.messages import LLMMessage
from ropewalk.contracts.model import ModelRequest
from ropewalk.errors import ConversationInvalid, Problem, did_you_mean

FREE_CHOICES = ("auto", "none", "required")


def check_request(request: ModelRequest) -> None:
    """Raise `ConversationInvalid` if no provider would take this request; look before every send."""
    problems = [*conversation_problems(request.messages), *_tool_problems(request)]
    if problems:
        raise ConversationInvalid(problems)


def conversation_problems(messages: Sequence[LLMMessage]) -> list[Problem]:
    """Return every mistake: each tool call is answered once, before any other message, and nothing else is."""
    if not any(message.role != "system" for message in messages):
        return [Problem("There is nothing to answer.", "Add a message of role user.")]
    found: list[Problem] = []
    open_calls: dict[str, str] = {}  # id -> where it was asked and what for; of the assistant message before
    answered: set[str] = set()
    for number, message in enumerate(messages):
        if message.role == "tool":
            found += _result_problems(number, message, open_calls, answered)
            continue
        found += _unanswered(open_calls, before=f"message {number} ({message.role})")
        open_calls, answered = {}, set()
        if message.tool_calls:
            found += _call_problems(number, message)
            open_calls = {call.id: f"message {number} to {call.name!r}" for call in message.tool_calls}
    return [*found, *_unanswered(open_calls, before="the end")]


def _unanswered(open_calls: dict[str, str], *, before: str) -> Iterator[Problem]:
    for call_id, what in open_calls.items():
        yield Problem(
            f"The call {call_id!r} of {what} has no result before {before}.",
            "Put a message of role tool with this tool_call_id right behind the call; is_error=True if it failed.",
        )


def _result_problems(
    number: int, message: LLMMessage, open_calls: dict[str, str], answered: set[str]
) -> Iterator[Problem]:
    call_id = message.tool_call_id or ""
    if call_id in open_calls:
        answered.add(call_id)
        del open_calls[call_id]
    elif call_id in answered:
        yield Problem(f"Message {number} answers the call {call_id!r} a second time.", "Keep one result of each call.")
    else:
        yield Problem(
            f"Message {number} answers the call {message.tool_call_id!r}, which the assistant did not just make."
            f"{did_you_mean(call_id, open_calls)}",
            "Put it right behind the assistant's message that made the call, or drop it.",
        )


def _call_problems(number: int, message: LLMMessage) -> Iterator[Problem]:
    calls = message.tool_calls or []
    if message.role != "assistant":
        yield Problem(f"Message {number} of role {message.role} has tool calls.", "Only an assistant calls tools.")
    for call in calls:
        if not call.id or not call.name:
            yield Problem(f"A call of message {number} has no id or no name: {call.name!r}, {call.id!r}.", "Give both.")
    for call_id, count in Counter(call.id for call in calls).items():
        if count > 1 and call_id:
            yield Problem(f"{count} calls of message {number} have the id {call_id!r}.", "Give each its own.")


def _tool_problems(request: ModelRequest) -> Iterator[Problem]:
    names = Counter(tool.name for tool in request.tools)
    for name, count in names.items():
        if count > 1:
            yield Problem(f"{count} tools are called {name!r}.", "Give each a name of its own.")
    choice = request.tool_choice
    if choice is not None and choice not in FREE_CHOICES and choice not in names:
        yield Problem(
            f"tool_choice is {choice!r}, and no tool has this name.{did_you_mean(choice, names)}",
            f"Use the name of a tool, or one of {', '.join(FREE_CHOICES)}.",
        )
    if choice == "required" and not names:
        yield Problem("tool_choice is 'required' and there are no tools.", "Pass tools, or leave tool_choice out.")
