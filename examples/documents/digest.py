"""What the digest says: pure functions from documents to words."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel

from .reading import Document, Kind, Money

Branch = Literal["invoices", "letters", "minutes", "reports", "others", "unreadable"]

BRANCH_OF: dict[Kind, Branch] = {
    "invoice": "invoices",
    "letter": "letters",
    "minutes": "minutes",
    "report": "reports",
    "poem": "others",
    "note": "others",
    "unreadable": "unreadable",
}


class Section(BaseModel):
    """A part of the digest."""

    title: str
    lines: list[str]


def branches(documents: Iterable[Document]) -> list[Branch]:
    """Return the branches that have documents, in a fixed order."""
    there = {BRANCH_OF[document.kind] for document in documents}
    return [branch for branch in dict.fromkeys(BRANCH_OF.values()) if branch in there]


def add_keywords(documents: Sequence[Document], most: int = 5) -> None:
    """Give each document its keywords, frequent there and rare elsewhere, in exchange for all of its terms."""
    spread = Counter(term for document in documents for term in document.terms)
    for document in documents:
        weights = {term: times * math.log(1 + len(documents) / spread[term]) for term, times in document.terms.items()}
        document.keywords = sorted(weights, key=lambda term: (-weights[term], term))[:most]
        document.terms = {}


# -- the sections -----------------------------------------------------------------------------------------------------


def invoices(documents: Iterable[Document]) -> Section:
    """Return what is to be paid, with every sum checked."""
    mine = _of(documents, "invoices")
    lines: list[str] = []
    for document in mine:
        due = f"{document.total}" if document.total else "no total found"
        last = f", dates: {', '.join(document.dates)}" if document.dates else ""
        wrong = f" **Adds up wrongly: its lines make {document.lines_make}.**" if document.lines_make else ""
        lines.append(f"{_named(document)}: {due}{last}.{wrong}")
    totals = ", ".join(map(str, sums(document.total for document in mine))) or "nothing"
    return Section(title="Invoices", lines=[*lines, f"Together: {totals}."])


def letters(documents: Iterable[Document]) -> Section:
    """Return who wants what by when."""
    lines: list[str] = []
    for document in _of(documents, "letters"):
        latest = f"; latest date {max(document.dates)}" if document.dates else ""
        lines.append(f"{_named(document)} ({document.language}, {document.words} words{latest})")
        lines += [f"asks: {_short(duty)}" for duty in document.duties]
    return Section(title="Letters", lines=lines)


def minutes(documents: Iterable[Document]) -> Section:
    """Return what was decided and who has to do what."""
    mine = _of(documents, "minutes")
    return Section(
        title="Minutes",
        lines=[
            line for document in mine for line in (_named(document), *(f"{_short(duty)}" for duty in document.duties))
        ],
    )


def reports(documents: Iterable[Document]) -> Section:
    """Return what each report is about."""
    return Section(title="Reports", lines=[_about(document) for document in _of(documents, "reports")])


def others(documents: Iterable[Document]) -> Section:
    """Return what each document of no other kind is about."""
    mine = _of(documents, "others")
    return Section(title="Others", lines=[f"{_about(document)} (a {document.kind})" for document in mine])


def unreadable(documents: Iterable[Document]) -> Section:
    """Return what a person has to look at."""
    lines = [f"`{document.file}` {document.remark}" for document in _of(documents, "unreadable")]
    return Section(title="To be looked at by a person", lines=lines)


# -- the whole --------------------------------------------------------------------------------------------------------


def summary(documents: Sequence[Document]) -> str:
    """Return three or four sentences on all of it."""
    languages = Counter(document.language for document in documents if document.language != "unknown")
    told = ", ".join(language for language, _ in languages.most_common()) or "in no language I know"
    words = sum(document.words for document in documents)
    parts = [f"{_many(len(documents), 'document')}, {words:,} words ({told})."]
    due = sums(document.total for document in documents)
    if due:
        parts.append(f"{_many(len(_of(documents, 'invoices')), 'invoice')} for {' and '.join(map(str, due))}.")
    parts += [
        f"{document.title} adds up wrongly: it says {document.total}, its lines make {document.lines_make}."
        for document in documents
        if document.lines_make
    ]
    duties = sum(len(document.duties) for document in documents)
    if duties:
        parts.append(f"{_many(duties, 'decision, action or request', 'decisions, actions and requests')} to see to.")
    odd = [document for document in documents if document.remark]
    if odd:
        names = ", ".join(document.file for document in odd[:4]) + (", ..." if len(odd) > 4 else "")
        parts.append(f"{_many(len(odd), 'file')} {'is' if len(odd) == 1 else 'are'} odd: {names}.")
    return " ".join(parts)


def page(folder: str, told: str, sections: Iterable[Section], left_out: Sequence[str]) -> str:
    """Return the digest as Markdown."""
    lines = [f"# Digest of {folder}", "", told]
    for section in sections:
        lines += ["", f"## {section.title}", "", *(f"- {line}" for line in section.lines)]
    if left_out:
        lines += ["", "## Left out", "", *(f"- {line}" for line in left_out)]
    return "\n".join(lines) + "\n"


def sums(amounts: Iterable[Money | None]) -> list[Money]:
    """Add amounts up, by currency."""
    cents: Counter[str] = Counter()
    for money in amounts:
        if money is not None:
            cents[money.currency] += money.cents
    return [Money(currency=currency, cents=total) for currency, total in cents.items()]


def _of(documents: Iterable[Document], branch: Branch) -> list[Document]:
    return [document for document in documents if BRANCH_OF[document.kind] == branch]


def _named(document: Document) -> str:
    remark = f", which {document.remark}" if document.remark else ""
    return f"**{document.title}** (`{document.file}`{remark})"


def _about(document: Document) -> str:
    ease = "" if document.reading_ease is None else f", reading ease {document.reading_ease:g}"
    return f"{_named(document)}: {', '.join(document.keywords)}; {document.words} words{ease}"


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _many(count: int, one: str, several: str | None = None) -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"
