"""`ropewalk graph`: checks a graph and draws it, in words or as a picture."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ropewalk.cli.load import load_graph
from ropewalk.cli.screen import Screen, printable
from ropewalk.cli.trouble import DONE, Trouble
from ropewalk.runtime import Place, Plan

_FORMS = {".svg": "svg", ".mmd": "mermaid", ".md": "mermaid", ".dot": "dot", ".gv": "dot"}
_ENDS = {"__start__": "START", "__end__": "END"}


def draw(options: argparse.Namespace) -> int:
    """Do `ropewalk graph`."""
    loaded = load_graph(options.target)
    form = options.form or (_form_of(options.output) if options.output else None)
    screen = Screen(as_json=options.json)
    if form is None:
        _tell(loaded.graph.plan, screen)
        return DONE
    picture = loaded.graph.visualize()
    text = {"svg": picture.to_svg, "mermaid": picture.to_mermaid, "dot": picture.to_dot}[form]()
    if options.output:
        _write(Path(options.output), text)
        screen.line(f"{options.output}: {loaded.graph.name}, {_size(loaded.graph.plan)}")
        if screen.as_json:
            screen.record({"graph": loaded.graph.name, "form": form, "file": options.output})
    elif screen.as_json:
        screen.record({"graph": loaded.graph.name, "form": form, "text": text})
    else:
        screen.line(text.rstrip("\n"))
    return DONE


def _form_of(output: str) -> str:
    form = _FORMS.get(Path(output).suffix)
    if form is None:
        raise Trouble(
            f"{output!r} tells no form.", do="End it in .svg, .mmd or .dot, or add --svg, --mermaid or --dot."
        )
    return form


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Trouble(f"{file} cannot be written: {error.strerror}.", do="Name another file with -o.") from error


def _tell(plan: Plan, screen: Screen) -> None:
    if screen.as_json:
        screen.record({"graph": plan.name, "digest": plan.digest, "nodes": [_data(p) for p in plan.places[1:-1]],
                       "edges": list(_edges(plan))})  # fmt: skip
        return
    screen.line(screen.paint(printable(plan.name), "bold") + f"  {_size(plan)}")
    for line in _lines(plan, "  "):
        screen.line(line)


def _lines(plan: Plan, indent: str) -> Iterator[str]:
    width = max(len(_name(place)) for place in plan.places)
    for place in plan.places[:-1]:
        ways = [_name(plan.places[arrow.target]) for arrow in place.arrows]
        ways += [_choice(plan, place, router.label, list(router.routes.values())) for router in place.routers]
        ways += [f"{_name(plan.places[spread.target])} for each item" for spread in place.spreads]
        notes = "".join(f"  ({note})" for note in _notes(place))
        yield printable(f"{indent}{_name(place):<{width}}  -> {', '.join(ways) or 'END'}{notes}")
        if place.plan is not None:
            yield from _lines(place.plan, indent + "    ")


def _choice(plan: Plan, place: Place, label: str, targets: list[int]) -> str:
    names = " | ".join(_name(plan.places[target]) for target in targets)
    return names if label == place.node else f"{label}: {names}"


def _notes(place: Place) -> Iterator[str]:
    if place.fan in {"parallel", "sequence"}:
        yield f"{place.repeat} times, {'in parallel' if place.fan == 'parallel' else 'in sequence'}"
    if place.interrupt:
        yield f"pauses {place.interrupt}"
    if place.timeout is not None:
        yield f"at most {place.timeout:g} s"


def _edges(plan: Plan, above: str = "") -> Iterator[dict[str, Any]]:
    for place in plan.places:
        source = above + place.name
        for arrow in place.arrows:
            yield {"from": source, "to": above + plan.places[arrow.target].name, "kind": "arrow"}
        for router in place.routers:
            for target in router.routes.values():
                yield {"from": source, "to": above + plan.places[target].name, "kind": "router", "router": router.label}
        for spread in place.spreads:
            yield {"from": source, "to": above + plan.places[spread.target].name, "kind": "map"}
        if place.plan is not None:
            yield from _edges(place.plan, f"{source}/")


def _data(place: Place) -> dict[str, Any]:
    data: dict[str, Any] = {"name": place.name, "kind": place.kind, "fan": place.fan, "interrupt": place.interrupt}
    if place.plan is not None:
        data["nodes"] = [_data(inner) for inner in place.plan.places[1:-1]]
    return data


def _name(place: Place) -> str:
    return _ENDS.get(place.name, place.name)


def _size(plan: Plan) -> str:
    nodes, edges = len(plan.places) - 2, sum(1 for _ in _edges(plan))
    return f"{nodes} node{'' if nodes == 1 else 's'}, {edges} edge{'' if edges == 1 else 's'}"
