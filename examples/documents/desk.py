"""What the nodes of the workflow and the tools of its clerk share."""

from ropewalk import GraphState, History

from .digest import Section
from .reading import Document


class Desk(GraphState):
    """A `History` collects what nodes return; every other field keeps its newest value."""

    folder: str
    """Where the documents are."""
    out: str
    """Where the digest and the answer go."""
    edition: int = 1
    pace: float = 0.0
    """Seconds that each document, and each call of a tool, is given, so that one can watch."""
    question: str = ""
    """What the clerk is asked; nothing: it is left alone."""

    files: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    documents: History[Document]
    sections: History[Section]
    summary: str = ""
    draft: str = ""
    approved: bool | None = None
    published: str = ""
    answer: str = ""
    """What the clerk says in the end."""
    answer_file: str = ""
    """Where its answer was published."""
