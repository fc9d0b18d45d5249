"""An outline as the text of a DOT graph, for Graphviz."""

from collections.abc import Iterator, Mapping

from ropewalk.core.drawing.layout.boxes import Link
from ropewalk.core.drawing.layout.loops import find_back_links
from ropewalk.core.drawing.outline import Line, Outline, Shape
from ropewalk.core.drawing.text import clean, shorten

_COLOURS = {
    "pending": ("#94a3b8", "#f8fafc"),
    "running": ("#2563eb", "#eff6ff"),
    "waiting": ("#b45309", "#fffbeb"),
    "failed": ("#dc2626", "#fef2f2"),
    "done": ("#15803d", "#f0fdf4"),
}
_PLAIN = ("#64748b", "#f8fafc")
_CHOICE = ("#fb923c", "#fff7ed")
_UNKNOWN = {"label": "?", "shape": "circle", "width": "0.3", "fixedsize": "true", "style": "dashed"}
_GROUP = ("#94a3b8", "#f1f5f9")


def write_dot(outline: Outline, statuses: Mapping[str, str], *, transparent: bool) -> str:
    """Return the digraph of ``outline``."""
    lines = [
        f"digraph {_quoted(_text(outline.name))} {{",
        f'  graph [rankdir="LR", compound="true", bgcolor="{"transparent" if transparent else "white"}", '
        'fontname="Helvetica", fontsize="12"]',
        '  node [shape="box", style="rounded,filled", fontname="Helvetica", fontsize="12"]',
        '  edge [color="#64748b", fontname="Helvetica", fontsize="10", arrowsize="0.7"]',
        *_level(outline, "n", statuses, "  "),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _level(outline: Outline, prefix: str, statuses: Mapping[str, str], indent: str) -> Iterator[str]:
    for index, shape in enumerate(outline.shapes):
        name = f"{prefix}{index}"
        if shape.inner:
            stroke, fill = _COLOURS.get(statuses.get(shape.path, ""), _GROUP)
            label = _words(shape, statuses)
            style = {"label": label, "color": stroke, "bgcolor": fill, "style": "rounded"}
            style |= {"peripheries": "2"} if shape.stacked else {}
            yield f"{indent}subgraph {_quoted(f'cluster_{name}')} {{"
            yield f"{indent}  graph {_attributes(style)}"
            yield from _level(shape.inner, f"{name}_", statuses, indent + "  ")
            yield f"{indent}}}"
        else:
            yield f"{indent}{name} {_attributes(_node(shape, statuses))}"
    links = [Link(source=line.source, target=line.target, chosen=line.kind == "router") for line in outline.lines]
    back = find_back_links(len(outline.shapes), links)
    for number, line in enumerate(outline.lines):
        yield f"{indent}{_arrow(line, outline, prefix, back=number in back)}"
    for index, shape in enumerate(outline.shapes):
        for exit in shape.exits:
            if exit.unknown:
                tail, ends = _end(outline, index, prefix, leaving=True)
                mark = f"{prefix}{index}_any{exit.edge}"
                yield f"{indent}{mark} {_attributes(_UNKNOWN)}"
                yield f"{indent}{tail} -> {mark} {_attributes({**ends, **_dashes(exit.label)})}"


def _arrow(line: Line, outline: Outline, prefix: str, *, back: bool) -> str:
    tail, tail_ends = _end(outline, line.source, prefix, leaving=True)
    head, head_ends = _end(outline, line.target, prefix, leaving=False)
    style = {**tail_ends, **head_ends} if line.source != line.target else {}
    if line.kind == "router":
        style |= _dashes(line.label)
    if back:
        style["constraint"] = "false"  # else Graphviz finds loops of its own, and turns other edges round
    return f"{tail} -> {head}" + (f" {_attributes(style)}" if style else "")


def _end(outline: Outline, index: int, prefix: str, *, leaving: bool) -> tuple[str, dict[str, str]]:
    """Return the node that an edge touches, and for a group what cuts the edge off at its border."""
    inner = outline.shapes[index].inner
    if not inner:
        return f"{prefix}{index}", {}
    node = f"{prefix}{index}_{len(inner.shapes) - 1 if leaving else 0}"
    return node, {"ltail" if leaving else "lhead": f"cluster_{prefix}{index}"}


def _dashes(label: str) -> dict[str, str]:
    return {"style": "dashed", "label": _text(shorten(label))} if label else {"style": "dashed"}


def _node(shape: Shape, statuses: Mapping[str, str]) -> dict[str, str]:
    if shape.kind in {"start", "end"} and "/" in shape.path:
        return {"label": "", "shape": "point" if shape.kind == "start" else "doublecircle", "width": "0.12"}
    plain = _CHOICE if shape.kind == "choice" else _PLAIN
    stroke, fill = _COLOURS.get(statuses.get(shape.path, ""), plain)
    style = {"label": _words(shape, statuses), "color": stroke, "fillcolor": fill}
    if shape.kind in {"start", "end"}:
        style["shape"] = "oval"
    if shape.kind == "choice":
        style |= {"shape": "diamond", "style": "filled"}
    if shape.stacked:
        style["peripheries"] = "2"
    return style


def _words(shape: Shape, statuses: Mapping[str, str]) -> str:
    words = [shape.label]
    words += [f"‖ {note.text}" if note.kind == "pause" else note.text for note in shape.notes]
    words += [f"({clean(statuses[shape.path])})"] if shape.path in statuses else []
    return "\\n".join(map(_text, map(shorten, words)))


def _text(text: str) -> str:
    """Return ``text`` as a label that Graphviz shows as it is: it reads backslashes and entities there."""
    return text.replace("\\", "\\\\").replace("&", "&amp;")


def _attributes(attributes: Mapping[str, str]) -> str:
    return "[" + ", ".join(f"{name}={_quoted(value)}" for name, value in attributes.items()) + "]"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'
