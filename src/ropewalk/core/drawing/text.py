"""How wide a text is when drawn, how it is cut to fit, what of it may be drawn at all.

No font is asked: a picture is made where there may be none. The estimate leans to the wide side (a common sans-serif of
a Linux desktop, wider than Arial), so that a label never leaves its box; a narrower font leaves a little air.
"""

import unicodedata

_NARROW = frozenset("ijl.,:;|!'`")
_SLIM = frozenset('frtI()[]{}/\\-" ')
_WIDE = frozenset("mMW@%")
_BROAD = frozenset("<>=+#~^&wG")
TIMES = "\N{MULTIPLICATION SIGN}"
_ELLIPSIS = "…"
_ILLEGAL = frozenset(map(chr, {*range(0x20), *range(0x7F, 0xA0), 0xFFFE, 0xFFFF} - {0x09, 0x0A, 0x0D}))
_TURNS = frozenset({"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"})


def legal(text: str) -> str:
    """Return ``text`` with the characters that XML can't hold replaced by a visible mark."""
    return "".join("\ufffd" if char in _ILLEGAL or "\ud800" <= char <= "\udfff" else char for char in text)


def clean(text: str) -> str:
    """Return ``text`` on one line, fit for display.

    Marks that change the direction of writing are replaced too: a name must not reorder what stands next to it.
    """
    shown = ("\ufffd" if unicodedata.bidirectional(char) in _TURNS else char for char in legal(text))
    return " ".join("".join(shown).split())


def text_width(text: str, size: float) -> float:
    """Return how wide ``text`` is at most likely to be, drawn ``size`` high."""
    return sum(map(_advance, text)) * size


def _advance(char: str) -> float:
    if char in _NARROW:
        return 0.33
    if char in _SLIM:
        return 0.42
    if char in _WIDE:
        return 1.0
    if char in _BROAD:
        return 0.85
    if char.isascii():
        return 0.70 if char.isupper() else 0.64
    if unicodedata.combining(char) or unicodedata.category(char) == "Cf":
        return 0.0
    return 1.05 if unicodedata.east_asian_width(char) in "WF" else 0.75


def shorten(text: str, most: int = 60) -> str:
    """Return ``text``, cut and ended by an ellipsis where it has more than ``most`` characters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + _ELLIPSIS


def fit(text: str, size: float, limit: float) -> str:
    """Return ``text``, cut and ended by an ellipsis where it would be wider than ``limit``."""
    if text_width(text, size) <= limit:
        return text
    room = limit - text_width(_ELLIPSIS, size)
    for length, char in enumerate(text):
        room -= _advance(char) * size
        if room < 0:
            return text[:length].rstrip() + _ELLIPSIS
    return text
