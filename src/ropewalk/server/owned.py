"""Who asks: everything a door knows of the one on its other side, once that is proven."""

from dataclasses import dataclass

from ropewalk.contracts import RunRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Somebody who asks for runs."""

    owner: str | None = None
    """Whose runs they see and start. None: the server asks nobody who they are, so all see all."""

    def owns(self, record: RunRecord) -> bool:
        return self.owner is None or record.owner == self.owner


ANYBODY = Caller()
