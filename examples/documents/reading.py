"""Reads one document: what kind it is, in which language, and what it says of dates, money and duties."""

import re
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import BaseModel

from .words import LANGUAGES, MONTHS, STOP_WORDS

Kind = Literal["invoice", "letter", "minutes", "report", "poem", "note", "unreadable"]

MOST_BYTES = 1_000_000
_KEPT_TERMS = 60


class Money(BaseModel):
    """An amount in hundredths of its currency: sums of them are exact."""

    currency: str
    cents: int

    def __str__(self) -> str:
        return f"{self.currency} {self.cents / 100:,.2f}"


class Document(BaseModel):
    """What is kept of a document. The text itself stays in its file."""

    file: str
    kind: Kind
    title: str = ""
    language: str = "unknown"
    words: int = 0
    reading_ease: float | None = None
    """Flesch's score: 100 is very easy, 0 very hard. English only."""
    dates: list[str] = []
    """ISO dates, in order of appearance."""
    amounts: list[Money] = []
    total: Money | None = None
    """What an invoice says is due."""
    lines_make: Money | None = None
    """What an invoice's own lines add up to, where that differs from what it says is due."""
    duties: list[str] = []
    """Actions and decisions that minutes record, questions and requests in letters."""
    terms: dict[str, int] = {}
    """How often each telling word occurs."""
    keywords: list[str] = []
    """The words that tell it from the other documents, once all of them are known."""
    remark: str = ""
    """What was odd about the file."""


def read_document(folder: Path, name: str) -> Document:
    """Read a file and return what it says. Whatever is wrong with the file becomes a remark, never an error."""
    try:
        text, remark = _decoded((folder / name).read_bytes()[: MOST_BYTES + 1])
    except OSError as error:
        return Document(file=name, kind="unreadable", remark=f"cannot be read: {error.strerror}")
    words = _words(text)
    if not words:
        return Document(file=name, kind="unreadable", remark=remark or "is empty")
    language = _language(words)
    kind = _kind(text)
    total, lines_make = _invoice_sums(text) if kind == "invoice" else (None, None)
    return Document(
        file=name,
        kind=kind,
        title=_title(text, name),
        language=language,
        words=len(words),
        reading_ease=_reading_ease(text, words) if language == "English" else None,
        dates=_dates(text),
        amounts=_amounts(text),
        total=total,
        lines_make=lines_make,
        duties=_duties(text, kind),
        terms=dict(Counter(_telling(words)).most_common(_KEPT_TERMS)),
        remark=remark,
    )


def text_of(folder: Path, name: str) -> str:
    """Return what can be read of a file; nothing of one that is gone, or is no text."""
    try:
        return _decoded((folder / name).read_bytes()[: MOST_BYTES + 1])[0]
    except OSError:
        return ""


def _decoded(raw: bytes) -> tuple[str, str]:
    """Return the text, and a remark where it was not plain UTF-8."""
    if b"\0" in raw[:8192]:
        return "", "is no text: it holds binary data"
    if len(raw) > MOST_BYTES:
        return "", f"is longer than {MOST_BYTES:,} bytes"
    try:
        return raw.decode("utf-8-sig"), ""
    except UnicodeDecodeError as error:
        remark = f"is not UTF-8 (byte {error.start} is 0x{raw[error.start]:02x}); it was read as Latin-1"
        return raw.decode("latin-1"), remark


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)?", text.lower())


def _language(words: list[str]) -> str:
    """Guess the language by its most ordinary words."""
    hits = {language: sum(word in common for word in words) for language, common in LANGUAGES.items()}
    best = max(hits, key=lambda language: hits[language])
    return best if hits[best] >= max(3, len(words) // 12) else "unknown"


def _telling(words: list[str]) -> list[str]:
    return [word for word in words if len(word) > 3 and word not in STOP_WORDS]


def _reading_ease(text: str, words: list[str]) -> float:
    sentences = max(1, len(re.findall(r"[.!?:]+(?:\s|$)|\n\s*\n", text)))
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", word.removesuffix("e")))) for word in words)
    return round(206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words), 1)


# -- what kind of document it is --------------------------------------------------------------------------------------

