"""Every error of Ropewalk, one import away. Each message says what happened, why, and what to do now.

RopewalkError           root.py
├── starting.py             what keeps a graph from being drawn or started
│   └── GraphInvalid, GraphFrozen, StateMissing, PartUnknown, PartMissing, QueueMissing, InvalidId,
│       InvalidSession
├── steps.py
│   ├── StepProblem         what a node returned or wrote can never be committed (not retried)
│   │   └── UnknownField, WrongType, WrongReturn, NotAwaited, UnknownRoute, RouterWrites, NotStorable, TooLarge,
│   │       TooManyIterations
│   └── NodeTimeout, NodeCancelled, RouterCancelled
├── runs.py
│   └── RunError            one run
│       ├── RunNotFound, RunExists, TurnTaken, RunTaken, RunFinished, RunInterrupted, GraphChanged, EntryNotFound,
│       │   StepNotFound
│       ├── RunPaused, RunFailed, RunCancelled      what awaiting a run raises when it did not end well
│       └── PauseNotFound, AlreadyAnswered, PauseExpired, AnswerInvalid
├── stores.py
│   └── StoreUnavailable    the medium failed; the run is given back, nothing is lost
│       └── StoreFull, StoreReadOnly, StoreCorrupt, StoreTooNew
├── models.py
│   └── ModelError          a language model gave no whole answer; `retryable` says whether the same may succeed
│       ├── ModelRequestInvalid, ModelContextFull, ModelNotFound, ModelKeyRejected, ModelQuotaSpent
│       ├── ModelRateLimited, ModelUnavailable, ModelUnreachable
│       ├── ModelStreamBroken, ModelStalled, ModelReplyUnreadable       half an answer is none
│       ├── ConversationInvalid     calls and results do not pair; nothing was sent
│       └── ModelLimitReached, ModelCircuitOpen, ModelScriptEnded
├── tools.py
│   ├── ToolInvalid         a function cannot be a tool, or a tool cannot be used as it was given
│   ├── ToolProblem         a tool call came to no good, and the loop was not to tell the model, or not again
│   │   └── ToolUnknown, ToolArgumentsInvalid, ToolTimeout, ToolOutcomeUnknown, ToolServerFailed, ToolErrors
│   ├── ReplyNotFinal       a model's reply ended in a way that is no answer: ReplyCutOff, ReplyRefused
│   └── OutputInvalid       a model's final answer did not fit its schema, as often as it was told so
├── messaging.py            Redis, locks and streams; a missing key is no error but None
│   ├── RedisProblem        RedisUnavailable, RedisRefused over RedisDenied, WrongKind, RedisFull
│   ├── LockNotAcquired, LockHeld, LockLost
│   └── GroupMissing, StreamBusy, NotReadable
├── chat.py                 between pods and workers
│   └── ChatProblem         BusUnavailable, ChunkRefused, MessageOver, MessageNotFound, SessionNotFound,
│                           RequestUnreadable, ModelNotAllowed
├── doors.py                what a server answers
│   ├── GraphNotFound       nothing is served under this name
│   ├── InputInvalid        what a run is to begin with does not fit its graph
│   ├── KeyReused           an idempotency key came again with another request
│   ├── SessionBusy         a conversation has a run under way, and its rule is to refuse
│   ├── LimitReached        somebody asks for more than one may have; `retry_after_seconds` says when to ask again
│   └── RequestRefused      a request that no door lets in
│       └── NotAuthenticated, HostRefused, OriginRefused, RequestMalformed, MediaTypeRefused, RequestTooLarge,
│           PageNotFound, MethodRefused
└── ...                     what a plug-in adds
"""

from typing import TYPE_CHECKING, Any

from ropewalk.errors.root import RopewalkError, did_you_mean
from ropewalk.errors.runs import (
    AlreadyAnswered,
    AnswerInvalid,
    EntryNotFound,
    GraphChanged,
    PauseExpired,
    PauseNotFound,
    RunCancelled,
    RunError,
    RunExists,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunNotFound,
    RunPaused,
    RunTaken,
    StepNotFound,
    TurnTaken,
)
from ropewalk.errors.starting import (
    GraphFrozen,
    GraphInvalid,
    InvalidId,
    InvalidSession,
    PartMissing,
    PartUnknown,
    Problem,
    QueueMissing,
    StateMissing,
)
from ropewalk.errors.steps import (
    NodeCancelled,
    NodeTimeout,
    NotAwaited,
    NotStorable,
    RouterCancelled,
    RouterWrites,
    StepProblem,
    TooLarge,
    TooManyIterations,
    UnknownField,
    UnknownRoute,
    WrongReturn,
    WrongType,
)
from ropewalk.errors.stores import StoreCorrupt, StoreFull, StoreReadOnly, StoreTooNew, StoreUnavailable

