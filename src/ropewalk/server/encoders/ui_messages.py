"""A run as the UI message stream of the Vercel AI SDK, version 1: what `useChat` reads."""

from collections.abc import Mapping
from typing import Any

from ropewalk.server.encoders.words import (
    Asked,
    Heard,
    OfTools,
    Stopped,
    Text,
    TextEnds,
    Thought,
    Told,
    ToolCalled,
    ToolDropped,
    ToolEnded,
    ToolTold,
    ToolWritten,
    object_of,
)

HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}
DONE = b"data: [DONE]\n\n"
_NO_RESULT = ("rejected", "expired")


class UiMessages:
    """Makes the chunks of one assistant's message, in order: `begin`, `say` for each thing heard, `end`."""

    def __init__(self, run_id: str, message_id: str, calls: Mapping[str, Any] | None = None) -> None:
        """``message_id`` is that of a message of the client which goes on, or a new one's; ``calls`` are the tool calls
        in that message, by id -> their arguments.
        """
        self._run_id = run_id
        self._message_id = message_id
        self._open: dict[tuple[str, str], str] = {}
        """(text or reasoning, node) -> id of the part that is open."""
        self._count = 0
        self._calls: dict[str, Any] = dict(calls or {})
        """Calls that have not ended, by id -> their arguments; None while they are written."""
        self.text = ""
        self.approvals: set[str] = set()
        """Pauses that were asked in the SDK's own way."""

    def begin(self) -> list[dict[str, Any]]:
        about = {"run_id": self._run_id}
        return [
            {"type": "start", "messageId": self._message_id, "messageMetadata": about},
            {"type": "start-step"},
        ]

    def say(self, heard: Heard) -> list[dict[str, Any]]:
        """Return the chunks for what was heard."""
        match heard:
            case Text(node=node, text=text):
                self.text += text
                return [*self._closed("reasoning", node), *self._piece("text", node, text)]
            case Thought(node=node, text=text):
                return self._piece("reasoning", node, text)
            case TextEnds(node=node):
                return [*self._closed("reasoning", node), *self._closed("text", node)]
            case ToolWritten() | ToolDropped() | ToolCalled() | ToolTold() | ToolEnded():
                return self._of_tools(heard)
            case Asked():
                return self._asked(heard)
            case Told(node=node, data=data):
                return [{"type": "data-custom", "data": {"node": node, "data": data}, "transient": True}]
            case Stopped():
                return self._stopped(heard)
            case _:
                return []

    def _of_tools(self, heard: OfTools) -> list[dict[str, Any]]:
        match heard:
            case ToolWritten(call_id=call_id, tool=tool, text=text):
                return self._written(call_id, tool, text)
            case ToolDropped(call_id=call_id, tool=tool):
                self._calls.pop(call_id, None)
                about = {"toolCallId": call_id, "toolName": tool, "input": None, "dynamic": True}
                return [{"type": "tool-input-error", **about, "errorText": "The model began anew."}]
            case ToolCalled(call_id=call_id, tool=tool, arguments=arguments):
                return self._called(call_id, tool, arguments)
            case ToolTold(call_id=call_id, tool=tool, data=data):
                told = {"toolCallId": call_id, "toolName": tool, "data": data}
                return [{"type": "data-tool-progress", "data": told, "transient": True}]
            case ToolEnded():
                called = self._called(heard.call_id, heard.tool, heard.arguments)
                self._calls.pop(heard.call_id)  # some servers give a later call the same id
                return [*called, _ended(heard)]

    def answer(self, text: str | None) -> list[dict[str, Any]]:
        """Return the chunks for a final answer that was not said yet."""
        if not text or text.strip() in self.text:
            return []
        return [*self._piece("text", "", text), *self._closed("text", "")]

    def notice(self, text: str) -> list[dict[str, Any]]:
        """Return the chunks for what is said of questions, for those whose client shows text alone."""
        return [*self._all_closed(), *self._piece("text", "", text)]

    def end(self, usage: Mapping[str, float]) -> list[dict[str, Any]]:
        about = {"run_id": self._run_id} | ({"usage": dict(usage)} if usage else {})
        return [*self._all_closed(), {"type": "finish-step"}, {"type": "finish", "messageMetadata": about}]

    def _piece(self, kind: str, node: str, text: str) -> list[dict[str, Any]]:
        part = self._open.get((kind, node))
        begun: list[dict[str, Any]] = []
        if part is None:
            self._count += 1
            part = self._open[kind, node] = f"{kind}_{self._count}"
            begun.append({"type": f"{kind}-start", "id": part})
        return [*begun, {"type": f"{kind}-delta", "id": part, "delta": text}]

    def _closed(self, kind: str, node: str) -> list[dict[str, Any]]:
        part = self._open.pop((kind, node), None)
        return [] if part is None else [{"type": f"{kind}-end", "id": part}]

    def _all_closed(self) -> list[dict[str, Any]]:
        return [chunk for kind, node in [*self._open] for chunk in self._closed(kind, node)]

    def _written(self, call_id: str, tool: str, text: str) -> list[dict[str, Any]]:
        begun: list[dict[str, Any]] = []
        if call_id not in self._calls:
            self._calls[call_id] = None
            begun.append({"type": "tool-input-start", "toolCallId": call_id, "toolName": tool, "dynamic": True})
        piece = {"type": "tool-input-delta", "toolCallId": call_id, "inputTextDelta": text}
        return [*begun, piece] if text else begun

    def _called(self, call_id: str, tool: str, arguments: Any) -> list[dict[str, Any]]:
        if call_id in self._calls and self._calls[call_id] == arguments:
            return []
        self._calls[call_id] = arguments
        about = {"toolCallId": call_id, "toolName": tool, "input": arguments, "dynamic": True}
        return [{"type": "tool-input-available", **about}]

    def _asked(self, asked: Asked) -> list[dict[str, Any]]:
        """Ask for a tool's approval in the SDK's own way; for all else in a data part, which says where to answer."""
        payload = object_of(asked.payload)
        call_id, pause = payload.get("call_id"), f"{self._run_id}/{asked.pause_id}"
        if asked.kind == "approval" and isinstance(call_id, str) and payload.get("when") != "after":
            called = self._called(call_id, str(payload.get("tool")), payload.get("arguments"))
            self.approvals.add(asked.pause_id)
            return [*called, {"type": "tool-approval-request", "approvalId": pause, "toolCallId": call_id}]
        about = {"run_id": self._run_id, "pause_id": asked.pause_id, "kind": asked.kind, "node": asked.node}
        return [{"type": "data-pause", "id": pause, "data": {**about, "payload": asked.payload}}]

    def _stopped(self, stopped: Stopped) -> list[dict[str, Any]]:
        if stopped.kind == "run_failed":
            return [*self._all_closed(), {"type": "error", "errorText": f"The run failed: {stopped.code or 'failed'}."}]
        if stopped.kind == "run_cancelled":
            return [*self._all_closed(), {"type": "abort", "reason": stopped.message or "the run was cancelled"}]
        return []


def _ended(ended: ToolEnded) -> dict[str, Any]:
    if ended.status == "ok":
        about = {"toolCallId": ended.call_id, "output": ended.result, "dynamic": True}
        return {"type": "tool-output-available", **about}
    if ended.status in _NO_RESULT:
        return {"type": "tool-output-denied", "toolCallId": ended.call_id}
    about = {"toolCallId": ended.call_id, "errorText": ended.error or ended.status, "dynamic": True}
    return {"type": "tool-output-error", **about}
