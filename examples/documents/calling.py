"""Shows the clerk at work: what its model writes and uses, and each call of a tool as it begins and ends."""

from collections.abc import Mapping
from typing import Any, cast

from ropewalk import Event
from ropewalk.cli.screen import Screen, one_line, printable


class Calls:
    """Turns the events of a tool loop into lines on the screen."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._in_flight: dict[str, str] = {}
        """Call id -> what is called."""
        self._writing = ""
        """What the model writes: the arguments of a call."""

    def tell(self, event: Event) -> bool:
        """Take in an event; return whether it was one of a loop."""
        match event.type:
            case "tool_arguments":
                piece = event.data["arguments"]
                self._writing = self._writing + piece if piece else f"{event.data['tool']} {piece}"
            case "model_replied":
                self._writing = ""
                self._replied(event.data["value"]["message"], event.data.get("usage") or {})
            case "tool_call":
                value = event.data["value"]
                self._in_flight[value["call_id"]] = f"{value['tool']:<11} {printable(_about(value['arguments']))}"
            case "tool_result":
                self._ended(event.data["value"])
            case _:
                return False
        return True

    def forget(self) -> None:
        """Take nothing for being in flight any more."""
        self._in_flight.clear()
        self._writing = ""

    @property
    def lines(self) -> list[str]:
        """What is in flight."""
        writing = [self._screen.paint(f"writes      {one_line(self._writing)}", "dim")] if self._writing else []
        return [*self._in_flight.values(), *writing]

    def _replied(self, message: Mapping[str, Any], usage: Mapping[str, Any]) -> None:
        """Say what a reply has used, and what it asks for."""
        names = [str(call["name"]) for call in message.get("tool_calls") or ()]
        wants = ", ".join(f"{name} ({names.count(name)})" for name in dict.fromkeys(names))
        tokens = f"{usage.get('input_tokens', 0):g} tokens read, {usage.get('output_tokens', 0):g} written"
        self._screen.end_line()
        self._screen.line(self._screen.paint(f"  clerk       {tokens}{wants and f'; it calls {wants}'}", "dim"))

    def _ended(self, value: Mapping[str, Any]) -> None:
        self._in_flight.pop(value["call_id"], None)
        went_well = value["status"] == "ok"
        sign = self._screen.paint(*("✓", "green") if went_well else ("✗", "yellow"))
        what = f"{_about(value['arguments']):<28} {_came(value['result'])}" if went_well else _why_not(value)
        self._screen.line(f"{sign} {value['tool']:<11} {printable(what)}".rstrip())


def _about(arguments: Mapping[str, Any]) -> str:
    """Return what a call is about: what it is given, in short."""
    told = arguments.get("words") or arguments.get("file") or ", ".join(map(str, arguments.get("sources") or ()))
    return one_line(str(told), 60)


def _came(result: Any) -> str:
    """Return what a call brought, in few words."""
    if isinstance(result, list):
        found = len(cast("list[Any]", result))
        return f"found in {found} place{'' if found == 1 else 's'}" if found else "not found"
    return f"{len(result.splitlines())} lines" if isinstance(result, str) and "\n" in result else ""


def _why_not(value: Mapping[str, Any]) -> str:
    return one_line(str(value.get("error") or value["status"]))
