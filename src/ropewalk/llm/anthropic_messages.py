"""Messages: answers and streams out of Anthropic's JSON."""

from collections.abc import Iterator, Mapping

from ropewalk.contracts.model import Finish, ModelPart, Reply, TextPart, ThinkingPart, ToolCallPart, Usage
from ropewalk.llm.anthropic_request import PROVIDER, build
from ropewalk.llm.trouble import told_error
from ropewalk.llm.wire import JsonObject, Wire, count, known_finish, made_reply, read_call, unmeasured

FINISHES: Mapping[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "refusal": "refusal",
    "pause_turn": "paused",
    "model_context_window_exceeded": "context",
}
PLAIN = frozenset({"text", "tool_use"})
"""Blocks that a message can tell by itself; with any other, the blocks are echoed as they came."""


def wire() -> Wire:
    return Wire(build=build, read=read, fold=MessagesFold)


def read(body: JsonObject) -> Reply:
    """Read a message that has ended."""
    if body.get("type") == "error":
        raise told_error(body["error"])
    blocks: list[JsonObject] = body["content"]
    calls = [read_call(b["name"], b["id"], b.get("unread", b["input"])) for b in blocks if b["type"] == "tool_use"]
    special = any(block["type"] not in PLAIN for block in blocks)
    return made_reply(
        provider=PROVIDER,
        body=body,
        text="".join(block["text"] for block in blocks if block["type"] == "text"),
        calls=calls,
        finish=known_finish(body.get("stop_reason"), FINISHES),
        usage=_usage(body.get("usage")),
        echo=blocks if special and not any("unread" in block for block in blocks) else None,
    )


def _usage(told: JsonObject | None) -> Usage:
    if not told:
        return unmeasured()
    read_from_cache = count(told, "cache_read_input_tokens")
    written_to_cache = count(told, "cache_creation_input_tokens")
    return Usage(
        input_tokens=count(told, "input_tokens") + read_from_cache + written_to_cache,
        output_tokens=count(told, "output_tokens"),
        cached_tokens=read_from_cache,
        cache_write_tokens=written_to_cache,
        reasoning_tokens=count(told.get("output_tokens_details"), "thinking_tokens"),
        cost=None,
    )


class MessagesFold:
    """A stream's events: blocks that start, grow and stop, in a message that does."""

    def __init__(self) -> None:
        self.ended = False
        self._body: JsonObject = {}
        self._usage: JsonObject = {}
        self._blocks: dict[int, JsonObject] = {}
        self._pieces: dict[int, list[str]] = {}
        self._calls: list[int] = []  # indices of the blocks that are calls

    def take(self, event: JsonObject) -> Iterator[ModelPart]:
        match event.get("type"):
            case "message_start":
                self._body = {**event["message"]}
                self._count(self._body.get("usage"))
            case "content_block_start":
                yield from self._start(event["index"], {**event["content_block"]})
            case "content_block_delta":
                yield from self._grow(event["index"], event["delta"])
            case "content_block_stop":
                self._stop(event["index"])
            case "message_delta":
                self._body |= event["delta"]
                self._count(event.get("usage"))
            case "message_stop":
                self.ended = True
            case "error":
                raise told_error(event["error"])
            case _:
                pass  # pings, and what a newer API says beside the answer

    def reply(self) -> Reply:
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        return read({**self._body, "content": blocks, "usage": self._usage})

    def _count(self, usage: JsonObject | None) -> None:
        """The counts are totals so far: a later one replaces an earlier one."""
        self._usage |= {key: value for key, value in (usage or {}).items() if value is not None}

    def _start(self, index: int, block: JsonObject) -> Iterator[ModelPart]:
        self._blocks[index], self._pieces[index] = block, []
        if block["type"] == "tool_use":
            self._calls.append(index)
            yield ToolCallPart(len(self._calls) - 1, block["id"], block["name"], "")

    def _grow(self, index: int, delta: JsonObject) -> Iterator[ModelPart]:
        block = self._blocks[index]
        match delta["type"]:
            case "text_delta":
                self._pieces[index].append(delta["text"])
                yield TextPart(delta["text"])
            case "thinking_delta":
                self._pieces[index].append(delta["thinking"])
                yield ThinkingPart(delta["thinking"])
            case "signature_delta":
                block["signature"] = delta["signature"]
            case "input_json_delta":
                self._pieces[index].append(delta["partial_json"])
                if block["type"] == "tool_use":
                    position = self._calls.index(index)
                    yield ToolCallPart(position, block["id"], block["name"], delta["partial_json"])
            case _:
                pass  # citations and the like

    def _stop(self, index: int) -> None:
        block, text = self._blocks[index], "".join(self._pieces[index])
        if block["type"] in ("text", "thinking"):
            block[block["type"]] = block.get(block["type"], "") + text
        elif text:
            call = read_call("", "", text)
            if call.invalid is None:
                block["input"] = call.arguments
            else:
                block["unread"] = text
