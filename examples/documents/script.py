"""Thinks for the clerk where there is no model: from what was said and found so far, what to do next.

1. Search for the words of the question, and read the two documents that have most of them.
2. Search for the names that stand beside them there, and read two documents that have most of those.
3. Publish the passages that say most; if nothing was found, say so.

It sees what a model sees, the conversation and nothing else, and it remembers nothing: whoever goes on with a run that
was killed goes on with its thoughts.
"""

import json
from collections import Counter
from dataclasses import dataclass, field

from ropewalk import LLMMessage, ModelRequest, ScriptedReply, ToolCall

from .searching import Place, best_passages, names_in, telling_words

_MOST_WORDS, _MOST_NAMES, _READ_AT_ONCE, _READ_IN_ALL, _MOST_PASSAGES = 5, 3, 2, 4, 4


@dataclass(kw_only=True)
class Known:
    """What the conversation tells."""

    question: str = ""
    searched: list[str] = field(default_factory=list[str])
    places: list[Place] = field(default_factory=list[Place])
    new_places: list[Place] = field(default_factory=list[Place])
    """Found since a document was read."""
    tried: list[str] = field(default_factory=list[str])
    """Documents that were asked for."""
    texts: dict[str, str] = field(default_factory=dict[str, str])
    published: str | None = None
    """What became of the answer, in the words that the model is told."""
    is_refused: bool = False

    @property
    def unread(self) -> list[str]:
        """The documents that were found and not read, those first that the newest searches found in most places."""
        new, old = (Counter(place.file for place in places) for places in (self.new_places, self.places))
        return [file for file in sorted(old, key=lambda file: (-new[file], -old[file])) if file not in self.tried]


def next_move(request: ModelRequest) -> ScriptedReply:
    """Return what a model would: calls of tools, or the last word."""
    known = _known(request.messages)
    words = [word for word in telling_words(known.question)[:_MOST_WORDS] if word not in known.searched]
    if known.published is not None:
        return _said(_last_word(known))
    if words and not known.tried:
        return _calls("search", "words", words)
    names = _names(known)
    if names and len(known.tried) == _READ_AT_ONCE:
        return _calls("search", "words", names)
    if known.unread and len(known.tried) < _READ_IN_ALL:
        return _calls("read", "file", known.unread[:_READ_AT_ONCE])
    best = best_passages(known.texts, known.searched, _MOST_PASSAGES)
    if not best:
        return _said(f"The documents say nothing of it: I looked for {', '.join(known.searched) or 'nothing'}.")
    told = "\n".join(f"- {passage} (`{file}`)" for file, passage in best)
    sources = list(dict.fromkeys(file for file, _ in best))
    return _reply(calls=[ToolCall("publish", {"answer": f"The documents say:\n\n{told}", "sources": sources})])


def _known(messages: tuple[LLMMessage, ...]) -> Known:
    known = Known(question=next((message.text for message in messages if message.role == "user"), ""))
    calls = {call.id: call for message in messages for call in message.tool_calls or ()}
    for message in messages:
        if message.role == "tool" and message.tool_call_id in calls:
            _learn(known, calls[message.tool_call_id], message)
    return known


def _learn(known: Known, call: ToolCall, result: LLMMessage) -> None:
    if call.name == "publish":
        known.published, known.is_refused = result.text, result.is_error
    elif call.name == "read":
        known.tried.append(call.arguments["file"])
        known.new_places = []
        known.texts |= {} if result.is_error else {call.arguments["file"]: result.text}
    elif call.name == "search":
        known.searched.append(call.arguments["words"])
        found = [] if result.is_error else [Place(**place) for place in json.loads(result.text)]
        known.places += found
        known.new_places += found


def _names(known: Known) -> list[str]:
    """Return names beside what was found in the documents that were read, and that were not looked for yet."""
    of_read = [place.text for place in known.places if place.file in known.texts]
    found = dict.fromkeys(name for text in of_read for name in names_in(text))
    return [name for name in found if name not in known.searched][: max(0, _MOST_NAMES - _followed(known))]


def _followed(known: Known) -> int:
    return len([word for word in known.searched if word not in telling_words(known.question)])


def _last_word(known: Known) -> str:
    if known.is_refused:
        return f"The answer was not published. {known.published}"
    return f"The answer is published; it rests on {len(known.texts)} documents that I read."


def _calls(tool: str, parameter: str, values: list[str]) -> ScriptedReply:
    return _reply(calls=[ToolCall(tool, {parameter: value}) for value in values])


def _said(text: str) -> ScriptedReply:
    return _reply(text)


def _reply(text: str = "", calls: list[ToolCall] | None = None) -> ScriptedReply:
    return ScriptedReply(text=text, tool_calls=calls or (), delay_seconds=0.005)  # so that one sees it come
