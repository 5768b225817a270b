"""Trivy's vulnerability database: which one there is, how old it is, and whether it may be judged by."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from pipeline.core.image import digest_of
from pipeline.core.text import line
from pipeline.errors import ToolError

SCHEMA: Final = 2
CLOCK_SKEW = timedelta(minutes=10)
# A file beside trivy.db that says: made for a demonstration, of a few facts only.
DEMO_MARK: Final = "DEMO"


class Stamp(msgspec.Struct, frozen=True, rename="pascal"):
    """Trivy's own `metadata.json`. `next_update`: from when on a newer one may be expected."""

    version: int
    updated_at: datetime
    next_update: datetime
    downloaded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Database:
    """`folder` holds `db/trivy.db`, `java` the index of Java archives. `digest` is of the file's bytes, `java_digest`
    of what the index says of itself: it is a gigabyte, and empty where there is none yet. `fixed`: a folder that was
    given and is used as it is, nothing is fetched for it. `demo`: the small one of a demonstration."""

    folder: Path
    java: Path
    stamp: Stamp
    digest: str
    fixed: bool = True
    demo: bool = False
    java_digest: str = ""

    @property
    def updated(self) -> str:
        """When it was made: RFC 3339 in UTC."""
        return self.stamp.updated_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(folder: Path, java: Path | None = None) -> Database:
    """The database in `folder`, with `java` beside it unless it is kept elsewhere. Raises `ToolError`: missing, not readable."""
    stamp = read_stamp(folder)
    try:
        with (folder / "db" / "trivy.db").open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ToolError(f"the vulnerability database cannot be read: {error.strerror}", where=str(folder / "db" / "trivy.db")) from error
    demo = (folder / "db" / DEMO_MARK).exists()
    index = java or folder / "java-db"
    return Database(folder, index, stamp, f"sha256:{digest}", fixed=java is None, demo=demo, java_digest=_digest_of(index))


def _digest_of(index: Path) -> str:
    try:
        return digest_of((index / "metadata.json").read_bytes())
    except OSError:
        return ""


def read_stamp(folder: Path) -> Stamp:
    """Raises `ToolError`: missing, not readable, another schema."""
    path = folder / "db" / "metadata.json"
    try:
        stamp = msgspec.json.decode(path.read_bytes(), type=Stamp)
    except FileNotFoundError as error:
        mend = "name a folder that holds db/trivy.db and db/metadata.json, as Trivy's cache does"
        raise ToolError("there is no vulnerability database", where=str(folder), mend=mend) from error
    except OSError as error:
        raise ToolError(f"the vulnerability database cannot be read: {error.strerror}", where=str(path)) from error
    except msgspec.DecodeError as error:
        raise ToolError(f"the vulnerability database's metadata cannot be understood: {line(str(error))}", where=str(path)) from error
    if stamp.version != SCHEMA:
        raise ToolError(f"the vulnerability database has schema {stamp.version}, and Trivy reads {SCHEMA}", where=str(path))
    if stamp.updated_at.tzinfo is None or stamp.next_update.tzinfo is None:
        raise ToolError("the vulnerability database's times have no zone", where=str(path))
    return stamp


def flaw(stamp: Stamp, now: datetime, max_age: timedelta) -> str:
    """Why a database may not be judged by today; empty when it may."""
    age = now - stamp.updated_at
    if age > max_age:
        return f"the vulnerability database is {_span(age)} old, and {_span(max_age)} are allowed"
    if age < -CLOCK_SKEW:
        return f"the vulnerability database was made in the future ({stamp.updated_at:%Y-%m-%d %H:%M} UTC): the clock is wrong, or it is"
    return ""


def due(stamp: Stamp, now: datetime) -> bool:
    """Whether to look for a newer one: it may be expected, and the last look was an hour ago or more."""
    looked = stamp.downloaded_at
    lately = looked is not None and looked.tzinfo is not None and -CLOCK_SKEW < now - looked < timedelta(hours=1)
    return stamp.next_update <= now and not lately


def _span(time: timedelta) -> str:
    hours = time / timedelta(hours=1)
    return f"{hours:.0f} hours" if hours >= 1 else f"{hours * 60:.0f} minutes"
