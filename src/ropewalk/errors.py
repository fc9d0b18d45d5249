"""Every error of Ropewalk. Each message says what happened, why, and what to do now.

It is one file because it is one vocabulary: codes, messages and the tree below are read together.

    RopewalkError
    ├── GraphInvalid        the drawing has mistakes, all listed
    ├── GraphFrozen         something was added after compile()
    ├── StateMissing        a run needs an initial state that nobody gave
    ├── PartUnknown         a URL names no part
    ├── QueueMissing        runs are to be left to workers by a store that has no queue
    ├── InvalidId           an id that no store or broker could carry
    ├── StepProblem         what a node returned or wrote can never be committed (not retried)
    │   └── UnknownField, WrongType, WrongReturn, NotAwaited, UnknownRoute, RouterWrites, NotStorable, TooLarge,
    │       TooManyIterations
    ├── NodeTimeout         a node took longer than its timeout
    ├── RouterCancelled     an async router was cut off by the end of the run
    ├── NodeCancelled       a node let a cancellation out that nobody asked the run for
    ├── RunError            one run
    │   ├── RunNotFound, RunExists, RunTaken, RunFinished, RunInterrupted
    │   ├── RunPaused, RunFailed, RunCancelled      what awaiting a run raises when it did not end well
    │   ├── PauseNotFound, AlreadyAnswered
    │   ├── GraphChanged    the log tells of a node or field that the graph no longer has
    │   └── EntryNotFound
    ├── GraphNotFound       nothing is served under this name
    ├── InputInvalid        what a run is to begin with does not fit its graph
    ├── KeyReused           an idempotency key came again with another request
    ├── SessionBusy         a conversation has a run under way, and its rule is to refuse
    ├── LimitReached        somebody asks for more than one may have; `retry_after_seconds` says when to ask again
    ├── RequestRefused      a request that no door lets in
    │   └── NotAuthenticated, HostRefused, OriginRefused, RequestMalformed, MediaTypeRefused, RequestTooLarge,
    │       PageNotFound, MethodRefused
    ├── StoreUnavailable    the medium failed; the run is given back, nothing is lost
    │   └── StoreFull, StoreReadOnly, StoreCorrupt, StoreTooNew
    └── PartMissing         an optional part is not installed
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar, NamedTuple


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence part that names the nearest known name and lists a few; empty when nothing is known."""
    names = [*dict.fromkeys(known)]
    if not names:
        return ""
    near = get_close_matches(str(name), names, n=1, cutoff=0.5)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    shown = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
    return f"{guess} Known: {shown}."


class RopewalkError(Exception):
    """What every error of this package is. `code` is the same in HTTP bodies, events, log lines and docs."""

    code: ClassVar[str] = "error"


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
            f"{value!r} cannot be a run id: it must start with a letter or digit and go on with letters, digits "
            "or . _ : @ - (200 characters at most). Choose another."
        )


class StepProblem(RopewalkError):
    """What a node gave back can never be committed; running it again would not help, so it is not retried."""

    code = "step_problem"


class UnknownField(StepProblem):
    code = "unknown_field"

    def __init__(self, field: str, known: Iterable[str], where: str) -> None:
        self.field = field
        super().__init__(
            f"{where} writes {field!r}, which the state does not declare.{did_you_mean(field, known)} "
            "Declare the field in the state class or drop the write."
        )


class WrongType(StepProblem, TypeError):
    code = "wrong_type"

    def __init__(self, field: str, expected: str, value: object, why: str, where: str) -> None:
        self.field = field
        super().__init__(
            f"{where} writes {_short(value)} ({type(value).__name__}) to {field!r}, which takes {expected}: {why}. "
            "Return a value of that type."
        )


class WrongReturn(StepProblem, TypeError):
    code = "wrong_return"

    def __init__(self, node: str, value: object, expected: str, *, who: str | None = None) -> None:
        """``who`` is what returned it, if not the node itself: a function on an edge behind it."""
        self.node = node
        who = who or f"Node {node!r}"
        super().__init__(f"{who} returned {_short(value)} ({type(value).__name__}). Return {expected}.")


