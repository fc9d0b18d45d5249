"""How much a model may be asked: calls, tokens, money."""

from dataclasses import dataclass

from ropewalk.contracts.model import Usage
from ropewalk.errors import ModelLimitReached


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Where asking stops. What is reached is reached: not one call is made after that.

    A call's tokens are known when it has ended, so the last one may go over a limit on tokens or cost; the next is
    refused. With such a limit an answer that does not tell its usage is the last one too: what is unknown may be too
    much.
    """

    calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens: int | None = None
    """Both together."""
    cost: float | None = None
    """US dollars."""

    def reached(self, used: Usage, calls: int) -> tuple[str, float, float | None] | None:
        """Return the first limit that is reached (its name, what it allows, what is used), or None."""
        unmeasured = used.unmeasured_calls > 0
        rows: list[tuple[str, float | None, float | None]] = [
            ("calls", self.calls, calls),
            ("input_tokens", self.input_tokens, None if unmeasured else used.input_tokens),
            ("output_tokens", self.output_tokens, None if unmeasured else used.output_tokens),
            ("tokens", self.tokens, None if unmeasured else used.input_tokens + used.output_tokens),
            ("cost", self.cost, used.cost),
        ]
        for name, allowed, so_far in rows:
            if allowed is not None and (so_far is None or so_far >= allowed):
                return name, allowed, so_far
        return None

    def check(self, used: Usage, calls: int, *, model: str = "") -> None:
        """Raise `ModelLimitReached` unless another call may be made."""
        reached = self.reached(used, calls)
        if reached is not None:
            name, allowed, so_far = reached
            raise ModelLimitReached(name, allowed, so_far, model=model)
