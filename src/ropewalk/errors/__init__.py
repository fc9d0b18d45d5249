"""Every error of Ropewalk, one import away. Each message says what happened, why, and what to do now.

They live in a file for each family, and are imported from here:

    RopewalkError           root.py
    ├── starting.py         what keeps a graph from being drawn or started
    │   ├── GraphInvalid        the drawing has mistakes, all listed
    │   ├── GraphFrozen         something was added after compile()
    │   ├── StateMissing        a run needs an initial state that nobody gave
    │   ├── PartUnknown         a URL names no part
    │   ├── PartMissing         an optional part is not installed
    │   ├── QueueMissing        runs are to be left to workers by a store that has no queue
    │   └── InvalidId           an id that no store or broker could carry
    ├── steps.py
    │   ├── StepProblem         what a node returned or wrote can never be committed (not retried)
    │   │   └── UnknownField, WrongType, WrongReturn, NotAwaited, UnknownRoute, RouterWrites, NotStorable, TooLarge,
    │   │       TooManyIterations
    │   ├── NodeTimeout         a node took longer than its timeout
    │   ├── NodeCancelled       a node let a cancellation out that nobody asked the run for
    │   └── RouterCancelled     an async router was cut off by the end of the run
    ├── runs.py
    │   └── RunError            one run
    │       ├── RunNotFound, RunExists, RunTaken, RunFinished, RunInterrupted
    │       ├── RunPaused, RunFailed, RunCancelled      what awaiting a run raises when it did not end well
    │       ├── PauseNotFound, AlreadyAnswered
    │       ├── GraphChanged    the log tells of a node or field that the graph no longer has
    │       └── EntryNotFound
    ├── stores.py
    │   └── StoreUnavailable    the medium failed; the run is given back, nothing is lost
    │       └── StoreFull, StoreReadOnly, StoreCorrupt, StoreTooNew
    └── messaging.py
        └── RedisProblem        messaging with Redis; a missing key is no error but None
            ├── RedisUnavailable    the server could not be reached, or did not answer in time
            ├── RedisRefused        the server said no
            │   └── RedisDenied, WrongKind, RedisFull
            ├── LockNotAcquired     a `with` could not get its lock in time
            ├── LockHeld            acquire() by who holds the lock already
            ├── LockLost            the lock went to another while its holder thought it had it
            ├── GroupMissing        a stream is consumed before create_consumer_group()
            ├── StreamBusy          one stream object was to be two workers
            └── NotReadable         what is stored is not what was asked for
"""

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
from ropewalk.errors.root import (
    RopewalkError,
    did_you_mean,
)
from ropewalk.errors.runs import (
    AlreadyAnswered,
    EntryNotFound,
    GraphChanged,
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
)
from ropewalk.errors.starting import (
    GraphFrozen,
    GraphInvalid,
    InvalidId,
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
from ropewalk.errors.stores import (
    StoreCorrupt,
    StoreFull,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
)

__all__ = [
    "AlreadyAnswered",
    "EntryNotFound",
    "GraphChanged",
    "GraphFrozen",
    "GraphInvalid",
    "GroupMissing",
    "InvalidId",
    "LockHeld",
    "LockLost",
    "LockNotAcquired",
    "NodeCancelled",
    "NodeTimeout",
    "NotAwaited",
    "NotReadable",
    "NotStorable",
    "PartMissing",
    "PartUnknown",
    "PauseNotFound",
    "Problem",
    "QueueMissing",
    "RedisDenied",
    "RedisFull",
    "RedisProblem",
    "RedisRefused",
    "RedisUnavailable",
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
    "StateMissing",
    "StepProblem",
    "StoreCorrupt",
    "StoreFull",
    "StoreReadOnly",
    "StoreTooNew",
    "StoreUnavailable",
    "StreamBusy",
    "TooLarge",
    "TooManyIterations",
    "UnknownField",
    "UnknownRoute",
    "WrongKind",
    "WrongReturn",
    "WrongType",
    "did_you_mean",
]
