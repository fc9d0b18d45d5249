"""What one may ask of the chat, through whichever door: send a message, answer what one is asked, cancel, read back.

A message is the run that answers it: its id is the run's, its session the run's, its user the run's owner.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from pydantic_core import to_json

from ropewalk.chat.chunks import failure_of
from ropewalk.chat.noted import Noted, noted_in
from ropewalk.chat.replies import Decision, Kept, Replies
from ropewalk.chat.requests import ChatContext, WorkflowRequest
from ropewalk.chat.telling import Telling, answer_in
from ropewalk.contracts import RunRecord
from ropewalk.contracts.session_registry import SessionRegistry
from ropewalk.core.facts import read_entry
from ropewalk.errors import (
    BusUnavailable,
    GraphNotFound,
    KeyReused,
    MessageNotFound,
    ModelNotAllowed,
    RequestUnreadable,
    RunExists,
    RunNotFound,
    SessionNotFound,
)
from ropewalk.events import Event
from ropewalk.ids import checked_token
from ropewalk.server.chat_replies import Reply, notice, reply_in, text_of, value_of
from ropewalk.server.owned import Caller
from ropewalk.server.runs import Request, RunService
from ropewalk.server.sessions import OnBusy
from ropewalk.server.standing import Glance

log = logging.getLogger("ropewalk")

_CLAIM_SECONDS = 3600.0
_PAGE = 50
_LONGEST_PAGE = 200
_USERS_KEPT = 100_000
_BROUGHT_ALONG = "conversation_history"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatRules:
    """How a chat is kept."""

    on_busy: OnBusy = "queue"
    """What happens when a session with a message under way gets another one."""
    models: tuple[str, ...] | None = None
    """What clients may ask for, as ``provider:model``; None: what they ask for does not reach the graph."""
    graph: str | None = None
    """Who answers when a request names nobody; None: the first one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """A message that is in the store."""

    message_id: str
    is_new: bool = True
    timestamp: str | None = None
    """When it came first; None: now."""


