"""Errors a person can mend, and the exit code of each. The table in `docs/exit-codes.md` is tested against this file."""

from __future__ import annotations

PASSED = 0
USAGE = 2
TOOL = 3
ROLLED_BACK = 4
ROLLBACK_FAILED = 5
REFUSED = 10
BUG = 70
INTERRUPTED = 130
TERMINATED = 143


class PipelineError(Exception):
    """What happened, where, and what to do about it.

    `where` is a file, a line, a key, an address; `mend` is one sentence in the imperative. Both may be empty.
    """

    code = USAGE

    def __init__(self, what: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __str__(self) -> str:
        return f"{self.where}: {self.what}" if self.where else self.what


class UsageError(PipelineError):
    """Wrong usage, configuration or repository state: a re-run changes nothing until a person does."""

    code = USAGE


class ToolError(PipelineError):
    """A tool or a service failed, or could not be understood: nothing was judged. The only one worth an automatic retry."""

    code = TOOL


class RefusedError(PipelineError):
    """We looked and said no: a gate failed, a digest differs, an immutable tag is taken."""

    code = REFUSED


class RolledBackError(PipelineError):
    """The rollout failed and the previous version serves again."""

    code = ROLLED_BACK


class RollbackFailedError(PipelineError):
    """The rollout failed, and so did going back: a person has to look."""

    code = ROLLBACK_FAILED


class CancelledError(PipelineError):
    """A signal asked us to stop; `code` is 128 plus the signal's number."""

    def __init__(self, signal_number: int, what: str = "interrupted") -> None:
        super().__init__(what)
        self.code = 128 + signal_number
