"""The databases that were fetched: one folder each in the user's cache, never changed once it is there, so that no run waits for another.

A folder is called after its database's digest, and comes to its name by a rename. The newest counts; what is older than a day and not
the newest is removed.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.errors import ToolError
from pipeline.tools.trivy import database as databases
from pipeline.tools.trivy.command import Trivy
from pipeline.tools.trivy.database import Database

KEEP_SECONDS = 86400.0
DOWNLOAD_SECONDS = 600.0


def current(
    trivy: Trivy, cache: Path, repositories: Sequence[str], *, now: datetime, max_age: timedelta, say: Callable[[str], None]
) -> Database:
    """The newest database, fetched where a newer one may be expected. Raises `ToolError` where none may be judged by.

    When fetching fails, one that is still young enough serves, and `say` is told so.
    """
    known = _newest(cache)
    usable = known and not databases.flaw(known.stamp, now, max_age)
    if known and usable and not databases.due(known.stamp, now):
        return known
    try:
        return require(_fetch(trivy, cache, repositories), now, max_age)
    except ToolError as error:
        if known and usable:
            say(f"the vulnerability database could not be renewed, the one of {known.updated} serves: {error.what}")
            return known
        mend = error.mend or "allow the network to [scan] database-repositories, or name a folder with a database: [scan] database"
        raise ToolError(f"no vulnerability database could be fetched: {error.what}", mend=mend) from error


def require(database: Database, now: datetime, max_age: timedelta) -> Database:
    """The database itself. Raises `ToolError` where it may not be judged by today."""
    wrong = databases.flaw(database.stamp, now, max_age)
    if wrong:
        mend = "renew the database, or raise [scan] max-database-age"
        raise ToolError(wrong, where=str(database.folder), mend=mend)
    return database


def _newest(cache: Path) -> Database | None:
    found: list[tuple[datetime, Path]] = []
    for folder in cache.glob("db-*"):
        with contextlib.suppress(ToolError):
            found.append((databases.read_stamp(folder).updated_at, folder))
    for _, folder in sorted(found, reverse=True):
        with contextlib.suppress(ToolError):
            return databases.read(folder, _java(cache))
    return None


def _fetch(trivy: Trivy, cache: Path, repositories: Sequence[str]) -> Database:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        _java(cache).mkdir(exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="new-", dir=cache))
        try:
            trivy.download(repositories, fresh, DOWNLOAD_SECONDS)
            folder = _settle(fresh, cache / f"db-{databases.read(fresh).digest.removeprefix('sha256:')[:32]}")
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        _prune(cache, folder)
    except OSError as error:
        raise ToolError(f"cannot be written: {error.strerror}", where=str(cache), mend="free some space, or set XDG_CACHE_HOME") from error
    return databases.read(folder, _java(cache))


def _settle(fresh: Path, folder: Path) -> Path:
    """Give a fetched database its name. Where it is there already, only the time of the last look is news."""
    if (folder / "db" / "trivy.db").exists():
        (fresh / "db" / "metadata.json").replace(folder / "db" / "metadata.json")
    else:
        fresh.replace(folder)
    return folder


def _prune(cache: Path, keep: Path) -> None:
    for folder in (*cache.glob("db-*"), *cache.glob("new-*")):
        with contextlib.suppress(FileNotFoundError):
            if folder != keep and time.time() - folder.stat().st_mtime > KEEP_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _java(cache: Path) -> Path:
    return cache / "java-db"