class ChatDesk:
    """The messages of all sessions."""

    def __init__(self, service: RunService, registry: SessionRegistry, rules: ChatRules | None = None) -> None:
        """Raises ValueError for a service without a graph that one can talk to."""
        self.service = service
        self._registry = registry
        self._replies = Replies(service)
        self._rules = rules or ChatRules()
        self._fields = {name: set(service.inputs(name).schema().get("properties", {})) for name in service.graphs}
        self._talking = [name for name, fields in self._fields.items() if "messages" in fields]
        self._users: dict[str, str] = {}
        """Session -> whose it is, as far as it was asked."""
        if not self._talking:
            raise ValueError("None of the graphs can be talked to: a chat's state has `messages`.")

    # -- sending ------------------------------------------------------------------------------------------------------

    async def send(self, caller: Caller, request: WorkflowRequest, *, key: str | None = None) -> Accepted:
        """Take a message; it is durable on return. The same ``key`` of one user and session is one message.

        Raises `InvalidSession`, `SessionNotFound`, `GraphNotFound`, `ModelNotAllowed`, `SessionBusy`, `LimitReached`,
        `KeyReused`.
        """
        user, glance = await self._entered(caller, request)
        message_id = request.message_id if key is None else keyed_message_id(request.user_id, request.session_id, key)
        checked_token("The message id", message_id)
        kept = None if key is None else await self._replies.kept(message_id)
        if kept is not None:
            return await self._again(user, kept, request)
        named = request.model_copy(update={"message_id": message_id})
        return await self._take(user, named, key, comes_again=bool(key), glance=glance)

    async def _entered(self, caller: Caller, request: WorkflowRequest) -> tuple[Caller, Glance | None]:
        """Do what `enter` does; where that asks whose the session is, look meanwhile how it stands."""
        session, user = request.session_id, request.user_id
        if self._users.get(session) == user:
            return await self.enter(caller, session, user), None
        return await asyncio.gather(self.enter(caller, session, user), self.service.glance(user, session))

    async def _again(self, user: Caller, kept: Kept, request: WorkflowRequest) -> Accepted:
        """Give the first answer again. Raises `KeyReused` for another message."""
        decision, noted = kept.decision, kept.noted
        told = noted.asked if decision is None else decision.text
        if told != request.message or (decision is None and dict(noted.context) != _kept_of(request.context)):
            raise KeyReused(kept.record.run_id)
        if decision is None:
            return Accepted(message_id=kept.record.run_id, is_new=False, timestamp=noted.timestamp)
        await self._replies.again(user, decision)
        return Accepted(message_id=decision.run_id, is_new=False, timestamp=noted.timestamp)

    async def _take(
        self,
        user: Caller,
        request: WorkflowRequest,
        key: str | None,
        *,
        comes_again: bool,
        glance: Glance | None = None,
    ) -> Accepted:
        """Take a message that is not in the store; ``comes_again``: it may be sent again under the same id."""
        message_id = request.message_id
        glance = glance or await self.service.glance(request.user_id, request.session_id)
        newest = glance.stands.newest
        if newest is not None and newest.status == "PAUSED":
            answered = await self._answer(user, newest, request, keeps=comes_again)
            if answered is not None:
                return answered
        graph = self._graph_of(request.context)
        wanted = Request(
            input=self._input(graph, request, is_first=newest is None),
            run_id=message_id,
            key=key,
            session=request.session_id,
            on_busy=self._rules.on_busy,
            note=_begun_behind(newest, _noted(request, graph)).note(),
        )
        started = await self.service.start(user, graph, wanted, glance=glance)
        return Accepted(message_id=started.run_id, is_new=started.is_new)

    async def admit(self, request: WorkflowRequest) -> Accepted:
        """Take a message that came over the bus; one that says something to another message is accepted as that.

        Raises what `send` raises.
        """
        message_id = checked_token("The message id", request.message_id)
        known = Accepted(message_id=message_id, is_new=False)
        kept = await self._replies.kept(message_id)
        if kept is not None or await self.has(message_id):
            if kept is None or (kept.record.owner, kept.noted.session_id) != (request.user_id, request.session_id):
                raise RequestUnreadable("message_id", "it is another message's")
            return known if kept.decision is None else await self._again(Caller(owner=request.user_id), kept, request)
        user = await self.enter(Caller(), request.session_id, request.user_id)
        try:
            return await self._take(user, request, None, comes_again=True)
        except RunExists:
            return known

    async def has(self, message_id: str) -> bool:
        """Tell whether a message is in the store, whosever it is."""
        try:
            await self.service.store.look(message_id)
        except RunNotFound:
            return False
        return True

    async def enter(self, caller: Caller, session_id: str, user_id: str) -> Caller:
        """Return the user of a session, when it is theirs, or nobody's yet: then it is from now on.

        Raises `InvalidSession`, `RequestUnreadable` and `SessionNotFound`.
        """
        checked_token("The session id", session_id)
        if "\0" in user_id:
            raise RequestUnreadable("user_id", "it holds a NUL, which no store keeps")
        if caller.owner not in (None, user_id):
            raise SessionNotFound(session_id)
        if self._users.get(session_id) != user_id:
            await self._claim(session_id, user_id)
        return Caller(owner=user_id)

    async def _claim(self, session_id: str, user_id: str) -> None:
        known = await self.service.store.runs(session=session_id, limit=1)
        if known and known[0].owner != user_id:
            raise SessionNotFound(session_id)
        try:
            is_theirs = bool(known) or await self._registry.claim(session_id, user_id, ttl_seconds=_CLAIM_SECONDS)
        except BusUnavailable as trouble:
            log.warning("session %s: %s", session_id, trouble)
            is_theirs = True  # the store knows no other; what is claimed here for an hour is known by then
        if not is_theirs:
            raise SessionNotFound(session_id)
        if len(self._users) > _USERS_KEPT:
            self._users.clear()
        self._users[session_id] = user_id

    def _graph_of(self, context: ChatContext) -> str:
        name = context.graph or self._rules.graph or self._talking[0]
        found = self.service.graph(name).name
        if found not in self._talking:
            raise GraphNotFound(name, self._talking)
        return found

    def _input(self, graph: str, request: WorkflowRequest, *, is_first: bool) -> dict[str, Any]:
        context = self._allowed(request.context)
        said = _said_before(context) if is_first else []
        given: dict[str, Any] = {"messages": [*said, {"role": "user", "content": request.message}]}
        return given | ({"context": context} if "context" in self._fields[graph] else {})

    def _allowed(self, context: ChatContext) -> dict[str, Any]:
        """Return the context as the graph gets it: with a model only if it may be asked for."""
        told = context.told()
        allowed = self._rules.models
        if allowed is None:
            return {name: value for name, value in told.items() if name not in ("ai_provider", "model")}
        if context.model is not None or context.ai_provider is not None:
            asked = f"{context.ai_provider or '?'}:{context.model or '?'}"
            if asked not in allowed:
                raise ModelNotAllowed(asked, list(allowed))
        return told

    # -- what waits ---------------------------------------------------------------------------------------------------

    async def _answer(
        self, user: Caller, record: RunRecord, request: WorkflowRequest, *, keeps: bool
    ) -> Accepted | None:
        """Answer what the newest message of the session asks, when these words do; None: they begin something new.
        ``keeps``: once, however often they come.
        """
        looked = await self.service.look(user, record.run_id)
        pauses: Sequence[Mapping[str, Any]] = looked["pauses"]
        asked = {"role": "assistant", "content": notice(record.run_id, pauses)}
        reply = reply_in([asked, {"role": "user", "content": request.message}])
        if not isinstance(reply, Reply) or reply.run_id != record.run_id:
            return None
        pause = next((one for one in pauses if one["id"] == reply.pause_id), None)
        decision = Decision(
            run_id=record.run_id,
            pause_id=reply.pause_id,
            text=request.message,
            value=value_of(reply, pause and pause["payload"]),
            releases=pause is not None and pause["kind"] == "breakpoint",
        )
        if keeps:
            await self._replies.reply(user, request.message_id, _noted(request, record.graph), decision)
        else:
            await self._replies.decide(user, decision)
        return Accepted(message_id=record.run_id)

    async def answer(self, caller: Caller, message_id: str, pause_id: str, value: Any) -> None:
        """Answer a pause of a message. Raises `MessageNotFound`, `PauseNotFound`, `AlreadyAnswered`."""
        record = await self.record(caller, message_id)
        await self.service.answer(Caller(owner=record.owner), message_id, pause_id, value)

    async def cancel(self, caller: Caller, message_id: str) -> None:
        """Stop a message for good. Raises `MessageNotFound`, and `RunFinished` for one that is over."""
        record = await self.record(caller, message_id)
        await self.service.cancel(Caller(owner=record.owner), message_id, "the user cancelled it")

    async def record(self, caller: Caller, message_id: str) -> RunRecord:
        """Return the run of a message. Raises `MessageNotFound`, whosever else's it is."""
        try:
            record = await self.service.record(caller, message_id)
        except RunNotFound:
            raise MessageNotFound(message_id) from None
        if record.session is None:
            raise MessageNotFound(message_id)
        return record

    # -- reading back -------------------------------------------------------------------------------------------------

    async def messages(
        self, caller: Caller, session_id: str, user_id: str, *, after: str | None = None, limit: int = _PAGE
    ) -> dict[str, Any]:
        """Return a page of a session's messages, oldest first; ``next`` is what the page before it comes behind: pages
        go back in time. Raises `SessionNotFound`, `MessageNotFound`.
        """
        user = await self.enter(caller, session_id, user_id)
        limit = max(1, min(limit, _LONGEST_PAGE))
        if after is not None:
            await self.record(user, after)
        found = await self.service.store.runs(owner=user.owner, session=session_id, after=after, limit=limit + 1)
        page = [record for record in found[:limit] if record.graph in self.service.graphs]
        items = [item for record in reversed(page) for item in await self.told(record)]
        return {"items": items, "next": found[limit - 1].run_id if len(found) > limit else None}

    async def told(self, record: RunRecord) -> list[dict[str, Any]]:
        """Return what a run adds to its session: the user's message, and the answer as far as it is settled."""
        kept = await self.service.store.read(record.run_id)
        entries = [read_entry(number, body) for number, body in kept]
        noted = noted_in(entries[0].data) if entries else None
        if noted is None:
            return []
        about = {"message_id": record.run_id, "session_id": record.session, "timestamp": record.created}
        asked = {**about, "role": "user", "content": noted.asked}
        answer = await self._text(record, noted, entries)
        if record.status == "RUNNING" and not answer:
            return [asked]
        said: dict[str, Any] = {**about, "role": "assistant", "content": answer, "status": record.status}
        said["timestamp"] = record.updated
        if record.status == "FAILED":
            ended = [entry.data for entry in entries if entry.type == "run_failed"]
            said["error"] = failure_of(ended[-1] if ended else {})
        return [asked, said]

    async def _text(self, record: RunRecord, noted: Noted, entries: Sequence[Any]) -> str:
        telling = Telling()
        telling.take(Event(id=str(one.number), type=one.type, node=one.node, data=one.data) for one in entries)
        if record.status != "DONE":
            return telling.text
        engine = await self.service.graph(record.graph).desk.load(record.run_id)
        state = engine.schedule.shape.to_json(engine.schedule.union())
        return answer_in(state.get("messages") or (), noted.asked) or telling.text


