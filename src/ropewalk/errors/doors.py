"""What the doors of a server tell those who ask: names, inputs, limits and requests that are not let in."""

from collections.abc import Iterable, Sequence

from ropewalk.errors.root import RopewalkError, did_you_mean
from ropewalk.errors.starting import Problem


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
        """``graph`` is empty for what is wrong with the request around the input."""
        self.graph = graph or None
        self.problems = tuple(problems)
        lines = "; ".join(f"{problem.message}: {problem.hint}" for problem in self.problems).rstrip(".")
        whole = f"The input does not fit graph {graph!r}: {lines}. Its schema is told with the graph."
        super().__init__(whole if graph else f"The body does not fit: {lines}.")


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
