"""Finds words in the documents, and which words of a text are worth looking for: pure functions."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from pydantic import BaseModel

from .words import MONTHS, STOP_WORDS

MOST_PLACES = 8
_WORD = re.compile(r"[^\W\d_]+")
_PARAGRAPH_ENDS = re.compile(r"\n\s*\n|\n(?=[-*#|]|[A-Z]\w+:)")
_HAS_A_SENTENCE = re.compile(r"[^\W_]{2}[.?!](?:\s|$)")
_LEAST_WORDS, _LONGEST = 6, 300


class Place(BaseModel):
    """A line that was found."""

    file: str
    line: int
    """From 1."""
    text: str


def places(texts: Mapping[str, str], words: str, most: int = MOST_PLACES) -> list[Place]:
    """Return the lines with any of the words, those with more and rarer ones first."""
    stems = {_stem(word) for word in _words(words)}
    found = [
        (Place(file=file, line=number, text=line.strip()), there)
        for file, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if (there := stems_in(line, stems))
    ]
    spread = Counter(stem for _, there in found for stem in there)
    found.sort(key=lambda one: -_weight(one[1], spread))  # stable: else in the order of the files
    return [place for place, _ in found[:most]]


def stems_in(text: str, stems: Iterable[str]) -> set[str]:
    """Return which of the stems begin a word of the text."""
    words = set(_words(text))
    return {stem for stem in stems if any(word.startswith(stem) for word in words)}


def telling_words(text: str) -> list[str]:
    """Return the words that are worth looking for, each once, in order."""
    told = (word for word in _words(text) if len(word) > 3 and (word in MONTHS or word not in STOP_WORDS))
    return list(dict.fromkeys(told))


def names_in(text: str) -> list[str]:
    """Return the words that are written like names: with a capital, and not because a sentence begins."""
    found = re.findall(r"(?<=[a-z,;]\s)[\"'„«]?([A-ZÀ-Þ][^\W\d_]{3,})", text)
    return list(dict.fromkeys(word.lower() for word in found if word.lower() not in STOP_WORDS))


def best_passages(texts: Mapping[str, str], words: Iterable[str], most: int) -> list[tuple[str, str]]:
    """Return (file, paragraph) of those that say most about the words, rarer words weighing more, in reading order."""
    stems = {_stem(word) for word in words}
    passages = [(file, one) for file, text in texts.items() for one in _passages(text)]
    told = [(file, one, there) for file, one in passages if (there := stems_in(one, stems))]
    spread = Counter(stem for _, _, there in told for stem in there)
    weights = [_weight(there, spread) for _, _, there in told]
    best = sorted(range(len(told)), key=lambda at: -weights[at])[:most]
    return [(told[at][0], told[at][1]) for at in sorted(best)]


def _passages(text: str) -> list[str]:
    """Return the paragraphs of a text that are more than a heading, each on one line and not too long."""
    found = (" ".join(one.split()) for one in _PARAGRAPH_ENDS.split(text))
    whole = [one for one in found if len(one.split()) >= _LEAST_WORDS and _HAS_A_SENTENCE.search(one)]
    return [one if len(one) <= _LONGEST else one[:_LONGEST] + " ..." for one in whole]


def _weight(stems: set[str], spread: Mapping[str, int]) -> float:
    return sum(1 / spread[stem] for stem in sorted(stems))  # in one order: sums of fractions depend on it


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _stem(word: str) -> str:
    """Return the word without the s of a plural."""
    return word.removesuffix("s") if len(word) > 4 else word