if TYPE_CHECKING:
    from ropewalk.errors.chat import (
        BusUnavailable,
        ChatProblem,
        ChunkRefused,
        MessageNotFound,
        MessageOver,
        ModelNotAllowed,
        RequestUnreadable,
        SessionNotFound,
    )
    from ropewalk.errors.doors import (
        GraphNotFound,
        HostRefused,
        InputInvalid,
        KeyReused,
        LimitReached,
        MediaTypeRefused,
        MethodRefused,
        NotAuthenticated,
        OriginRefused,
        PageNotFound,
        RequestMalformed,
        RequestRefused,
        RequestTooLarge,
        SessionBusy,
    )
    from ropewalk.errors.messaging import (
        GroupMissing,
        LockHeld,
        LockLost,
        LockNotAcquired,
        NotReadable,
        RedisDenied,
        RedisFull,
        RedisProblem,
        RedisRefused,
        RedisUnavailable,
        StreamBusy,
        WrongKind,
    )
    from ropewalk.errors.models import (
        ConversationInvalid,
        ModelCircuitOpen,
        ModelContextFull,
        ModelError,
        ModelKeyRejected,
        ModelLimitReached,
        ModelNotFound,
        ModelQuotaSpent,
        ModelRateLimited,
        ModelReplyUnreadable,
        ModelRequestInvalid,
        ModelScriptEnded,
        ModelStalled,
        ModelStreamBroken,
        ModelUnavailable,
        ModelUnreachable,
    )
    from ropewalk.errors.tools import (
        OutputInvalid,
        ReplyCutOff,
        ReplyNotFinal,
        ReplyRefused,
        ToolArgumentsInvalid,
        ToolErrors,
        ToolInvalid,
        ToolOutcomeUnknown,
        ToolProblem,
        ToolServerFailed,
        ToolTimeout,
        ToolUnknown,
    )

__all__ = [
    "AlreadyAnswered",
    "AnswerInvalid",
    "BusUnavailable",
    "ChatProblem",
    "ChunkRefused",
    "ConversationInvalid",
    "EntryNotFound",
    "GraphChanged",
    "GraphFrozen",
    "GraphInvalid",
    "GraphNotFound",
    "GroupMissing",
    "HostRefused",
    "InputInvalid",
    "InvalidId",
    "InvalidSession",
    "KeyReused",
    "LimitReached",
    "LockHeld",
    "LockLost",
    "LockNotAcquired",
    "MediaTypeRefused",
    "MessageNotFound",
    "MessageOver",
    "MethodRefused",
    "ModelCircuitOpen",
    "ModelContextFull",
    "ModelError",
    "ModelKeyRejected",
    "ModelLimitReached",
    "ModelNotAllowed",
    "ModelNotFound",
    "ModelQuotaSpent",
    "ModelRateLimited",
    "ModelReplyUnreadable",
    "ModelRequestInvalid",
    "ModelScriptEnded",
    "ModelStalled",
    "ModelStreamBroken",
    "ModelUnavailable",
    "ModelUnreachable",
    "NodeCancelled",
    "NodeTimeout",
    "NotAuthenticated",
    "NotAwaited",
    "NotReadable",
    "NotStorable",
    "OriginRefused",
    "OutputInvalid",
    "PageNotFound",
    "PartMissing",
    "PartUnknown",
    "PauseExpired",
    "PauseNotFound",
    "Problem",
    "QueueMissing",
    "RedisDenied",
    "RedisFull",
    "RedisProblem",
    "RedisRefused",
    "RedisUnavailable",
    "ReplyCutOff",
    "ReplyNotFinal",
    "ReplyRefused",
    "RequestMalformed",
    "RequestRefused",
    "RequestTooLarge",
    "RequestUnreadable",
    "RopewalkError",
    "RouterCancelled",
    "RouterWrites",
    "RunCancelled",
    "RunError",
    "RunExists",
    "RunFailed",
    "RunFinished",
    "RunInterrupted",
    "RunNotFound",
    "RunPaused",
    "RunTaken",
    "SessionBusy",
    "SessionNotFound",
    "StateMissing",
    "StepNotFound",
    "StepProblem",
    "StoreCorrupt",
    "StoreFull",
    "StoreReadOnly",
    "StoreTooNew",
    "StoreUnavailable",
    "StreamBusy",
    "TooLarge",
    "TooManyIterations",
    "ToolArgumentsInvalid",
    "ToolErrors",
    "ToolInvalid",
    "ToolOutcomeUnknown",
    "ToolProblem",
    "ToolServerFailed",
    "ToolTimeout",
    "ToolUnknown",
    "TurnTaken",
    "UnknownField",
    "UnknownRoute",
    "WrongKind",
    "WrongReturn",
    "WrongType",
    "did_you_mean",
]


def __getattr__(name: str) -> Any:
    """Load the families of models, tools, messaging, doors and chats when one of them is asked for."""
    if name in __all__:
        from ropewalk.errors import chat, doors, messaging, models, tools  # noqa: PLC0415  most graphs need none

        for family in (models, tools, messaging, doors, chat):
            found = getattr(family, name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
