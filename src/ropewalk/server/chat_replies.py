"""How a run that waits is told in a chat, and how a person's next message answers it. Pure.

A chat client knows messages and nothing else. So what a run asks stands in the assistant's message, with the words
that answer it; the next message of the user is read for them. The client sends the whole conversation each time: what
was said about waiting is taken out of it before a graph sees it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import to_json

Message = Mapping[str, Any]

NOTICE = "This run waits for you."
_ID = r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,199}/p_[0-9a-f]+"
_ANSWERS = re.compile(rf'"(approve|answer) ({_ID})')
_REPLY = re.compile(
    rf"\s*(approve|yes|y|ok|reject|no|n|answer|happened)\b[\s,.:!]*?(?:\s({_ID}))?[\s,.:]*(?:$|\s(.*))",
    re.IGNORECASE | re.DOTALL,
)
_YES = frozenset({"approve", "yes", "y", "ok"})
_LONGEST_SHOWN = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a message answers, and how."""

    run_id: str
    pause_id: str
    approve: bool | None
    """None: it is the answer to a question."""
    text: str
    """The answer, or why not; of a call that happened, its result."""
    happened: bool = False
    """A call whose outcome nobody knew did take place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unclear:
    """A message answers something, but not what."""

    known: tuple[str, ...]


def notice(run_id: str, pauses: Iterable[Mapping[str, Any]]) -> str:
    """Return what is told of a run that waits for these pauses (``id``, ``kind``, ``node``, ``payload``)."""
    told = [_asks(run_id, pause) for pause in pauses]
    return "\n\n".join([NOTICE, *told])


def _asks(run_id: str, pause: Mapping[str, Any]) -> str:
    place = f"{run_id}/{pause['id']}"
    kind, payload = pause["kind"], pause["payload"]
    if kind == "question":
        return f'{_shown(payload)}\nReply with your answer: "answer {place}" and what it is.'
    if kind == "breakpoint":
        return f'It stopped at {pause["node"]}.\nReply "approve {place}" to let it go on.'
    told = cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}
    what = _of_call(told) if "tool" in told else _shown(payload)
    reply = f'{what}\nReply "approve {place}", or "reject {place}" and why.'
    if told.get("outcome") == "unknown":
        reply += f' If it took effect: "happened {place}" and its result.'
    return reply


def _of_call(told: Mapping[str, Any]) -> str:
    """Return what is asked about a call of a tool: may it run, may its result count, what became of it."""
    call = f"The tool {told['tool']}", f"with {_shown(told.get('arguments'))}"
    if told.get("outcome") == "unknown":
        return f"{call[0]} was interrupted {call[1]}; nobody knows whether it took effect. May it run again?"
    if told.get("when") == "after":
        return f"{call[0]} has run {call[1]}: {_shown(told.get('result'))}\nMay the result be used?"
    return f"{call[0]} wants to run {call[1]}."


def _shown(payload: Any) -> str:
    text = payload if isinstance(payload, str) else to_json(payload).decode()
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + " ..."


def reply_in(messages: Sequence[Message]) -> Reply | Unclear | None:
    """Return what the newest message answers; None when it begins something new."""
    if not messages or messages[-1].get("role") != "user":
        return None
    asked = _asked_before(messages)
    return _read(text_of(messages[-1]), asked)


def _asked_before(messages: Sequence[Message]) -> dict[str, str]:
    """Return run/pause -> approve or answer, as the assistant's message before the newest one tells."""
    if len(messages) < 2 or messages[-2].get("role") != "assistant":
        return {}
    _, found, told = text_of(messages[-2]).rpartition(NOTICE)
    return {place: word for word, place in _ANSWERS.findall(told)} if found else {}


def _read(text: str, asked: Mapping[str, str]) -> Reply | Unclear | None:
    read = _REPLY.match(text)
    word, place, rest = (read[1].lower(), read[2], read[3] or "") if read else ("", None, "")
    only = next(iter(asked)) if len(asked) == 1 else None
    if only is not None and asked[only] == "answer" and (place is None or not read):
        rest = rest if word == "answer" else text
        return _reply(only, None, rest.strip())
    if read is None or (place is None and not asked):
        return None
    if place is None and only is None:
        return Unclear(known=tuple(asked))
    approve = None if word == "answer" else word in _YES
    return _reply(cast("str", place or only), approve, rest.strip(), happened=word == "happened")


def _reply(place: str, approve: bool | None, text: str, *, happened: bool = False) -> Reply:
    run_id, _, pause_id = place.rpartition("/")
    return Reply(run_id=run_id, pause_id=pause_id, approve=approve, text=text, happened=happened)


def value_of(reply: Reply, payload: Any) -> Any:
    """Return the answer as the run gets it: text for a question, yes or no else; a tool's with the reason, if any."""
    if reply.approve is None:
        return reply.text
    if reply.happened:
        return {"happened": True, "result": reply.text or None}
    if not reply.approve and reply.text and isinstance(payload, dict) and "tool" in payload:
        return {"approve": False, "reason": reply.text}
    return reply.approve


def without_notices(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return the conversation as a graph sees it: without what was said about waiting, and the answers to that."""
    kept: list[dict[str, Any]] = []
    for at, message in enumerate(messages):
        if message.get("role") == "assistant" and NOTICE in text_of(message):
            before = text_of(message).rpartition(NOTICE)[0].strip()
            if before:
                kept.append({**message, "content": before})
            continue
        if isinstance(reply_in(messages[: at + 1]), Reply):
            continue
        kept.append(_plain(message))
    return kept


def said_before(messages: Sequence[Message]) -> str:
    """Return what was said of a run that the newest message answers: all of it, however often it has asked."""
    said: list[str] = []
    at = len(messages) - 2
    while at >= 0 and messages[at].get("role") == "assistant" and NOTICE in text_of(messages[at]):
        said.append(text_of(messages[at]).rpartition(NOTICE)[0].removesuffix("\n\n"))
        at -= 2
    return "".join(reversed(said))


def _plain(message: Message) -> dict[str, Any]:
    """Return a message without what is null, and with plain text where its parts are text alone."""
    kept = {key: value for key, value in message.items() if value is not None}
    parts = message.get("content")
    if isinstance(parts, list) and all(part.get("type") == "text" for part in _parts(parts)):
        kept["content"] = text_of(message)
    if kept.get("role") == "developer":
        kept["role"] = "system"
    return kept


def text_of(message: Message) -> str:
    """Return a message's text, whether its content is text or parts."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in _parts(content) if part.get("type") == "text")
    return content if isinstance(content, str) else ""


def _parts(content: Any) -> list[dict[str, Any]]:
    return [cast("dict[str, Any]", part) for part in content if isinstance(part, dict)]


def answer_in(state: Mapping[str, Any], given: int) -> str | None:
    """Return the newest assistant's message of a state that began with ``given`` messages, or the final output of a
    tool loop whose last message has no text; None when there is neither.
    """
    messages = state.get("messages")
    new = cast("list[Any]", messages)[given:] if isinstance(messages, list) else []
    for message in reversed(new):
        if isinstance(message, dict) and cast("dict[str, Any]", message).get("role") == "assistant":
            return text_of(cast("dict[str, Any]", message)) or _output_of(state)
    return None


def _output_of(state: Mapping[str, Any]) -> str | None:
    output = state.get("final_output")
    return None if output is None else output if isinstance(output, str) else to_json(output).decode()
