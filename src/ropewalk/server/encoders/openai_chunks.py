"""A run as OpenAI's chat completion chunks."""

from collections.abc import Mapping
from typing import Any

from ropewalk.server.encoders.words import Heard, Text, TextEnds, Thought

DONE = b"data: [DONE]\n\n"


class ChatChunks:
    """Makes the chunks of one completion, in order: `begin`, `say` for each thing heard, `end`."""

    def __init__(self, completion_id: str, model: str, created: int) -> None:
        self._head = {"id": completion_id, "object": "chat.completion.chunk", "created": created, "model": model}
        self.text = ""
        """All content so far."""
        self._parts = False
        """A part of the text has ended: the next one stands apart from it."""

    def begin(self) -> list[dict[str, Any]]:
        return [self._chunk({"role": "assistant", "content": ""})]

    def say(self, heard: Heard) -> list[dict[str, Any]]:
        """Return the chunks for what was heard; tools are the graph's own affair and are not told."""
        match heard:
            case Text(text=text):
                return self._content(text)
            case TextEnds():
                self._parts = bool(self.text)
                return []
            case Thought(text=text):
                return [self._chunk({"reasoning_content": text})]
            case _:
                return []

    def add(self, text: str) -> list[dict[str, Any]]:
        """Return the chunks for something that stands apart from what was said."""
        self._parts = bool(self.text)
        return self._content(text)

    def answer(self, text: str | None) -> list[dict[str, Any]]:
        """Return the chunks for what of the final answer was not said yet."""
        if not text or text.strip() in self.text:
            return []
        if self.text and text.startswith(self.text):
            self._parts = False
            return self._content(text[len(self.text) :])
        return self.add(text)

    def end(self, reason: str = "stop") -> list[dict[str, Any]]:
        return [self._chunk({}, reason)]

    def usage(self, usage: Mapping[str, float]) -> dict[str, Any]:
        """Return the chunk that tells what was used; it has no choices."""
        return {**self._head, "choices": [], "usage": usage_of(usage)}

    def _content(self, text: str) -> list[dict[str, Any]]:
        if not text:
            return []
        if self._parts:
            text, self._parts = "\n\n" + text, False
        self.text += text
        return [self._chunk({"content": text})]

    def _chunk(self, delta: Mapping[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**self._head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}


def usage_of(usage: Mapping[str, float]) -> dict[str, Any]:
    """Return what a run used up in OpenAI's words; what nobody told is 0."""
    read, written = int(usage.get("input_tokens", 0)), int(usage.get("output_tokens", 0))
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": int(usage.get("cached_tokens", 0))},
        "completion_tokens_details": {"reasoning_tokens": int(usage.get("reasoning_tokens", 0))},
    }
