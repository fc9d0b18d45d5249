"""A decision about a call of a tool, as the options of `ropewalk runs answer` say it."""

from typing import NamedTuple


class Said(NamedTuple):
    """A decision by options: ``approve``, ``reject`` or ``happened``, and what stands behind it."""

    what: str
    more: str | None = None
