"""What goes wrong at a provider, in our words: which error it is, and whether the same request may succeed."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

from ropewalk.errors import (
    ModelContextFull,
    ModelError,
    ModelKeyRejected,
    ModelNotFound,
    ModelQuotaSpent,
    ModelRateLimited,
    ModelRequestInvalid,
    ModelUnavailable,
)

BY_WORD: Mapping[str, type[ModelError]] = {
    "insufficient_quota": ModelQuotaSpent,
    "billing_error": ModelQuotaSpent,
    "billing_hard_limit_reached": ModelQuotaSpent,
    "context_length_exceeded": ModelContextFull,
    "request_too_large": ModelContextFull,
    "rate_limit_exceeded": ModelRateLimited,
    "rate_limit_error": ModelRateLimited,
    "overloaded_error": ModelUnavailable,
    "api_error": ModelUnavailable,
    "server_error": ModelUnavailable,
    "timeout_error": ModelUnavailable,
    "invalid_api_key": ModelKeyRejected,
    "authentication_error": ModelKeyRejected,
    "permission_error": ModelKeyRejected,
    "model_not_found": ModelNotFound,
    "not_found_error": ModelNotFound,
}
"""What ``error.code`` and ``error.type`` say; the first that is known decides, before the status does."""
BY_STATUS: Mapping[int, type[ModelError]] = {
    401: ModelKeyRejected,
    402: ModelQuotaSpent,
    403: ModelKeyRejected,
    404: ModelNotFound,
    408: ModelUnavailable,
    409: ModelUnavailable,
    429: ModelRateLimited,
}
TOO_LONG = re.compile(
    r"prompt is too long|maximum context length|context window|exceeds? the (available )?context", re.I
)
NO_CREDIT = re.compile(r"credit balance is too low|exceeded your current quota", re.I)
KEY = re.compile(r"\b(sk|key|pk|xai|gsk)[-_][\w*-]{6,}|(?<=Bearer )\S+")
SHORTEST_KEY = 8
"""A shorter one is no secret, and its letters are in every text."""
ADVICE: Mapping[type[ModelError], tuple[str, str]] = {
    ModelRequestInvalid: ("refused the request", "Read what it says; the same request will be refused again."),
    ModelContextFull: ("cannot read that much", "Keep a window or a summary of the messages, or use a larger model."),
    ModelNotFound: ("was not found", "Look at the model's name and the base_url."),
    ModelKeyRejected: ("refused the API key", "Set the provider's key in the environment, or pass api_key=."),
    ModelQuotaSpent: ("has no quota left", "Look at the account's billing, or fall back to another provider."),
    ModelRateLimited: ("limits the rate", "Wait and ask again; Retrying does."),
    ModelUnavailable: ("is not available", "Ask again later, or fall back to another model."),
}


def judged(status: int | None, words: tuple[object, ...], message: str) -> type[ModelError]:
    """Return what an error of the provider is, by its code and type, its text and its HTTP status."""
    if TOO_LONG.search(message) and (status is None or status in (400, 413)):
        return ModelContextFull
    if NO_CREDIT.search(message):
        return ModelQuotaSpent
    for word in words:
        if str(word) in BY_WORD:
            return BY_WORD[str(word)]
    if status is None or status >= 500:
        return ModelUnavailable
    return BY_STATUS.get(status, ModelRequestInvalid)


def told_error(error: object, *, status: int | None = None) -> ModelError:
    """Return the error that a body or an event of the provider tells; who was asked is filled in by the client."""
    known = cast("dict[str, Any]", error) if isinstance(error, dict) else {"message": str(error)}
    message = str(known.get("message") or known.get("code") or known)
    kind = judged(status, (known.get("code"), known.get("type")), message)
    if status is None and kind is ModelUnavailable and known.get("type") == "invalid_request_error":
        kind = ModelRequestInvalid
    return kind(message, status=status)


def in_our_words(error: ModelError, *, provider: str, model: str, secrets: tuple[str, ...]) -> ModelError:
    """Return the error with who was asked and what to do; the provider's own words without any key."""
    what, advice = ADVICE.get(type(error), ("gave no whole answer", "Ask again, or fall back to another model."))
    why = without_keys(" ".join(str(error).split()), secrets).rstrip(".")
    number = f" ({error.status})" if error.status else ""
    return type(error)(
        f"{provider} model {model!r} {what}{number}: {why}. {advice}",
        provider=provider,
        model=model,
        status=error.status,
        request_id=error.request_id,
        retry_after_seconds=error.retry_after_seconds,
        retryable=error.retryable,
    )


def without_keys(text: str, secrets: tuple[str, ...]) -> str:
    for secret in secrets:
        if len(secret) >= SHORTEST_KEY:
            text = text.replace(secret, "***")
    return KEY.sub("***", text)[:2000]


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that the provider asks to wait at ``now`` (since the epoch), told as a number or a date."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        told = headers.get(name, "")
        try:
            return max(float(told) * scale, 0.0)
        except ValueError:
            pass
    try:
        return max(parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - now, 0.0)
    except ValueError:
        return None