def keyed_message_id(user_id: str, session_id: str, key: str) -> str:
    """Return the id of the message that a user sends to a session with an `Idempotency-Key`."""
    named = to_json([user_id, session_id, key])
    return f"msg_{hashlib.sha256(named).hexdigest()[:24]}"


def _noted(request: WorkflowRequest, graph: str) -> Noted:
    """Return what is kept with a message that ``graph`` answers."""
    return Noted(
        session_id=request.session_id,
        correlation_id=request.correlation_id or request.message_id,
        model=graph,
        context=_kept_of(request.context),
        timestamp=request.timestamp,
    )


def _begun_behind(newest: RunRecord | None, noted: Noted) -> Noted:
    """Return what is kept with a message that begins something, in a session with this newest one."""
    return replace(noted, is_first=newest is None, behind=newest and newest.run_id)


def _kept_of(context: ChatContext) -> dict[str, Any]:
    """Return the context without the conversation that it brings along."""
    return {name: said for name, said in context.told().items() if name != _BROUGHT_ALONG}


def _said_before(context: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the conversation that a client brings along: text of users and assistants, nothing else."""
    told = cast("list[dict[str, Any]]", context.get(_BROUGHT_ALONG) or [])
    said = [(str(one.get("role")), text_of(one)) for one in told]
    return [{"role": role, "content": text} for role, text in said if role in ("user", "assistant") and text]
