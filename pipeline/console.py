"""What a person sees: lines on stderr, progress, redaction. Owns the logging handlers; speaks the dialect it is given."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from pipeline.core import text
from pipeline.core.redact import Redactor

log = logging.getLogger(__name__)


class Dialect(Protocol):
    """How a CI wants groups, masks and foreign output marked; each returns lines to print, without a newline."""

    def mask(self, value: str) -> str: ...
    def group(self, name: str, title: str) -> tuple[str, str]: ...
    def quiet(self) -> tuple[str, str]: ...


@dataclass(frozen=True, slots=True)
class Plain:
    """A terminal: no groups, no masks."""

    def mask(self, value: str) -> str:  # noqa: ARG002 - the protocol's
        return ""

    def group(self, name: str, title: str) -> tuple[str, str]:  # noqa: ARG002 - the protocol's
        return "", ""

    def quiet(self) -> tuple[str, str]:
        return "", ""


class StepLines:
    """The lines of one step, kept until it ends."""

    def __init__(self, live: bool) -> None:
        self.headline: list[str] = []
        self._live = live
        self._foreign: list[str] = []
        self._own: list[str] = []

    def keep(self, line: str, *, foreign: bool) -> bool:
        """Keep a line; False when it is to be shown at once."""
        if foreign:
            if not self._live:
                self._foreign.append(line)
            return not self._live
        self._own.append(line)
        return True

    def in_order(self, quiet: tuple[str, str]) -> list[str]:
        """All of it; `quiet` are the lines to put around what is foreign."""
        before, after = (f"{marker}\n" if marker and self._foreign else "" for marker in quiet)
        return [before, *self._foreign, after, *(f"{line}\n" for line in self.headline), *self._own]


class Console:
    """Thread-safe. Inside `step()` a thread's lines are kept, so that steps side by side do not mix."""

    def __init__(
        self,
        stream: TextIO | None = None,
        dialect: Dialect | None = None,
        redact: Redactor | None = None,
        *,
        verbose: bool = False,
        color: bool = False,
    ) -> None:
        self.stream = stream or sys.stderr
        self.dialect: Dialect = dialect or Plain()
        self.redact = redact or Redactor()
        self.verbose = verbose
        self.color = color
        self._lock = threading.RLock()
        self._local = threading.local()

    def secret(self, value: str) -> None:
        """From here on `value` is shown as ***, by us and, where it can, by the CI."""
        self.redact.add(value)
        mask = self.dialect.mask(value)
        if mask and "\n" not in value and "\r" not in value:
            self._print(f"{mask}\n")  # at once, also in a step: what the step keeps comes after it

    def line(self, message: str = "") -> None:
        """Print our own words; what they quote from outside must have gone through `quote`."""
        self._write(message)

    def detail(self, message: str) -> None:
        """Printed with `-v` only."""
        if self.verbose:
            self._write(message)

    def quote(self, foreign: str, limit: int = 500) -> str:
        return text.line(foreign, limit)

    def foreign(self, line: str) -> None:
        """A line of a tool's output: control characters replaced, CI commands defused, secrets redacted. On a terminal it is shown
        with `-v` only (an error quotes the last of it); in a job always, inside its section."""
        log.debug("%s", line)
        if self.verbose or not isinstance(self.dialect, Plain):
            self._write("  │ " + text.line(self.redact(line), 2000), foreign=True)

    @contextlib.contextmanager
    def section(self, name: str, title: str) -> Iterator[None]:
        """A collapsible group in a CI's log; in it, output of children is not taken for commands."""
        opening, closing = self.dialect.group(name, title)
        before, after = self.dialect.quiet()
        for marker in (opening, before):
            self._write(marker, raw=True) if marker else None
        try:
            yield
        finally:
            for marker in (after, closing):
                self._write(marker, raw=True) if marker else None

    @contextlib.contextmanager
    def step(self, *, live: bool) -> Iterator[StepLines]:
        """Keep what this thread prints inside, to be shown in order. `live`: foreign output is shown as it comes."""
        kept = StepLines(live)
        self._local.kept = kept
        try:
            yield kept
        finally:
            self._local.kept = None

    def show(self, kept: StepLines) -> None:
        """The lines of a step: foreign output, its headline, our own lines."""
        self._print("".join(kept.in_order(self.dialect.quiet())))

    def busy(self, message: str) -> None:
        """On a terminal, a line that the next one replaces. Never in a job: what it leaves would stand before a CI's own markers."""
        if self.color and not self.verbose and isinstance(self.dialect, Plain):
            with self._lock:
                self.stream.write(f"\r\x1b[2K\x1b[2m… {message}\x1b[0m\r")
                self.stream.flush()

    def paint(self, message: str, style: str) -> str:
        codes = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "bold": "1"}
        return f"\x1b[{codes[style]}m{message}\x1b[0m" if self.color else message

    def _write(self, message: str, *, raw: bool = False, foreign: bool = False) -> None:
        line = ("\x1b[2K" if self.color and not raw else "") + (message if raw else self.redact(message)) + "\n"
        kept: StepLines | None = getattr(self._local, "kept", None)
        if kept and kept.keep(line, foreign=foreign or raw):
            return
        self._print(line)

    def _print(self, line: str) -> None:
        with self._lock, contextlib.suppress(BrokenPipeError):
            self.stream.write(line)
            self.stream.flush()


class _Redacting(logging.Formatter):
    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(text.block(record.getMessage()))


class _JsonLines(_Redacting):
    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        entry = {"time": when, "level": record.levelname, "logger": record.name, "message": super().format(record)}
        if record.exc_info:
            entry["exception"] = self._redact(text.block(logging.Formatter().formatException(record.exc_info)))
        return json.dumps(entry)


class _OptionalFile(logging.FileHandler):
    """A log that cannot be written, on a full disk, stops nothing: what stops the run says so itself."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's
        pass


def attach_handlers(console: Console, *, debug: bool, debug_file: Path | None) -> None:
    """Send the package's log to stderr with `--debug`, and to a private file of JSON lines where one is given."""
    logger = logging.getLogger("pipeline")
    for old in list(logger.handlers):
        logger.removeHandler(old)
        old.close()
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(logging.NullHandler())
    if debug:
        shown = logging.StreamHandler(console.stream)
        shown.setFormatter(_Redacting(console.redact))
        logger.addHandler(shown)
    if debug_file:
        with contextlib.suppress(OSError):
            os.close(os.open(debug_file, os.O_WRONLY | os.O_CREAT, 0o600))
            kept = _OptionalFile(debug_file, encoding="utf-8")
            kept.setFormatter(_JsonLines(console.redact))
            logger.addHandler(kept)
