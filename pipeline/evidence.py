"""The evidence store: `.pipeline/` in the project. A cache, not a proof: a job trusts only what the same job wrote."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from pipeline.core.record import Evidence
from pipeline.errors import ToolError, UsageError

T = TypeVar("T")
log = logging.getLogger(__name__)


class Store:
    """One file per step and image under `evidence/`; reports lie beside it. Every write is whole or not at all."""

    def __init__(self, folder: Path, job: str, image: str = "default") -> None:
        self.folder = folder
        self.job = job
        self.image = image

    def write(self, evidence: Evidence) -> None:
        data = msgspec.json.format(msgspec.json.encode(evidence), indent=2)
        self.write_file(f"evidence/{self.image}/{evidence.step}.json", data + b"\n")

    def read(self, step: str) -> Evidence | None:
        """The evidence of `step` that this job wrote; None where there is none, or none that this version of us can read."""
        path = self.folder / "evidence" / self.image / f"{step}.json"
        try:
            evidence = msgspec.json.decode(path.read_bytes(), type=Evidence)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            log.info("evidence %s is not readable and counts as absent: %s", path, error)
            return None
        return evidence if evidence.job == self.job else None

    def facts(self, step: str, kind: type[T]) -> T:
        """The facts that an earlier step of this job left. Raises `UsageError` where it has not run."""
        facts = self.known(step, kind)
        if facts is None:
            raise UsageError(f"there is no evidence of `{step}` from this job", mend=f"run `pipeline {step}` first, or `pipeline release`")
        return facts

    def known(self, step: str, kind: type[T]) -> T | None:
        """The same, None where it has not run."""
        evidence = self.read(step)
        return evidence.facts if evidence and isinstance(evidence.facts, kind) else None

    def debug_file(self) -> Path | None:
        """Where the log of this run goes, in a project; None where the folder is none or may not be written."""
        if not (self.folder.parent / ".git").exists():
            return None
        with contextlib.suppress(OSError):
            self._prepare(self.folder)
            return self.folder / "debug.jsonl"
        return None

    def write_file(self, name: str, data: bytes, mode: int = 0o644) -> Path:
        """Write a file under the store through a temporary one, and return its path. Raises `ToolError` (disk full, no permission)."""
        path = self.folder / name
        try:
            self._prepare(path.parent)
            write_atomically(path, data, mode)
        except OSError as error:
            mend = "free some space, or make the folder writable"
            raise ToolError(f"cannot be written: {error.strerror}", where=str(path), mend=mend) from error
        return path

    def _prepare(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        ignore = self.folder / ".gitignore"
        if not ignore.exists():
            write_atomically(ignore, b"*\n", 0o644)


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write beside the target, flush to disk, rename. Raises `OSError`; the target is then as it was."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
