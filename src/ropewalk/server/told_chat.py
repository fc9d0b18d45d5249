"""What the OpenAPI document tells of the chat doors: their answers, with an example of each."""

from typing import Any

from ropewalk.server.told import answers

_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string", "description": "The same as the exception's."},
            },
        }
    },
}
_CARD = {"id": "Chat", "object": "model", "created": 1795348800, "owned_by": "ropewalk"}
_MESSAGES = [{"role": "user", "content": "Hello"}]
_ID = "chatcmpl-run_4f0c1f2be3f04b5f8a2f6f0d7f3c9a11"

COMPLETE = {"model": "Chat", "messages": _MESSAGES}
TALK = {"id": "chat-1", "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}]}
RUN_AGENT = {"threadId": "t1", "runId": "r1", "messages": [{"id": "m1", "role": "user", "content": "Hello"}]}
MODELS = {"object": "list", "data": [_CARD]}
MODEL = _CARD
COMPLETION = {
    "id": _ID,
    "object": "chat.completion",
    "created": 1795348800,
    "model": "Chat",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello!"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}


def openai_answers(example: Any, *errors: int, streams: bool = False) -> dict[int | str, dict[str, Any]]:
    """Return what is documented of a route of OpenAI's wire: its errors are not problem details."""
    told = answers(200, None, *errors)
    for answer in told.values():
        answer["content"] = {"application/json": {"schema": _ERROR}}
    content: dict[str, Any] = {"application/json": {"schema": {"type": "object"}, "example": example}}
    if streams:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    told[200] = {"description": "Done", "content": content}
    for status in (403, 421):  # the first door's, which knows no wire
        told[status] = answers(200, None)[status]
    return told


def stream_answers(*errors: int, more: tuple[int, ...] = ()) -> dict[int | str, dict[str, Any]]:
    """Return what is documented of a route that answers with a stream in other people's words."""
    told = answers(200, None, *errors)
    told[200] = {
        "description": "A turn, as it happens",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    return told | {status: {"description": "There is nothing to come back to"} for status in more}


def plain_answer(media_type: str, *errors: int) -> dict[int | str, dict[str, Any]]:
    """Return what is documented of a route that answers with text."""
    told = answers(200, None, *errors)
    told[200] = {"description": "Done", "content": {media_type: {"schema": {"type": "string"}}}}
    return told
