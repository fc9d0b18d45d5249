"""What a node gave back that can never be committed, and how a node can end too late or too soon."""

from collections.abc import Iterable, Sequence

from ropewalk.errors.root import RopewalkError, did_you_mean, short


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
            f"{where} writes {short(value)} ({type(value).__name__}) to {field!r}, which takes {expected}: {why}. "
            "Return a value of that type."
        )


class WrongReturn(StepProblem, TypeError):
    code = "wrong_return"

    def __init__(self, node: str, value: object, expected: str, *, who: str | None = None) -> None:
        """``who`` is what returned it, if not the node itself: a function on an edge behind it."""
        self.node = node
        who = who or f"Node {node!r}"
        super().__init__(f"{who} returned {short(value)} ({type(value).__name__}). Return {expected}.")


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
        super().__init__(f"The router after {node!r} chose {short(route)}, which is no node it may lead to.{hint}")


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
        do = (
            "Mend the text first, text.encode('utf-8', 'replace').decode(), or keep it as bytes in Base64."
            if "surrogates not allowed" in why
            else "Declare a precise type for it (a pydantic model, datetime, tuple[...]) or convert it to plain JSON "
            "data; nothing is ever pickled."
        )
        super().__init__(f"{what} cannot be stored: {why}. {do}")


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
