"""The journal that people read: JSON lines, the intent before each action, the result after it.

A rollout does not resume from it: it lies on the disk of the job, which may not outlive it. What was done is read from the target.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

log = logging.getLogger(__name__)
SCHEMA: Final = "release-chain/journal/v1"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`time`: RFC 3339 in UTC. `detail`: why an action failed."""

    time: str
    rollout: str
    state: str
    action: str
    phase: Literal["intent", "result"]
    event: str = ""
    detail: str = ""
    schema: Literal["release-chain/journal/v1"] = SCHEMA


class Journal:
    """Appends to `path`. A disk that is full does not stop a rollout, least of all one that is going back."""

    def __init__(self, path: Path, rollout: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._path, self._rollout, self._clock = path, rollout, clock

    def intent(self, state: str, action: str) -> None:
        self._append(Entry(self._now(), self._rollout, state, action, "intent"))

    def result(self, state: str, action: str, event: str, detail: str = "") -> None:
        self._append(Entry(self._now(), self._rollout, state, action, "result", event, detail))

    def _now(self) -> str:
        return self._clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _append(self, entry: Entry) -> None:
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "wb") as stream:
                stream.write(msgspec.json.encode(entry) + b"\n")
        except OSError as error:
            log.warning("the journal %s cannot be written: %s", self._path, error.strerror)
