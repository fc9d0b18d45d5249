"""What a call costs: tokens times a price that is known, or nothing said at all.

The table was true on 2026-11-21 and has prices that hold for every length of a conversation only; give your own where
yours differ, or where you need others: `Prices({"my-model": Price(input=1, output=4)})`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ropewalk.contracts.model import Usage

MILLION = 1_000_000
DATED = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2}|latest)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: float
    output: float
    cached: float | None = None
    """Of input that is read from the provider's cache; None: as other input."""
    cache_write: float | None = None
    """Of input that is written to it; None: as other input."""

    def of(self, usage: Usage) -> float:
        plain = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
        cached = self.input if self.cached is None else self.cached
        written = self.input if self.cache_write is None else self.cache_write
        cost = plain * self.input + usage.cached_tokens * cached + usage.cache_write_tokens * written
        return (cost + usage.output_tokens * self.output) / MILLION


KNOWN: Mapping[str, Price] = MappingProxyType(
    {
        "gpt-5.1": Price(input=1.25, output=10, cached=0.125),
        "gpt-5": Price(input=1.25, output=10, cached=0.125),
        "gpt-5-mini": Price(input=0.25, output=2, cached=0.025),
        "gpt-4.1": Price(input=2, output=8, cached=0.5),
        "gpt-4.1-mini": Price(input=0.4, output=1.6, cached=0.1),
        "gpt-4o": Price(input=2.5, output=10, cached=1.25),
        "gpt-4o-mini": Price(input=0.15, output=0.6, cached=0.075),
        "o3": Price(input=2, output=8, cached=0.5),
        "o4-mini": Price(input=1.1, output=4.4, cached=0.275),
        "claude-sonnet-5": Price(input=2, output=10, cached=0.2, cache_write=2.5),
        "claude-opus-5": Price(input=5, output=25, cached=0.5, cache_write=6.25),
        "claude-sonnet-4-6": Price(input=3, output=15, cached=0.3, cache_write=3.75),
        "claude-opus-4-6": Price(input=5, output=25, cached=0.5, cache_write=6.25),
        "claude-opus-4-5": Price(input=5, output=25, cached=0.5, cache_write=6.25),
        "claude-haiku-4-5": Price(input=1, output=5, cached=0.1, cache_write=1.25),
    }
)


@dataclass(frozen=True, slots=True)
class Prices:
    """Which model costs what; your own prices come before the known ones."""

    own: Mapping[str, Price] = field(default_factory=dict[str, Price])
    known: Mapping[str, Price] = field(default_factory=lambda: KNOWN)

    def of(self, model: str) -> Price | None:
        """Return a model's price; a dated name without its date is tried too. None if it is not known."""
        for name in (model, DATED.sub("", model)):
            if name in self.own:
                return self.own[name]
            if name in self.known:
                return self.known[name]
        return None


def priced(usage: Usage, model: str, prices: Prices) -> Usage:
    """Return the usage with its cost, None where price or usage is not known."""
    price = prices.of(model)
    cost = None if price is None or usage.unmeasured_calls else price.of(usage)
    return replace(usage, cost=cost)
