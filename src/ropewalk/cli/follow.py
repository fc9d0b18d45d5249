"""Follows a run to where it stops and prints what happens: a line for each step that ends, and text as it comes."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from ropewalk.cli.result import asked
from ropewalk.cli.screen import Screen, one_line, printable
from ropewalk.cli.tooling import KINDS, decision_in_words, in_words
from ropewalk.cli.trouble import DONE, FAILED, PAUSED
from ropewalk.runtime import Entry, Event, Run

_TICK_SECONDS = 0.1
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_EXIT_CODES = {"DONE": DONE, "PAUSED": PAUSED}
_SIGNS = {"done": ("✓", "green"), "failed": ("✗", "red"), "waits": ("?", "yellow"), "note": ("·", "dim")}


def exit_code(status: str) -> int:
    """Return the exit code that tells a run's status."""
    return _EXIT_CODES.get(status, FAILED)


class Follower(Protocol):
    """What is told of a run."""

    def tell(self, event: Event) -> None:
        """Take in what happened."""
        ...

    def tick(self) -> None:
        """Show what is in flight; called ten times a second."""
        ...

    def end(self) -> None:
        """Leave the terminal as a command leaves it."""
        ...


async def follow(run: Run[Any], going: Awaitable[Any], teller: Follower, *, after: int = 0) -> str:
    """Tell every event behind entry ``after`` until ``going``, which drives the run, is over; return the status."""
    driving = asyncio.ensure_future(going)
    reading = asyncio.create_task(_read(run, driving, teller, after))
    tasks: list[asyncio.Future[Any]] = [driving, reading, asyncio.create_task(_tick(teller))]
    try:
        await asyncio.wait({driving, reading}, return_when=asyncio.FIRST_EXCEPTION)
        if not driving.done() or driving.exception() is None:
            await reading
        await driving
        return run.status
    finally:
        teller.end()
        await _ended(tasks)


