"""An outline as the text of a Mermaid flowchart.

Ids are made up and every character of a name that means something to Mermaid, HTML or Markdown is written as its
number, so no name can break out of its label.
"""

import re
from collections.abc import Iterator, Mapping

from ropewalk.core.drawing.outline import Line, Outline, Shape
from ropewalk.core.drawing.text import clean, shorten

_MEANINGFUL = re.compile(r"(?<![A-Za-z0-9])[_.-]|[_.-](?![A-Za-z0-9])|[^\w\s().,?/\x80-\U0010ffff-]|_(?=_)", re.ASCII)
_BRACKETS = {
    "start": ("([", "])"),
    "end": ("([", "])"),
    "node": ("[", "]"),
    "choice": ("{{", "}}"),
    "stack": ("[[", "]]"),
}
_CLASSES = {
    "pending": "stroke-dasharray:4 3",
    "running": "stroke:#2563eb,stroke-width:2px",
    "waiting": "stroke:#b45309,stroke-width:2px",
    "failed": "stroke:#dc2626,stroke-width:2px",
    "done": "stroke:#15803d",
}


def write_mermaid(outline: Outline, statuses: Mapping[str, str]) -> str:
    """Return the flowchart of ``outline``."""
    lines = ["flowchart LR", *_level(outline, "n", statuses, "  ")]
    used = [status for status in _CLASSES if status in statuses.values()]
    lines += [f"  classDef {status} {_CLASSES[status]}" for status in used]
    return "\n".join(lines) + "\n"


def _level(outline: Outline, prefix: str, statuses: Mapping[str, str], indent: str) -> Iterator[str]:
    for index, shape in enumerate(outline.shapes):
        name = f"{prefix}{index}"
        status = statuses.get(shape.path, "")
        if shape.inner:
            yield f'{indent}subgraph {name}["{_words(shape, status)}"]'
            yield f"{indent}  direction LR"
            yield from _level(shape.inner, f"{name}_", statuses, indent + "  ")
            yield f"{indent}end"
            if status in _CLASSES:
                yield f"{indent}class {name} {status}"
        else:
            left, right = _BRACKETS["stack" if shape.stacked else shape.kind]
            mark = f":::{status}" if status in _CLASSES else ""
            yield f'{indent}{name}{left}"{_words(shape, status)}"{right}{mark}'
    for line in outline.lines:
        yield f"{indent}{_arrow(line, outline, prefix)}"
    for index, shape in enumerate(outline.shapes):
        for exit in shape.exits:
            if exit.unknown:
                yield f'{indent}{prefix}{index} {_dashes(exit.label)} {prefix}{index}_any{exit.edge}(("?"))'


def _arrow(line: Line, outline: Outline, prefix: str) -> str:
    source, target = f"{prefix}{line.source}", f"{prefix}{line.target}"
    inner = outline.shapes[line.source].inner
    if inner and line.source == line.target:
        # Mermaid can't lead a line from a subgraph to itself.
        source, target = f"{source}_{len(inner.shapes) - 1}", f"{target}_0"
    choice = outline.shapes[line.source].kind == "choice" and line.kind == "router"
    return f"{source} {_dashes(line.label) if line.kind == 'router' or choice else '-->'} {target}"


def _dashes(label: str) -> str:
    return f'-. "{_safe(label)}" .->' if label else "-.->"


def _words(shape: Shape, status: str) -> str:
    words = [shape.label]
    words += [f"‖ {note.text}" if note.kind == "pause" else note.text for note in shape.notes]
    words += [f"({clean(status)})"] if status else []
    # Mermaid keeps room for one line above a subgraph.
    return (" · " if shape.inner else "<br/>").join(map(_safe, words))


def _safe(text: str) -> str:
    return _MEANINGFUL.sub(lambda found: f"#{ord(found[0])};", shorten(text))
