"""Questions about tool calls and their answers: may it run, may its result count, did it happen."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, NamedTuple, cast

from ropewalk.errors import did_you_mean

When = Literal["before", "after"]
_NAME = re.compile(r"^(?:call \d+\.\d+/)*(approve|review|outcome) (\d+\.\d+)(?: \S+)?$")
_KEYS = ("approve", "arguments", "reason", "happened", "result")


@dataclass(frozen=True, slots=True)
class Approve:
    """Let the call run, with other arguments if they are given; after it ran, let its result count."""

    arguments: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Reject:
    """Do not let the call run; after it ran, keep its result from the model. The model is told, and why."""

    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Happened:
    """Of a call whose outcome is unknown: it did happen, and this was its result."""

    result: Any = None


class Decision(NamedTuple):
    """An answer as the log has it."""

    approve: bool
    arguments: dict[str, Any] | None = None
    reason: str | None = None
    hash: str | None = None
    """Of the arguments that were approved."""
    happened: bool = False
    result: Any = None
    expired: bool = False

    def data(self) -> dict[str, Any]:
        """Return what goes into the log."""
        told: dict[str, Any] = {"approve": self.approve}
        told |= {} if self.arguments is None else {"arguments": self.arguments}
        told |= {} if self.reason is None else {"reason": self.reason}
        told |= {} if self.hash is None else {"hash": self.hash}
        return told | ({"happened": True, "result": self.result} if self.happened else {})


EXPIRED: dict[str, Any] = {"approve": False, "expired": True}
"""What stands in the log for an answer that nobody gave in time."""


class Asked(NamedTuple):
    """What a question is about."""

    what: Literal["approve", "review", "outcome"]
    key: str
    """turn.index of the call."""


def hash_of(arguments: Mapping[str, Any]) -> str:
    """Return what an approval is bound to: the same for the same arguments, however they are written."""
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return sha256(text.encode()).hexdigest()


def question_name(what: str, key: str, more: str = "") -> str:
    """Return the name under which a call's question is asked."""
    return f"{what} {key}{more and f' {more}'}"


def asked_by(name: str) -> Asked | None:
    """Return what a question of this name is about; None for one that the loop did not ask."""
    found = _NAME.match(name)
    return Asked(cast("Any", found[1]), found[2]) if found else None


def order_of(name: str) -> list[tuple[int, int]]:
    """Return what questions are sorted by: the order of the calls, those of agents behind the call that asks them."""
    pairs = re.findall(r"(\d+)\.(\d+)", name)
    return [(int(turn), int(index)) for turn, index in pairs]


def read_decision(data: Any) -> Decision:
    """Return the decision that is in the log."""
    told = cast("dict[str, Any]", data)
    return Decision(
        told["approve"],
        told.get("arguments"),
        told.get("reason"),
        told.get("hash"),
        told.get("happened", False),
        told.get("result"),
        told.get("expired", False),
    )


def decision_of(value: Any, what: str, payload: Mapping[str, Any]) -> Decision:
    """Read what somebody has answered: one of the three classes, the same as a dict, or a plain yes or no.

    Raises ValueError for everything else, and for what makes no sense for this question. Arguments are not checked.
    """
    decision = _read(value)
    if decision.arguments is not None and (what == "review" or not decision.approve):
        raise ValueError("Arguments can be changed only together with approving the call, before it runs.")
    if decision.happened and what != "outcome":
        raise ValueError(
            "Only of a call whose outcome is unknown can be said that it happened; approve or reject this."
        )
    if not decision.approve or what == "review":
        return decision
    return decision._replace(hash=hash_of(payload["arguments"] if decision.arguments is None else decision.arguments))


def _read(value: Any) -> Decision:
    match value:
        case bool():
            return Decision(value)
        case Approve(arguments=None):
            return Decision(True)
        case Approve(arguments=Mapping() as arguments):
            return Decision(True, dict(arguments))
        case Reject(reason=str() | None as reason):
            return Decision(False, reason=reason)
        case Happened(result=result):
            return Decision(False, happened=True, result=result)
        case dict():
            return _read_data(cast("dict[Any, Any]", value))
        case _:
            raise ValueError(f"{_HOW} Not {value!r}.")


def _read_data(value: dict[Any, Any]) -> Decision:
    for key in value:
        if key not in _KEYS:
            raise ValueError(f"{_HOW} {key!r} is no part of it.{did_you_mean(str(key), _KEYS)}")
    if value.get("happened") is True and not value.get("approve"):
        return Decision(False, happened=True, result=value.get("result"))
    approve, arguments, reason = value.get("approve"), value.get("arguments"), value.get("reason")
    if not isinstance(approve, bool):
        raise ValueError(f"{_HOW} 'approve' is true or false, not {approve!r}.")
    if arguments is not None and not isinstance(arguments, dict):
        raise ValueError(f"{_HOW} 'arguments' is an object, not {arguments!r}.")
    if reason is not None and not isinstance(reason, str):
        raise ValueError(f"{_HOW} 'reason' is a text, not {reason!r}.")
    return Decision(approve, cast("dict[str, Any] | None", arguments), reason)


_HOW = (
    'Answer with Approve(arguments=None) or Reject(reason=None), or {"approve": true or false, "arguments": {...}, '
    '"reason": "..."}, the last two optional; where the outcome is unknown also with Happened(result).'
)