async def _ended(tasks: "list[asyncio.Future[Any]]") -> None:
    """Cancel until it is heard: what is cancelled in the very moment in which it is woken may not notice."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=_TICK_SECONDS)
    for task in tasks:
        if not task.cancelled():
            task.exception()


async def _read(run: Run[Any], driving: "asyncio.Future[Any]", teller: Follower, after: int) -> None:
    """Tell all events until the run stops; one that had stopped before it was driven on is read again."""
    cursor: str | int = after
    while True:
        over = driving.done()
        async for event in run.events(after=cursor):
            teller.tell(event)
            cursor = event.id
        if over:
            return
        await asyncio.wait({driving}, timeout=_TICK_SECONDS)


async def _tick(teller: Follower) -> None:
    while True:
        teller.tick()
        await asyncio.sleep(_TICK_SECONDS)


class Teller:
    """Turns events into lines."""

    def __init__(
        self, run_id: str, screen: Screen, clock: Callable[[], float] = time.monotonic, *, debug: bool = False
    ) -> None:
        """``debug`` shows the whole traceback of a step that failed, and not its last line alone."""
        self._debug = debug
        self._run_id = run_id
        self._screen = screen
        self._clock = clock
        self._running: dict[str, tuple[str, float]] = {}
        """Step id -> (node, when it began)."""
        self._speaker: str | None = None
        """The step whose text is printed as it comes; what others say is printed when they end."""
        self._said = False
        self._ticks = 0

    def tell(self, event: Event) -> None:
        if self._screen.as_json:
            self._screen.record(
                {"run_id": self._run_id, "id": event.id, "type": event.type, "node": event.node, "data": event.data}
            )
            return
        act = getattr(self, f"_{event.type}", None)
        if act is not None:
            act(event)
        elif event.type in KINDS or event.type in ("step_recorded", "custom"):
            self._note(event)

    def tell_entry(self, entry: Entry) -> None:
        """Print an entry of the log, whose live events nobody here has seen."""
        self.tell(Event(id=str(entry.number), type=entry.type, node=entry.node, data=entry.data))

    def end(self) -> None:
        self._running.clear()
        self._screen.bottom(())
        self._screen.end_line()

    def tick(self) -> None:
        self._ticks += 1
        self._show_running()

    def _show_running(self) -> None:
        """Show what is in flight at the bottom of the terminal."""
        if not self._running:
            self._screen.bottom(())
            return
        now = self._clock()
        running = [f"{label(step)} {now - since:.1f} s" for step, (_, since) in self._running.items()]
        more = f" and {len(running) - 4} more" if len(running) > 4 else ""
        spin = self._screen.paint(_SPINNER[self._ticks % len(_SPINNER)], "blue")
        self._screen.bottom([f"{spin} {', '.join(running[:4])}{more}"])

    # -- one method for each type of event that has words of its own --------------------------------------------------

    def _step_started(self, event: Event) -> None:
        self._running[event.data["step"]] = (event.node or "", self._clock())

    def _text(self, event: Event) -> None:
        """Let one step at a time speak: tokens of several side by side could not be read."""
        speakers = [step for step, (node, _) in self._running.items() if node == event.node]
        if self._speaker is None and len(speakers) == 1:
            self._speaker = speakers[0]
            self._screen.line(self._screen.paint(f"  {label(self._speaker)} says", "dim"))
        if self._speaker is not None and speakers == [self._speaker]:
            self._said = True
            self._screen.text(printable(event.data["text"]))

    def _step_finished(self, event: Event) -> None:
        step = event.data["step"]
        took = self._ended(step)
        text = event.data.get("text")
        if text and not self._stop_speaking(step):
            self._screen.line(printable(text.rstrip("\n")))
        self._line("done", label(step), took)

    def _step_failed(self, event: Event) -> None:
        data = event.data
        took = self._ended(data["step"])
        self._stop_speaking(data["step"])
        again = "" if data.get("retry_at") is None else f" (attempt {data['attempt']}, another follows)"
        self._line("failed", label(data["step"]), took, f"{data['error']}: {one_line(data['message'], 400)}{again}")
        if not again and data.get("trace"):
            trace = data["trace"] if self._debug else last_frame(data["trace"])
            self._screen.line(self._screen.paint(printable(trace.rstrip("\n")), "dim"))

    def _paused(self, event: Event) -> None:
        self._ended(event.data["step"])
        self._line(
            "waits",
            label(event.data["step"]),
            None,
            f"{event.data['kind']}: {asked(event.data['payload'], 160, kind=event.data['kind'])}",
        )

    def _answered(self, event: Event) -> None:
        by = event.data.get("by")
        told = one_line(decision_in_words(event.data["value"]) or event.data["value"])
        self._line("note", event.node or "", None, f"answered{f' by {by}' if by else ''}: {told}")

    def _state_edited(self, event: Event) -> None:
        self._line("note", "the state", None, "edited")

    def _reset(self, event: Event) -> None:
        if "reason" in event.data:  # else: tokens were dropped for a slow reader, which the step's entry holds
            self._running.clear()
            self._line("note", "the run", None, f"goes on ({event.data['reason'].replace('_', ' ')})")

    def _model_replied(self, event: Event) -> None:
        is_read = self._said and self._speaker is not None and self._running[self._speaker][0] == event.node
        self._line("note", event.node or "", None, one_line(in_words(event.type, event.data, is_read=is_read)))

    def _note(self, event: Event) -> None:
        data = event.data
        if event.type == "custom":
            self._line("note", event.node or "", None, one_line(data))
        elif event.type in KINDS:
            self._line("note", event.node or "", None, one_line(in_words(event.type, data)))
        else:
            what = f"{event.type.replace('_', ' ')}: {one_line(str(data.get('name', '')))}"
            self._line("note", event.node or "", None, what)

    def _line(self, kind: str, who: str, took: float | None, what: str = "") -> None:
        sign, colour = _SIGNS[kind]
        head = self._screen.paint(sign, colour) if self._screen.is_live else f"{kind:<6}"
        time_taken = f"{took:.1f} s" if took is not None else ""
        words = "  ".join(part for part in (f"{printable(who):<24}", time_taken, what) if part)
        self._screen.line(f"{head} {words}".rstrip())

    def _ended(self, step: str) -> float | None:
        running = self._running.pop(step, None)
        self._show_running()
        return None if running is None else self._clock() - running[1]

    def _stop_speaking(self, step: str) -> bool:
        if self._speaker != step:
            return False
        self._speaker, said, self._said = None, self._said, False
        self._screen.end_line()
        return said


def last_frame(trace: str) -> str:
    """Return the end of a traceback: the place where it was raised."""
    begins = trace.rfind('\n  File "')
    return trace[begins + 1 :]


def label(step: str) -> str:
    """Return a step's id as people read it: the number of a first firing is left out."""
    return step.replace("#1[", "[").replace("#1/", "/").removesuffix("#1")
