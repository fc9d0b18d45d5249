"""Identifiers of runs and sessions, checked once at the door so that every later room may put them into a key."""

import os
import re

from ropewalk.errors import InvalidId, InvalidSession

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,199}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What stands between two dots of a subject, or in a key: never a separator, a wildcard or a line break."""


def new_run_id() -> str:
    """Return an id that no other run has."""
    return f"run_{os.urandom(16).hex()}"


def _is_run_id(given: object) -> bool:
    return isinstance(given, str) and _RUN_ID.fullmatch(given) is not None


def checked_run_id(run_id: str) -> str:
    """Return ``run_id``; raise `InvalidId` when it could not be a file name, a subject or a URL segment."""
    if not _is_run_id(run_id):
        raise InvalidId(run_id)
    return run_id


def checked_token(what: str, given: object) -> str:
    """Return ``given``; raise `InvalidSession`, naming ``what`` it is, when it could not be a token of a subject."""
    if not isinstance(given, str) or _TOKEN.fullmatch(given) is None:
        raise InvalidSession(what, given)
    return given
