"""What keeps a graph from being drawn or started."""

from collections.abc import Sequence
from typing import NamedTuple

from ropewalk.errors.root import RopewalkError, did_you_mean, short


class Problem(NamedTuple):
    """One mistake in a drawing."""

    message: str
    hint: str


class GraphInvalid(RopewalkError, ValueError):
    """The graph cannot run as drawn; `problems` holds every mistake found."""

    code = "graph_invalid"

    def __init__(self, graph: str, problems: Sequence[Problem]) -> None:
        self.graph = graph
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem.message}\n    {problem.hint}" for problem in self.problems)
        count = "a mistake" if len(self.problems) == 1 else f"{len(self.problems)} mistakes"
        super().__init__(f"Graph {graph!r} has {count}:\n{lines}")


class GraphFrozen(RopewalkError, ValueError):
    code = "graph_frozen"

    def __init__(self, graph: str, what: str) -> None:
        self.graph = graph
        super().__init__(
            f"Graph {graph!r} is compiled, so {what} can no longer be added: its runs rely on the drawing. "
            "Draw everything before compile(), or draw a new graph."
        )


class StateMissing(RopewalkError, ValueError):
    code = "state_missing"

    def __init__(self, graph: str, fields: Sequence[str]) -> None:
        self.graph = graph
        self.fields = tuple(fields)
        names = ", ".join(map(repr, fields))
        super().__init__(
            f"Graph {graph!r} cannot make its initial state by itself: {names} have no default. "
            "Pass a state to start() or execute(), or give the fields defaults."
        )


class PartUnknown(RopewalkError, ValueError):
    code = "part_unknown"

    def __init__(self, part: str, url: str, known: Sequence[str]) -> None:
        scheme, colon, rest = url.partition(":")
        shown = f"{scheme}:..." if rest and "@" in rest else url.partition("?")[0]  # never a password
        super().__init__(f"No {part} is known for {shown!r}.{did_you_mean(scheme + colon, known)}")


class QueueMissing(RopewalkError, TypeError):
    code = "queue_missing"

    def __init__(self, graph: str, store: str | None) -> None:
        self.graph = graph
        kept = f"in a {store}" if store else "in this process alone"
        super().__init__(
            f"Graph {graph!r} keeps its runs {kept}, where no worker finds them. Give it a store with a queue, "
            "Graph(store='postgresql://user@host/database'), or drive its runs here: start()."
        )


class InvalidId(RopewalkError, ValueError):
    code = "invalid_id"

    def __init__(self, value: str) -> None:
        self.value = value
        super().__init__(
            f"{value!r} cannot be a run id, which is text: it must start with a letter or digit and go on with "
            "letters, digits or . _ : @ - (200 characters at most). Choose another."
        )


class InvalidSession(RopewalkError, ValueError):
    code = "invalid_session"

    def __init__(self, what: str, given: object) -> None:
        super().__init__(
            f"{what} {short(given)} cannot be part of a subject or a key: it is 1 to 128 letters, digits, '_' and '-'. "
            "Choose another one."
        )


class PartMissing(RopewalkError, ImportError):
    code = "part_missing"

    def __init__(self, part: str, extra: str) -> None:
        super().__init__(f"{part} needs an optional package. Install it: pip install 'ropewalk[{extra}]'")
