"""The picture of a graph, or of a run of it, in whatever form its viewer can show."""

from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from ropewalk.core.plan import Plan
from ropewalk.errors import PartMissing, did_you_mean
from ropewalk.events import Entry

Form = Literal["svg", "mermaid", "dot"]

_FORMS: dict[str, Form] = {".svg": "svg", ".mmd": "mermaid", ".dot": "dot", ".gv": "dot"}
_BY_GRAPHVIZ = frozenset({".png", ".pdf", ".jpg", ".jpeg", ".webp"})


class Picture:
    """What `Graph.visualize` and `Picture.of_run` return; a notebook shows it by itself."""

    def __init__(
        self,
        plan: Plan,
        *,
        statuses: Mapping[str, str] | None = None,
        counts: Mapping[str, int] | None = None,
        taken: Mapping[tuple[str, str], int] | None = None,
        transparent: bool | None = None,
    ) -> None:
        self._plan = plan
        self._statuses = statuses
        self._counts = counts
        self._taken = taken
        self._transparent = transparent

    @classmethod
    def of_run(
        cls,
        plan: Plan,
        entries: Iterable[Entry],
        unfinished: Mapping[str, str],
        status: str,
        *,
        transparent: bool | None = None,
    ) -> "Picture":
        """Return ``plan`` with what a run did: which nodes ran, run, wait or failed, how often, and the ways it took.

        ``entries`` is its log, ``unfinished`` maps each step that has begun and not ended to ready, waiting or failed,
        ``status`` is the run's.
        """
        from ropewalk.core.drawing.progress import progress_of  # noqa: PLC0415  loaded when somebody looks

        progress = progress_of(plan, entries, unfinished, status)
        several = {path: count for path, count in progress.counts.items() if count > 1}  # a 1 on each node says nothing
        return cls(plan, statuses=progress.statuses, counts=several, taken=progress.taken, transparent=transparent)

    @property
    def svg(self) -> str:
        from ropewalk.core.drawing import to_svg  # noqa: PLC0415  loaded when somebody looks, not when a graph runs

        return to_svg(
            self._plan,
            statuses=self._statuses,
            counts=self._counts,
            taken=self._taken,
            transparent=bool(self._transparent),
        )

    @property
    def mermaid(self) -> str:
        from ropewalk.core.drawing import to_mermaid  # noqa: PLC0415  loaded when somebody looks, not when a graph runs

        return to_mermaid(self._plan, statuses=self._statuses)

    @property
    def dot(self) -> str:
        from ropewalk.core.drawing import to_dot  # noqa: PLC0415  loaded when somebody looks, not when a graph runs

        return to_dot(self._plan, statuses=self._statuses, transparent=self._transparent is not False)

    def form(self, name: Form | str) -> str:
        """Return the picture as the text of ``svg``, ``mermaid`` or ``dot``."""
        forms = {"svg": self.to_svg, "mermaid": self.to_mermaid, "dot": self.to_dot}
        if name not in forms:
            raise ValueError(f"A picture has no form {name!r}.{did_you_mean(name, forms)}")
        return forms[name]()

    def save(self, path: str | Path) -> Path:
        """Write the picture; the suffix tells the form: .svg, .mmd (Mermaid), .dot; Graphviz draws .png and .pdf.

        Raises ValueError for another suffix; where Graphviz is needed and is not there, `PartMissing` or what its own
        package raises.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix in _FORMS:
            path.write_text(self.form(_FORMS[suffix]), encoding="utf-8")
        elif suffix in _BY_GRAPHVIZ:
            path.write_bytes(self.graphviz().pipe(format=suffix[1:]))
        else:
            raise ValueError(
                f"{path.name!r} does not tell how to draw the picture. Let the name end in "
                ".svg, .mmd (Mermaid) or .dot; .png and .pdf need Graphviz."
            )
        return path

    def to_svg(self) -> str:
        return self.svg

    def to_mermaid(self) -> str:
        return self.mermaid

    def to_dot(self) -> str:
        return self.dot

    def graphviz(self) -> Any:
        """Return the picture as a ``graphviz.Source``. Raises `PartMissing` without the ``graphviz`` package."""
        try:
            graphviz: Any = import_module("graphviz")
        except ImportError as error:
            raise PartMissing("A Graphviz picture", "graphviz") from error
        return graphviz.Source(self.dot)

    def mimebundle(self) -> dict[str, str]:
        return {"image/svg+xml": self.svg, "text/vnd.mermaid": self.mermaid, "text/plain": repr(self)}

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return self.mimebundle()

    def __repr__(self) -> str:
        return f"<Picture of {self._plan.name!r}>"
