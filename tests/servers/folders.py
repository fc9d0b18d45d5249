"""Temporary folders, one for each server, that are removed even when nobody was left to remove them.

The `lock` in it is held by whoever uses it, and the kernel lets it go when that dies: what can be locked is abandoned.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "ropewalk-server-"
MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 2 << 30


class Folder:
    """A folder of our own, open to be walked through: another user may own what is in it.

    ``in_memory`` is a wish, granted where there is plenty: on a disk a database is cloned in 100 ms, there in 12.
    """

    def __init__(self, *, in_memory: bool = False) -> None:
        sweep()
        fresh = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=MEMORY if in_memory and plenty() else disk()))
        self.lock = os.open(fresh / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        fresh.chmod(0o711)
        self.path = fresh.rename(fresh.with_name(fresh.name[1:]))  # what sweep() can find is locked by now

    def write(self, name: str, text: str) -> Path:
        """Write a file that is for our eyes only: it may hold a password."""
        path = self.path / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")
        return path

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


def disk() -> Path:
    """Return the folder for temporary files; for root, one that who runs PostgreSQL can reach."""
    chosen = Path(tempfile.gettempdir()).resolve()
    return chosen if os.geteuid() or open_to_all(chosen) else Path("/tmp")


def plenty() -> bool:
    """Say whether there is memory to keep files in, from which programs may be run too."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < ENOUGH_BYTES:
        return False
    return not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC


def open_to_all(path: Path) -> bool:
    """Say whether every user can reach what is in the folder."""
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))


def sweep() -> None:
    """Remove the folders of runs that are dead."""
    for path in [*disk().glob(f"{PREFIX}*"), *MEMORY.glob(f"{PREFIX}*")]:
        with contextlib.suppress(OSError):  # in use, just removed, or somebody else's
            if path.lstat().st_uid != os.geteuid():
                continue
            lock = os.open(path / "lock", os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
