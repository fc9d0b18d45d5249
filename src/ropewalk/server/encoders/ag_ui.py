"""A run as events of the AG-UI protocol, version 1."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import to_json

from ropewalk.server.encoders.words import (
    Asked,
    Heard,
    OfTools,
    StepBegan,
    StepEnded,
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

_COUNTS = {
    "input_tokens": "inputTokens",
    "output_tokens": "outputTokens",
    "reasoning_tokens": "reasoningTokens",
    "cached_tokens": "cachedInputTokens",
    "cache_write_tokens": "cacheWriteInputTokens",
}
_APPROVAL_SCHEMA = {
    "type": "object",
    "properties": {
        "approve": {"type": "boolean"},
        "arguments": {"type": "object"},
        "reason": {"type": "string"},
    },
    "required": ["approve"],
}


class AgUi:
    """Makes the events of one AG-UI run, in order: `begin`, `say` for each thing heard, `end` unless it `is_over`.

    Our run goes on when it is answered; in AG-UI each stretch is a run of its own, named by the client.
    """

    def __init__(self, run_id: str, *, thread: str, run: str, calls: Iterable[str] = ()) -> None:
        """``calls`` are the ids of tool calls that the client knows of."""
        self._run_id = run_id
        self._ids = {"threadId": thread, "runId": run}
        self._messages: dict[str, str] = {}
        """Node -> id of the text message that is open."""
        self._thoughts: dict[str, str] = {}
        self._steps: dict[str, str] = {}
        self._calls: dict[str, str | None] = dict.fromkeys(calls)
        """Calls that have not ended, by id -> what was told of their arguments; None once all was."""
        self._asked: dict[str, Asked] = {}
        self._count = 0
        self.text = ""
        self.is_over = False

    def begin(self) -> list[dict[str, Any]]:
        return [{"type": "RUN_STARTED", **self._ids, "metadata": {"ropewalk": {"run_id": self._run_id}}}]

    def say(self, heard: Heard) -> list[dict[str, Any]]:
        """Return the events for what was heard."""
        match heard:
            case Text(node=node, text=text):
                return [*self._thought_ends(node), *self._text(node, text)]
            case TextEnds(node=node):
                return [*self._thought_ends(node), *self._text_ends(node)]
            case Thought(node=node, text=text):
                return self._thought(node, text)
            case StepBegan(node=node, step=step):
                self._steps[step] = node
                return [{"type": "STEP_STARTED", "stepName": step}]
            case StepEnded(step=step):
                return [] if self._steps.pop(step, None) is None else [{"type": "STEP_FINISHED", "stepName": step}]
            case Stopped():
                return self._stopped(heard)
            case Asked():
                return self._ask(heard)
            case Told(data=data):
                return [{"type": "CUSTOM", "name": "custom", "value": data}]
            case _:
                return self._of_tools(heard)

    def _of_tools(self, heard: OfTools) -> list[dict[str, Any]]:
        match heard:
            case ToolWritten(call_id=call_id, tool=tool, text=text):
                return self._written(call_id, tool, text)
            case ToolDropped(call_id=call_id):
                ends = self._call_ends(call_id)
                del self._calls[call_id]
                return [*ends, self._result(call_id, "The model began anew: this was not called.")]
            case ToolCalled(call_id=call_id, tool=tool, arguments=arguments):
                return self._called(call_id, tool, arguments)
            case ToolTold(call_id=call_id, tool=tool, data=data):
                told = {"toolCallId": call_id, "toolCallName": tool, "data": data}
                return [{"type": "CUSTOM", "name": "tool_progress", "value": told}]
            case ToolEnded(call_id=call_id):
                called = self._called(call_id, heard.tool, heard.arguments)
                self._calls.pop(call_id)  # some servers give a later call the same id
                told = heard.result if heard.status == "ok" else heard.error or heard.status
                return [*called, self._result(call_id, told)]

    def answer(self, text: str | None) -> list[dict[str, Any]]:
        """Return the events for a final answer that was not said yet."""
        if not text or text.strip() in self.text:
            return []
        return [*self._text("", text), *self._text_ends("")]

    def end(self, state: Mapping[str, Any] | None, usage: Mapping[str, float], *, kind: str) -> list[dict[str, Any]]:
        """Return the last events: the state, and how the run stopped (``kind``: run_paused, run_done, ...)."""
        shown = [] if state is None else [{"type": "STATE_SNAPSHOT", "snapshot": dict(state)}]
        end: dict[str, Any] = {"type": "RUN_FINISHED", **self._ids, "outcome": self._outcome(kind)}
        counts = {word: int(usage[name]) for name, word in _COUNTS.items() if name in usage}
        return [*self._all_closed(), *shown, end | ({"usage": [counts]} if counts else {})]

    def _outcome(self, kind: str) -> dict[str, Any]:
        if kind == "run_paused" and self._asked:
            return {"type": "interrupt", "interrupts": [self._interrupt(asked) for asked in self._asked.values()]}
        return {"type": "cancelled" if kind == "run_cancelled" else "success"}

    def _interrupt(self, asked: Asked) -> dict[str, Any]:
        payload = object_of(asked.payload)
        about: dict[str, Any] = {"id": f"{self._run_id}/{asked.pause_id}", "reason": _reason(asked.kind)}
        about["metadata"] = {"node": asked.node, "payload": asked.payload}
        if isinstance(asked.payload, str):
            about["message"] = asked.payload
        if asked.kind == "approval":
            about["responseSchema"] = _APPROVAL_SCHEMA
        if isinstance(payload.get("call_id"), str):
            about["toolCallId"] = payload["call_id"]
        return about

    # -- pieces -------------------------------------------------------------------------------------------------------

    def _text(self, node: str, text: str) -> list[dict[str, Any]]:
        self.text += text
        begun: list[dict[str, Any]] = []
        message = self._messages.get(node)
        if message is None:
            message = self._messages[node] = self._new_id()
            begun.append({"type": "TEXT_MESSAGE_START", "messageId": message, "role": "assistant"})
        return [*begun, {"type": "TEXT_MESSAGE_CONTENT", "messageId": message, "delta": text}] if text else begun

    def _text_ends(self, node: str) -> list[dict[str, Any]]:
        message = self._messages.pop(node, None)
        return [] if message is None else [{"type": "TEXT_MESSAGE_END", "messageId": message}]

    def _thought(self, node: str, text: str) -> list[dict[str, Any]]:
        begun: list[dict[str, Any]] = []
        message = self._thoughts.get(node)
        if message is None:
            message = self._thoughts[node] = self._new_id()
            begun.append({"type": "REASONING_START", "messageId": message})
            begun.append({"type": "REASONING_MESSAGE_START", "messageId": message, "role": "reasoning"})
        said = {"type": "REASONING_MESSAGE_CONTENT", "messageId": message, "delta": text}
        return [*begun, said] if text else begun

    def _thought_ends(self, node: str) -> list[dict[str, Any]]:
        message = self._thoughts.pop(node, None)
        ends = ("REASONING_MESSAGE_END", "REASONING_END")
        return [] if message is None else [{"type": kind, "messageId": message} for kind in ends]

    def _written(self, call_id: str, tool: str, text: str) -> list[dict[str, Any]]:
        begun: list[dict[str, Any]] = []
        if call_id not in self._calls:
            begun.append({"type": "TOOL_CALL_START", "toolCallId": call_id, "toolCallName": tool})
        self._calls[call_id] = (self._calls.get(call_id) or "") + text
        return [*begun, {"type": "TOOL_CALL_ARGS", "toolCallId": call_id, "delta": text}] if text else begun

    def _called(self, call_id: str, tool: str, arguments: Any) -> list[dict[str, Any]]:
        if call_id in self._calls and self._calls[call_id] is None:
            return []
        begun = self._written(call_id, tool, "" if self._calls.get(call_id) else to_json(arguments).decode())
        return [*begun, *self._call_ends(call_id)]

    def _call_ends(self, call_id: str) -> list[dict[str, Any]]:
        if call_id in self._calls and self._calls[call_id] is None:
            return []
        self._calls[call_id] = None
        return [{"type": "TOOL_CALL_END", "toolCallId": call_id}]

    def _result(self, call_id: str, told: Any) -> dict[str, Any]:
        content = told if isinstance(told, str) else to_json(told).decode()
        about = {"messageId": self._new_id(), "toolCallId": call_id, "role": "tool"}
        return {"type": "TOOL_CALL_RESULT", **about, "content": content}

    def _ask(self, asked: Asked) -> list[dict[str, Any]]:
        self._asked[asked.pause_id] = asked
        payload = object_of(asked.payload)
        if asked.kind == "approval" and isinstance(payload.get("call_id"), str) and payload.get("when") != "after":
            return self._called(payload["call_id"], str(payload.get("tool")), payload.get("arguments"))
        return []

    def _stopped(self, stopped: Stopped) -> list[dict[str, Any]]:
        if stopped.kind != "run_failed":
            return []
        self.is_over = True
        code = stopped.code or "failed"
        return [*self._all_closed(), {"type": "RUN_ERROR", "message": f"The run failed: {code}.", "code": code}]

    def _all_closed(self) -> list[dict[str, Any]]:
        closed = [event for node in [*self._thoughts] for event in self._thought_ends(node)]
        closed += [event for node in [*self._messages] for event in self._text_ends(node)]
        closed += [event for call_id in [*self._calls] for event in self._call_ends(call_id)]
        closed += [{"type": "STEP_FINISHED", "stepName": step} for step in self._steps]
        self._steps.clear()
        return closed

    def _new_id(self) -> str:
        self._count += 1
        return f"{self._ids['runId']}-{self._count}"


def _reason(kind: str) -> str:
    return {"approval": "tool_call", "question": "input_required"}.get(kind, kind)