_SIGNS: dict[Kind, str] = {
    "invoice": r"(?im)^\W*invoice\b|\btotal due\b|\bsubtotal\b|\bpayment is due\b",
    "minutes": r"(?im)^\W*minutes\b|^\W*(present|apologies)\W*:|^(action|decision):",
    "report": r"(?im)^\W*report\b|^\W*(summary|method|results|conclusion)\b",
    "letter": r"(?im)^\W*(dear|sehr geehrte|madame|monsieur|estimad[oa])\b|^yours\b"
    r"|freundlichen gr|un saludo|veuillez agr",
}


def _kind(text: str) -> Kind:
    found: dict[Kind, int] = {kind: len(re.findall(sign, text)) for kind, sign in _SIGNS.items()}
    best = max(found, key=lambda kind: found[kind])
    if found[best] >= 2:
        return best
    return "poem" if _looks_like_verse(text) else "note"


def _looks_like_verse(text: str) -> bool:
    """Tell verse by its shape: short lines in stanzas of equal length."""
    stanzas = [stanza.splitlines() for stanza in re.split(r"\n\s*\n", text.strip()) if "\n" in stanza]
    lines = [line for stanza in stanzas for line in stanza]
    equal = len({len(stanza) for stanza in stanzas}) == 1
    return len(stanzas) >= 2 and equal and max(map(len, lines)) <= 60


def _title(text: str, name: str) -> str:
    first = next((line.strip("#*= \t") for line in text.splitlines() if line.strip("#*=- \t")), name)
    return first[:80]


# -- what it says -----------------------------------------------------------------------------------------------------

_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
_DATE = re.compile(
    rf"\b(?P<y>\d{{4}})-(?P<m>\d\d)-(?P<d>\d\d)\b"
    rf"|\b(?P<d2>\d{{1,2}})\.?\s+(?:de\s+)?(?P<m2>{_MONTH})\s+(?:de\s+)?(?P<y2>\d{{4}})\b",
    re.IGNORECASE,
)
_MONEY = re.compile(
    r"(?P<sign>[£€$]|\bEUR|\bGBP|\bUSD)\s?(?P<n>\d[\d.,]*\d|\d)|(?P<n2>\d[\d.,]*\d|\d)\s?(?P<sign2>EUR|GBP|USD|pesetas)\b"
)
_CURRENCIES = {"£": "GBP", "€": "EUR", "$": "USD", "pesetas": "ESP"}


def _dates(text: str) -> list[str]:
    found: list[str] = []
    for match in _DATE.finditer(text):
        year, day = int(match["y"] or match["y2"]), int(match["d"] or match["d2"])
        month = int(match["m"]) if match["m"] else MONTHS[match["m2"].lower()]
        try:
            found.append(date(year, month, day).isoformat())
        except ValueError:  # the 31st of June
            continue
    return list(dict.fromkeys(found))


def _amounts(text: str) -> list[Money]:
    return [_money(match) for match in _MONEY.finditer(text)]


def _money(match: re.Match[str]) -> Money:
    sign, number = match["sign"] or match["sign2"], match["n"] or match["n2"]
    whole, cents = re.fullmatch(r"(.*?)(?:[.,](\d\d))?", number).groups()  # pyright: ignore[reportOptionalMemberAccess]
    return Money(currency=_CURRENCIES.get(sign, sign), cents=int(re.sub(r"\D", "", whole)) * 100 + int(cents or 0))


def _invoice_sums(text: str) -> tuple[Money | None, Money | None]:
    """Return what is due, and what the lines above it add up to where that is something else."""
    due: Money | None = None
    lines = 0
    for line in text.splitlines():
        amounts = _amounts(line)
        if not amounts or re.search(r"(?i)subtotal", line):
            continue
        if re.search(r"(?i)\btotal\b", line):
            due = amounts[-1]
            break
        lines += amounts[-1].cents
    if due is None or due.cents == lines:
        return due, None
    return due, Money(currency=due.currency, cents=lines)


def _duties(text: str, kind: Kind) -> list[str]:
    if kind == "minutes":
        return [
            line.strip("-* ")
            for line in text.splitlines()
            if re.match(r"[-* ]*(action|decision):", line, re.IGNORECASE)
        ]
    if kind == "letter":
        sentences = re.split(r"(?<=[.?!])(?<!\d\.)\s+", " ".join(text.split()))
        return [one for one in sentences if one.endswith("?") or re.search(r"\b(please|bitte)\b", one, re.IGNORECASE)]
    return []