class NotAwaited(StepProblem):
    code = "not_awaited"

    def __init__(self, node: str, call: str) -> None:
        self.node = node
        super().__init__(
            f"Node {node!r} called ctx.{call}() and never awaited it, so nothing came of it. "
            f"Write `await ctx.{call}(...)`, in an `async def`."
        )


class UnknownRoute(StepProblem):
    code = "unknown_route"

    def __init__(self, node: str, route: object, known: Iterable[str]) -> None:
        self.node = node
        self.route = route
        hint = (
            f" {route} is a constant, not a text: from ropewalk import {route}."
            if route in ("END", "START")
            else did_you_mean(str(route), known)
        )
        super().__init__(f"The router after {node!r} chose {_short(route)}, which is no node it may lead to.{hint}")


class RouterWrites(StepProblem):
    code = "router_writes"

    def __init__(self, router: str, node: str, fields: Sequence[str]) -> None:
        self.node = node
        self.fields = tuple(fields)
        names = ", ".join(map(repr, fields))
        super().__init__(
            f"{router!r}, which chooses what follows {node!r}, changed {names} in the state it was given; a function "
            "on an edge may look but not write. Write in a node instead."
        )


class NotStorable(StepProblem, TypeError):
    code = "not_storable"

    def __init__(self, what: str, why: str) -> None:
        super().__init__(
            f"{what} cannot be stored: {why}. Declare a precise type for it (a pydantic model, datetime, tuple[...]) "
            "or convert it to plain JSON data; nothing is ever pickled."
        )


class TooLarge(StepProblem, ValueError):
    code = "too_large"

    def __init__(self, what: str, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            f"{what} is {size:,} bytes, over the limit of {limit:,}. Store a reference (a path, a key) instead of the "
            "data itself."
        )


class TooManyIterations(StepProblem):
    code = "too_many_iterations"

    def __init__(self, node: str, times: int) -> None:
        self.node = node
        self.times = times
        super().__init__(
            f"Node {node!r} has run {times} times in this run, the most that max_node_iterations allows. If the loop "
            "is meant to go on, give the graph a larger max_node_iterations; else look at the router that leads back."
        )


class NodeTimeout(RopewalkError, TimeoutError):
    code = "node_timeout"

    def __init__(self, node: str, seconds: float) -> None:
        self.node = node
        self.seconds = seconds
        super().__init__(
            f"Node {node!r} took longer than its timeout of {seconds:g} s and was cancelled; its late writes are "
            "discarded. Raise the timeout or make the node shorter."
        )


class NodeCancelled(RopewalkError):
    code = "node_cancelled"

    def __init__(self, node: str, detail: str) -> None:
        self.node = node
        super().__init__(
            f"Node {node!r} was cancelled from inside{f' ({detail})' if detail else ''}: something it awaited was. "
            "Catch asyncio.CancelledError around it, or give the node a retry policy."
        )


class RouterCancelled(RopewalkError):
    code = "router_cancelled"

    def __init__(self) -> None:
        super().__init__(
            "An async router was cancelled because the run was ended while it was being asked. "
            "Resume the run to ask again."
        )


class RunError(RopewalkError):
    """Something about one run."""

    code = "run_error"

    def __init__(self, run_id: str, message: str) -> None:
        self.run_id = run_id
        super().__init__(message)


class RunNotFound(RunError, KeyError):
    code = "run_not_found"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            run_id,
            f"No run {run_id!r} in this store: it was never admitted here, or it was pruned. "
            "Look at `ropewalk runs ls`, and at whether the store's URL is the one it was started with.",
        )

    def __str__(self) -> str:
        return str(self.args[0])


class RunExists(RunError):
    code = "run_exists"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            run_id,
            f"Run {run_id!r} exists already. To go on with it use graph.open({run_id!r}).resume(); "
            "to start another, choose a new id or leave it out.",
        )


