"""What goes wrong with a SQLite file, in the words of our errors."""

import errno
import sqlite3
from pathlib import Path

from ropewalk.errors import StoreCorrupt, StoreFull, StoreReadOnly, StoreUnavailable

_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_READ_ONLY = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_BROKEN = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOLFS, sqlite3.SQLITE_PROTOCOL}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_locked(trouble: Exception) -> bool:
    """Return whether somebody else held the file."""
    return _code(trouble) in _LOCKED


def needs_new_connection(trouble: Exception) -> bool:
    """Return whether what the connection believes of the file may no longer be true."""
    return _code(trouble) in _READ_ONLY | _CORRUPT | _BROKEN


def in_our_words(trouble: Exception, path: Path, lock_wait_seconds: float) -> Exception:
    """Return a new exception for one caller, or ``trouble`` itself when the medium is not to blame."""
    if isinstance(trouble, StoreUnavailable):
        return type(trouble)(*trouble.args)
    told = _of_system(trouble, path) if isinstance(trouble, OSError) else _of_sqlite(trouble, path, lock_wait_seconds)
    if told is None:
        return trouble
    told.__cause__ = trouble.with_traceback(None)  # a traceback would keep the thread's frames, so its jobs, alive
    return told


def _of_sqlite(trouble: Exception, path: Path, lock_wait_seconds: float) -> StoreUnavailable | None:
    code = _code(trouble)
    file = repr(str(path))
    why = f"{trouble} [{getattr(trouble, 'sqlite_errorname', 'no code')}]"
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(
            f"{file} could not grow: {why}. Nothing of this call was written, what was committed is kept. "
            "Make room on the disk (deleting old runs with `await store.prune(...)` helps) and try again."
        )
    if code in _READ_ONLY:
        return StoreReadOnly(
            f"{file} could not be written: {why}. Give this user the right to write the file and its folder, "
            "or choose another path for the store."
        )
    if code in _LOCKED:
        return StoreUnavailable(
            f"{file} stayed locked for {lock_wait_seconds:g} s: {why}. Another program holds it in a long "
            "transaction: end that one and try again."
        )
    if code in _CORRUPT or (code == sqlite3.SQLITE_ERROR and "no such" in str(trouble)):
        return StoreCorrupt(
            f"{file} is not a whole store: {why}. Stop its users, keep a copy, then restore a backup or save "
            "what can be read with `sqlite3 FILE .recover`."
        )
    if code in _BROKEN:
        return StoreUnavailable(
            f"{file} could not be opened, read or written: {why}. The disk may be failing, gone, over its "
            "quota or closed to this user: look at it and try again; what was acknowledged is kept."
        )
    return None


def _of_system(trouble: OSError, path: Path) -> StoreUnavailable:
    advice = f"{str(path)!r} could not be opened: {trouble}."
    if trouble.errno in _FULL:
        return StoreFull(f"{advice} Make room on the disk and try again.")
    if trouble.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return StoreReadOnly(f"{advice} Give this user the right to write there, or choose another path for the store.")
    return StoreUnavailable(f"{advice} Choose a path whose folders exist or can be created.")


def _code(trouble: Exception) -> int | None:
    code: int | None = getattr(trouble, "sqlite_errorcode", None) if isinstance(trouble, sqlite3.Error) else None
    return None if code is None else code & 0xFF
