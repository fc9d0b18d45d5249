"""A plan's picture, in whatever form its viewer can show."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from ropewalk.core.plan import Plan
from ropewalk.errors import PartMissing


class Picture:
    """What `Graph.visualize` returns; a notebook shows it by itself."""

    def __init__(
        self,
        plan: Plan,
        *,
        statuses: Mapping[str, str] | None = None,
        counts: Mapping[str, int] | None = None,
        taken: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        self._plan = plan
        self._statuses = statuses
        self._counts = counts
        self._taken = taken

    @property
    def svg(self) -> str:
        from ropewalk.core.drawing import to_svg  # noqa: PLC0415  loaded when somebody looks, not when a graph runs

        return to_svg(self._plan, statuses=self._statuses, counts=self._counts, taken=self._taken)

    @property
    def mermaid(self) -> str:
        from ropewalk.core.drawing import to_mermaid  # noqa: PLC0415  loaded when somebody looks, not when a graph runs

        return to_mermaid(self._plan, statuses=self._statuses)

    @property
    def dot(self) -> str:
        from ropewalk.core.drawing import to_dot  # noqa: PLC0415  loaded when somebody looks, not when a graph runs

        return to_dot(self._plan, statuses=self._statuses)

    def save(self, path: str | Path) -> Path:
        """Write the picture; the suffix tells the form: .svg, .mmd (Mermaid) or .dot."""
        path = Path(path)
        forms = {".svg": self.to_svg, ".mmd": self.to_mermaid, ".dot": self.to_dot, ".gv": self.to_dot}
        if path.suffix not in forms:
            raise ValueError(f"{path.name!r}: a picture is written as .svg, .mmd or .dot. For a PNG use graphviz().")
        path.write_text(forms[path.suffix](), encoding="utf-8")
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