class RunTaken(RunError):
    code = "run_taken"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            run_id,
            f"Run {run_id!r} was taken over by another owner, so this one may no longer write to it; what it had in "
            "flight is discarded. Follow the run with graph.open(), or take it back with resume().",
        )


class RunFinished(RunError):
    code = "run_finished"

    def __init__(self, run_id: str, status: str, what: str) -> None:
        self.status = status
        super().__init__(
            run_id, f"Run {run_id!r} is {status}, so {what} is no longer possible. Fork it to try another way."
        )


class RunInterrupted(RunError):
    code = "run_interrupted"

    def __init__(self, run_id: str) -> None:
        super().__init__(
            run_id,
            f"Run {run_id!r} stopped being driven before it ended (its task was cancelled or its loop closed). "
            "What was committed is kept: resume() goes on from there.",
        )


class RunPaused(RunError):
    code = "run_paused"

    def __init__(self, run_id: str, pauses: Sequence[Any]) -> None:
        self.pauses = tuple(pauses)
        waiting = ", ".join(f"{pause.kind} {pause.id!r} at {pause.node!r}" for pause in self.pauses) or "a person"
        super().__init__(
            run_id,
            f"Run {run_id!r} is paused and waits for {waiting}. Answer with run.answer(id, value); "
            "resume() releases breakpoints.",
        )


class RunFailed(RunError, RuntimeError):
    """The run failed; `node`, `attempt` and `reason` say where and why, `__cause__` is the original when it is at
    hand.
    """

    code = "run_failed"

    def __init__(self, run_id: str, *, reason: str, message: str, node: str | None = None, attempt: int = 0) -> None:
        self.node = node
        self.attempt = attempt
        self.reason = reason
        where = f" in node {node!r} (attempt {attempt})" if node else ""
        super().__init__(
            run_id, f"Run {run_id!r} failed{where}: {message} [{reason}]. Finished steps are kept; resume() retries."
        )


class RunCancelled(RunError):
    code = "run_cancelled"

    def __init__(self, run_id: str, reason: str | None) -> None:
        self.reason = reason
        super().__init__(run_id, f"Run {run_id!r} was cancelled" + (f": {reason}" if reason else "") + ".")


class PauseNotFound(RunError):
    code = "pause_not_found"

    def __init__(self, run_id: str, pause_id: str, known: Iterable[str]) -> None:
        self.pause_id = pause_id
        super().__init__(run_id, f"Run {run_id!r} has no pause {pause_id!r}.{did_you_mean(pause_id, known)}")


class AlreadyAnswered(RunError):
    code = "already_answered"

    def __init__(self, run_id: str, pause_id: str, *, by: str | None, at: str) -> None:
        self.pause_id = pause_id
        self.by = by
        self.at = at
        super().__init__(
            run_id,
            f"Pause {pause_id!r} of run {run_id!r} was answered first by {by or 'somebody without a name'} at {at}; "
            "a pause takes one answer. Fork the run before it to answer differently.",
        )


class EntryNotFound(RunError):
    code = "entry_not_found"

    def __init__(self, run_id: str, number: int, first: int, last: int) -> None:
        self.number = number
        super().__init__(run_id, f"Run {run_id!r} has no entry {number}; it has {first} to {last}.")


class GraphChanged(RunError):
    code = "graph_changed"

    def __init__(self, run_id: str, what: str, name: str, known: Iterable[str]) -> None:
        self.name = name
        super().__init__(
            run_id,
            f"The log of run {run_id!r} tells of {what} {name!r}, which this graph does not have there."
            f"{did_you_mean(name, known)} Run it with the code it was started with, or fork it before that entry.",
        )


class GraphNotFound(RopewalkError, KeyError):
    code = "graph_not_found"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        super().__init__(f"No graph {name!r} is served here.{did_you_mean(name, known)}")

    def __str__(self) -> str:
        return str(self.args[0])


