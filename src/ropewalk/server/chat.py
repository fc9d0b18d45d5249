"""One turn of a conversation with a graph, whichever wire it comes over: start or answer a run, then listen to it.

A graph is chat-shaped when its state has ``messages``; the newest assistant's message is its answer.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ropewalk.errors import GraphNotFound, PauseExpired, PauseNotFound, RequestMalformed
from ropewalk.server.chat_replies import (
    Message,
    Reply,
    Unclear,
    answer_in,
    reply_in,
    said_before,
    value_of,
    without_notices,
)
from ropewalk.server.encoders.heard import Hearing
from ropewalk.server.encoders.words import Asked, Heard, Stopped
from ropewalk.server.following import Reader
from ropewalk.server.owned import Caller
from ropewalk.server.runs import Request, RunService

Pauses = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """A run that somebody listens to."""

    run_id: str
    graph: str
    after: str | None = None
    """The event behind which this turn begins; None: the run's beginning."""
    given: int = 0
    """How many messages the run began with, or had when this turn began."""
    said: str = ""
    """What was said of this run before this turn: a step that was answered begins anew, and may say it again."""
    says_again: bool = True
    """False: what was said stands in the log, as a tool loop's words do, and is not said again."""


@dataclass(kw_only=True, slots=True)
class End:
    """How a turn ended."""

    kind: str = ""
    """run_done, run_paused, run_failed, run_cancelled; empty: the listener was sent away before the run stopped."""
    code: str | None = None
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    pauses: Pauses = ()
    answer: str | None = None


class Chat:
    """The chat-shaped graphs of a service."""

    def __init__(self, service: RunService) -> None:
        self._service = service

    def graphs(self) -> list[str]:
        """Return the names of all graphs that one can talk to."""
        return [name for name in self._service.graphs if self._talks(name)]

    def _talks(self, name: str) -> bool:
        return "messages" in self._service.inputs(name).schema().get("properties", {})

    def name_of(self, name: str) -> str:
        """Return the graph's own name. Raises `GraphNotFound`, also for a graph that one cannot talk to."""
        found = self._service.graph(name).name
        if not self._talks(found):
            raise GraphNotFound(name, self.graphs())
        return found

    async def turn(
        self,
        caller: Caller,
        graph: str,
        messages: Sequence[Message],
        *,
        session: str | None = None,
        key: str | None = None,
    ) -> Turn:
        """Start a run with a conversation, or answer the run that its newest message answers.

        Raises what `RunService.start` and `RunService.answer` raise; `RequestMalformed` when it is not clear what is
        answered.
        """
        name = self.name_of(graph)
        reply = reply_in(messages)
        if isinstance(reply, Reply):
            return replace(await self.reply(caller, reply), said=said_before(messages))
        if isinstance(reply, Unclear):
            raise RequestMalformed(f"Several things wait. Say which one: {', '.join(reply.known)}.")
        given = without_notices(messages)
        wanted = Request(input={"messages": given}, session=session, key=key)
        started = await self._service.start(caller, name, wanted)
        return Turn(run_id=started.run_id, graph=name, given=len(given))

    async def reply(self, caller: Caller, reply: Reply) -> Turn:
        """Answer a pause as a person has put it. Raises `RunNotFound`, `PauseNotFound`, `AlreadyAnswered`."""
        looked = await self._service.look(caller, reply.run_id)
        pause = next((one for one in looked["pauses"] if one["id"] == reply.pause_id), None)
        value = value_of(reply, pause and pause["payload"])
        return await self.answer(caller, reply.run_id, {reply.pause_id: value})

    async def answer(self, caller: Caller, run_id: str, answers: Mapping[str, Any]) -> Turn:
        """Answer pauses of one run (pause id -> value). Raises `RunNotFound`, `PauseNotFound`, `AlreadyAnswered`."""
        looked = await self._service.look(caller, run_id)
        waits = {pause["id"]: pause for pause in looked["pauses"]}
        says_again = await self._says_again(caller, run_id, answers)
        for pause_id, value in answers.items():
            await self._answer(caller, run_id, pause_id, value, kind=waits.get(pause_id, {}).get("kind"))
        messages = looked["state"].get("messages")
        given = len(messages) if isinstance(messages, list) else 0  # pyright: ignore[reportUnknownArgumentType]
        after = str(looked["entries"])
        return Turn(run_id=run_id, graph=looked["graph"], after=after, given=given, says_again=says_again)

    async def _answer(self, caller: Caller, run_id: str, pause_id: str, value: Any, *, kind: str | None) -> None:
        if kind == "breakpoint":
            if value is False or not isinstance(value, bool | str):
                raise PauseNotFound(run_id, pause_id, [])
            await self._service.resume(caller, run_id)
            return
        try:
            await self._service.answer(caller, run_id, pause_id, value)
        except PauseExpired:  # nobody can answer any more, and a conversation has no other way to go on
            await self._service.resume(caller, run_id)

    async def _says_again(self, caller: Caller, run_id: str, pause_ids: Iterable[str]) -> bool:
        """Tell whether a step that waits there begins anew with its first word; a tool loop does not: its words stand
        in the log.
        """
        wanted, asking, loops = {*pause_ids}, set[str](), set[str]()
        after: int | None = 0
        while after is not None:
            page = await self._service.history(caller, run_id, after=after)
            for entry in page["items"]:
                if entry["type"] == "model_replied":
                    loops.add(entry["data"]["step"])
                elif entry["type"] == "paused" and entry["data"]["pause"] in wanted:
                    asking.add(entry["data"]["step"])
            after = page["next"]
        return not asking <= loops

    async def follow(self, caller: Caller, turn: Turn) -> "Listening":
        """Return the listener of a turn; `Listening.reader` is to be closed."""
        reader = await self._service.follow(caller, turn.run_id, turn.after)
        return Listening(self._service, caller, turn, reader)


class Listening:
    """What one listener hears of one turn: iterate `heard` to its end, then look at `end`."""

    def __init__(self, service: RunService, caller: Caller, turn: Turn, reader: Reader) -> None:
        self.turn = turn
        self.reader = reader
        self.hearing = Hearing(turn.said if turn.says_again else "")
        self.end = End()
        self._service = service
        self._caller = caller

    async def heard(self) -> AsyncIterator[list[Heard]]:
        """Yield what is heard; an empty list when nothing was for a while. At the end the run's stop is known."""
        stopped: Stopped | None = None
        pieces = [self.reader.opening]
        while True:
            frames = pieces.pop() if pieces else None
            if frames is None:
                said = await self.reader.take()
                if said is None:
                    break
                frames = said.frames
            found = [heard for frame in frames for heard in self.hearing.hear(frame.event)]
            stopped = next((one for one in reversed(found) if isinstance(one, Stopped)), stopped)
            if found or not frames:
                yield found
        if stopped is not None and self.reader.why == "ended":
            missed = await self._look(stopped)
            if missed:
                yield missed

    async def _look(self, stopped: Stopped) -> list[Heard]:
        """Find out how the run stands; return questions that were asked before this turn and are still open."""
        looked = await self._service.look(self._caller, self.turn.run_id)
        pauses: list[dict[str, Any]] = looked["pauses"] if stopped.kind == "run_paused" else []
        answer = answer_in(looked["state"], self.turn.given) if stopped.kind == "run_done" else None
        self.end = End(kind=stopped.kind, code=stopped.code, state=looked["state"], pauses=pauses, answer=answer)
        known = self.hearing.pauses
        missed = [p for p in pauses if p["id"] not in known]
        return [Asked(p["id"], p["kind"], p["node"], p["payload"]) for p in missed]
