"""What the names of sessions, pods and messages must be before they enter a subject, a key or a header."""

import re
from collections.abc import Iterable

from ropewalk.contracts.session_registry import Connection
from ropewalk.errors import InvalidSession
from ropewalk.ids import checked_token

_POD = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
"""Strangers name a pod after its host, dots included; no wildcard, no empty part between two dots."""
_MESSAGE = re.compile(r"[\x21-\x7e]{1,200}")
_LONGEST_POD = 253
_HIGHEST_FENCE = 2**53


def is_pod_id(given: str) -> bool:
    """Tell whether a subject can be made of it."""
    return len(given) <= _LONGEST_POD and _POD.fullmatch(given) is not None


def checked_pod(pod_id: str) -> str:
    if not is_pod_id(pod_id):
        raise InvalidSession("A pod's id", pod_id)
    return pod_id


def checked_session(session_id: str) -> str:
    return checked_token("A session's id", session_id)


def checked_message(message_id: str) -> str:
    """Return ``message_id``; raise `InvalidSession` for spaces, control characters, and more than 200 letters."""
    if _MESSAGE.fullmatch(message_id) is None:
        raise InvalidSession("A message's id", message_id)
    return message_id


def checked_counts(fence: int, chunk_id: int = 0) -> None:
    if not 0 <= fence < _HIGHEST_FENCE or not 0 <= chunk_id < _HIGHEST_FENCE:
        raise ValueError(f"fence {fence!r} and chunk_id {chunk_id!r} must be whole numbers from 0 to 2**53 - 1.")


def pod_of(member: str) -> str | None:
    """Return the pod of a member ``pod:connection`` of a session's set; None when it is not of that form."""
    pod_id = member.rpartition(":")[0]
    return pod_id if is_pod_id(pod_id) else None


def checked_connections(connections: Iterable[Connection]) -> list[Connection]:
    """Return them; raise `InvalidSession` for names that could not stand in a key, a member or a subject."""
    found = list(connections)
    for one in found:
        checked_session(one.session_id)
        checked_pod(one.pod_id)
        checked_token("A connection's id", one.connection_id)
    return found
