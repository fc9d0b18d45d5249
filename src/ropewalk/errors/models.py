"""What keeps a language model from giving a whole answer."""

from collections.abc import Sequence

from ropewalk.errors.root import RopewalkError
from ropewalk.errors.starting import Problem


class ModelError(RopewalkError):
    """A language model gave no whole answer."""

    code = "model_error"
    retryable = False
    """Whether the same request may succeed later; of a single error it may differ from its class."""

    def __init__(
        self,
        message: str,
        *,
        provider: str = "",
        model: str = "",
        status: int | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        self.provider = provider
        self.model = model
        self.status = status
        """Of the HTTP answer, if there was one."""
        self.request_id = request_id
        """The provider's own, for its support."""
        self.retry_after_seconds = retry_after_seconds
        if retryable is not None:
            self.retryable = retryable
        super().__init__(message)


class ModelRequestInvalid(ModelError):
    code = "model_request_invalid"


class ModelContextFull(ModelRequestInvalid):
    code = "model_context_full"


class ModelNotFound(ModelError):
    code = "model_not_found"


class ModelKeyRejected(ModelError):
    code = "model_key_rejected"


class ModelQuotaSpent(ModelError):
    code = "model_quota_spent"


class ModelRateLimited(ModelError):
    code = "model_rate_limited"
    retryable = True


class ModelUnavailable(ModelError):
    code = "model_unavailable"
    retryable = True


class ModelUnreachable(ModelError):
    code = "model_unreachable"
    retryable = True


class ModelStreamBroken(ModelError):
    code = "model_stream_broken"
    retryable = True


class ModelStalled(ModelError):
    code = "model_stalled"
    retryable = True


class ModelReplyUnreadable(ModelError):
    code = "model_reply_unreadable"
    retryable = True


class ConversationInvalid(ModelError, ValueError):
    """Nothing was sent; `problems` holds every mistake of the conversation."""

    code = "conversation_invalid"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem.message}\n    {problem.hint}" for problem in self.problems)
        super().__init__(f"The conversation was not sent, every provider would refuse it:\n{lines}")


class ModelLimitReached(ModelError):
    code = "model_limit_reached"

    def __init__(self, limit: str, allowed: float, used: float | None, *, model: str = "") -> None:
        """``used`` None: what was used cannot be known."""
        self.limit = limit
        self.allowed = allowed
        self.used = used
        so_far = "an unknown part is used" if used is None else f"{used:g} are used"
        super().__init__(
            f"Model {model!r} was not asked: the limit on {limit} is {allowed:g} and {so_far}. "
            "Raise the limit, or end here.",
            model=model,
        )


class ModelCircuitOpen(ModelError):
    code = "model_circuit_open"
    retryable = True

    def __init__(self, model: str, failures: int, seconds: float, *, provider: str = "") -> None:
        super().__init__(
            f"Model {model!r} was not asked: its last {failures} calls failed. It is tried again in {seconds:.3g} s; "
            "until then use another model, Fallback([...]).",
            provider=provider,
            model=model,
            retry_after_seconds=seconds,
        )


class ModelScriptEnded(ModelError):
    code = "model_script_ended"

    def __init__(self, cues: int) -> None:
        super().__init__(
            f"The scripted model was asked once more than its script has answers ({cues}). Add an answer to the "
            "script, or pass a function that answers every request.",
            provider="scripted",
            model="scripted",
        )