class InputInvalid(RopewalkError, ValueError):
    code = "input_invalid"

    def __init__(self, graph: str, problems: Sequence[Problem]) -> None:
        self.graph = graph
        self.problems = tuple(problems)
        lines = "; ".join(f"{problem.message}: {problem.hint}" for problem in self.problems)
        super().__init__(f"The input does not fit graph {graph!r}: {lines}. Its schema is told with the graph.")


class KeyReused(RopewalkError, ValueError):
    code = "key_reused"

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"This Idempotency-Key has started run {run_id!r} with another body, so it cannot start this one. "
            "Send the same body to hear of that run again, or choose a new key."
        )


class SessionBusy(RopewalkError):
    code = "session_busy"

    def __init__(self, session: str, run_id: str) -> None:
        self.session = session
        self.run_id = run_id
        super().__init__(
            f"Session {session!r} has run {run_id!r} under way, and on_busy is 'reject'. Wait for that run, cancel it, "
            "or ask for on_busy='queue', 'interrupt' or 'parallel'."
        )


class LimitReached(RopewalkError):
    code = "limit_reached"

    def __init__(self, what: str, limit: float, *, setting: str, retry_after_seconds: float = 1.0) -> None:
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds
        super().__init__(
            f"No more than {limit:g} {what} at a time are served here. Try again in {retry_after_seconds:g} s; "
            f"whoever runs this server may raise {setting}."
        )


class RequestRefused(RopewalkError):
    """What a door answers to a request that it does not let in."""

    code = "request_refused"


class NotAuthenticated(RequestRefused):
    code = "not_authenticated"

    def __init__(self, why: str) -> None:
        super().__init__(f"{why} Send the header Authorization: Bearer with a key or token of this server.")


class HostRefused(RequestRefused):
    code = "host_refused"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"This server does not answer to the name {host!r}: a web page could point any name at it. "
            "Use its address, or let whoever runs it allow the name (--allow-host)."
        )


class OriginRefused(RequestRefused):
    code = "origin_refused"

    def __init__(self, origin: str) -> None:
        super().__init__(
            f"Pages of {origin!r} may not use this server. Whoever runs it may allow them (--allow-origin)."
        )


class RequestMalformed(RequestRefused, ValueError):
    code = "request_malformed"

    def __init__(self, what: str, problems: Sequence[Problem] = ()) -> None:
        self.problems = tuple(problems)
        lines = "; ".join(f"{problem.message}: {problem.hint}" for problem in self.problems)
        super().__init__(f"{what}{' ' if lines else ''}{lines}{'.' if lines else ''}")


class MediaTypeRefused(RequestRefused):
    code = "media_type_refused"

    def __init__(self, given: str) -> None:
        super().__init__(f"The body is {given or 'of no declared type'}. Send JSON: Content-Type: application/json.")


class RequestTooLarge(RequestRefused):
    code = "request_too_large"

    def __init__(self, what: str, limit: int) -> None:
        self.limit = limit
        super().__init__(f"{what} is over the limit of {limit:,} bytes. Send less; put large things where they belong.")


class PageNotFound(RequestRefused):
    code = "page_not_found"

    def __init__(self) -> None:
        super().__init__("There is nothing at this path. GET /openapi.json lists what there is.")


class MethodRefused(RequestRefused):
    code = "method_refused"

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} is not something one can do here. GET /openapi.json lists what one can.")


class StoreUnavailable(RopewalkError):
    code = "store_unavailable"


class StoreFull(StoreUnavailable):
    code = "store_full"


class StoreReadOnly(StoreUnavailable):
    code = "store_read_only"


class StoreCorrupt(StoreUnavailable):
    code = "store_corrupt"


class StoreTooNew(StoreUnavailable):
    code = "store_too_new"


class PartMissing(RopewalkError, ImportError):
    code = "part_missing"

    def __init__(self, part: str, extra: str) -> None:
        super().__init__(f"{part} needs an optional package. Install it: pip install 'ropewalk[{extra}]'")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
