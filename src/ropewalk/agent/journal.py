"""What a loop writes into the log, under which names, and how it reads it back.

    model_replied     "model 3"       the whole reply; its calls are what is proposed
    paused, answered  "approve 3.1"   may the first call of that reply run: the answer has the hash of the arguments
    tool_call         "start 3.1"     written before the call is made
    tool_stopped      "stop 3.1"      it ended without an end: it asked somebody, or it raised and the node fails
    tool_result       "tool 3.1"      how it ended; there is one of each call, and no call with one is made again
    paused, answered  "review 3.1"    may its result count
    paused, answered  "outcome 3.1"   it had started, nobody knows how it ended, and it must not happen twice
    summary_made      "summary 1"     what stands for the beginning of the conversation

What an agent does that another one asked stands in the same step, under "call 3.1/".
"""

from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256

from pydantic_core import from_json

from ropewalk.contracts.messages import LLMMessage
from ropewalk.contracts.model import Reply, Usage
from ropewalk.core.context import Record

MODEL_REPLIED = "model_replied"
TOOL_CALL = "tool_call"
TOOL_STOPPED = "tool_stopped"
TOOL_RESULT = "tool_result"
SUMMARY_MADE = "summary_made"
FINISHED_USAGE: Mapping[str, float | None] = {"tool_calls": 1}


def reply_record(name: str, reply: Reply, nth: int = 1) -> Record:
    """Return the entry of a model's reply."""
    value = {
        "message": reply.message.model_dump(mode="json", exclude_defaults=True) | {"id": reply.message.id},
        "finish": reply.finish,
        "provider": reply.provider,
        "model": reply.model,
        "response_id": reply.response_id,
    }
    return Record(MODEL_REPLIED, name, value, nth, used(reply))


def read_reply(raw: bytes) -> Reply:
    """Return the reply that is in the log; what it used is counted already."""
    data = from_json(raw)
    message = LLMMessage.model_validate(data.pop("message"))
    return Reply(message=message, usage=Usage(), **data)


def used(reply: Reply) -> dict[str, float | None]:
    """Return what a reply adds to the run's usage."""
    return {**asdict(reply.usage), "model_calls": 1}


def message_id(*parts: object) -> str:
    """Return an id that is the same whenever the same message is made again."""
    return "msg_" + sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]
