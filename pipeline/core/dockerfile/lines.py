"""From bytes to statements: directives, comments, continuations, and the lines of heredocs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.core.dockerfile.model import SPACES, BadSyntaxError, quote

# BuildKit reads the file by bufio.Scanner, whose longest token this is.
LONGEST_LINE = 64 * 1024
_DIRECTIVE = re.compile(r"#[\t\n\f\r ]*([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*(.+?)[\t\n\f\r ]*\Z")
_DIRECTIVES = frozenset({"syntax", "escape", "check"})
_CONTINUED = {
    "\\": re.compile(r"([^\\])\\[ \t]*\Z|\A\\[ \t]*\Z"),
    "`": re.compile(r"([^`])`[ \t]*\Z|\A`[ \t]*\Z"),
}
# Bytes that are not UTF-8, as the error handler `surrogateescape` leaves them, and NUL, which no command can hold.
_UNREADABLE = re.compile("[\x00\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Directives:
    syntax: str = ""
    escape: str = "\\"
    check: str = ""


def split(data: bytes) -> list[str]:
    """The physical lines with their ends, without a byte order mark. What is not UTF-8 is kept, and refused where it matters."""
    *whole, last = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
    return [f"{line}\n" for line in whole] + ([last] if last else [])


def directives(lines: Sequence[str]) -> Directives:
    """The parser directives at the top of the file. Raises `BadSyntaxError`: one given twice, an escape other than backslash or backtick.

    `syntax` is found in another way than the others, as BuildKit does: a first line `#!` is skipped, and indentation hides it.
    """
    found: dict[str, str] = {}
    for name, value in _leading([line.lstrip(SPACES) for line in lines[:4]]):
        if name in found:
            raise BadSyntaxError(f"the directive {name} is given twice", "keep one of them")
        found[name] = readable(value)
    escape = found.get("escape", "\\")
    if escape not in _CONTINUED:
        raise BadSyntaxError(f"the escape directive cannot be {quote(escape)}", "use a backslash or a backtick")
    visible = dict(reversed(list(_leading(lines[1:4] if lines and lines[0].startswith("#!") else lines[:3]))))
    return Directives(readable(visible.get("syntax", "").partition(" ")[0]), escape, found.get("check", ""))


def _leading(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        found = _DIRECTIVE.match(line.rstrip("\r\n"))
        if not found or found[1].lower() not in _DIRECTIVES:
            return
        yield found[1].lower(), found[2]


def readable(line: str) -> str:
    """The line itself. Raises `BadSyntaxError` where it holds NUL or bytes that are not UTF-8."""
    if _UNREADABLE.search(line):
        raise BadSyntaxError("there are bytes that are not UTF-8 text", "save the file as UTF-8")
    return line


class Reader:
    """Goes once over the physical lines; `number` is the last one that was read, counted from 1."""

    def __init__(self, lines: Sequence[str], escape: str) -> None:
        self.number = 0
        self._lines = lines
        self._continued = _CONTINUED[escape]

    def statement(self) -> tuple[int, str] | None:
        """The next instruction's first line and its text with continuations joined; None at the end of the file."""
        while (line := self._next()) is not None:
            line = line.rstrip("\r\n").lstrip(SPACES)
            if line and not line.startswith("#"):
                return self.number, self._joined(line)
        return None

    def _joined(self, line: str) -> str:
        first, more = self._continued.subn(r"\1", line)
        parts = [first]
        while more and (line_or_end := self._next()) is not None:
            line = line_or_end.rstrip("\r\n")
            bare = line.lstrip(SPACES)
            if bare and not bare.startswith("#"):
                line, more = self._continued.subn(r"\1", line)
                parts.append(line)
        return "".join(parts)

    def heredoc(self, name: str, *, chomp: bool) -> str:
        """The lines up to the one that is `name`, ends kept. Raises `BadSyntaxError` when there is none."""
        kept: list[str] = []
        while (line := self._next()) is not None:
            end = line.rstrip("\r\n")
            if (end.lstrip("\t") if chomp else end) == name:
                return readable("".join(kept))
            kept.append(line)
        raise BadSyntaxError(f"the heredoc {quote(name)} is not ended", f"end it with a line that is {quote(name)} and nothing else")

    def _next(self) -> str | None:
        if self.number == len(self._lines):
            return None
        line = self._lines[self.number]
        self.number += 1
        if len(line) > LONGEST_LINE // 4 and len(line.encode("utf-8", "surrogateescape")) > LONGEST_LINE:
            raise BadSyntaxError(f"line {self.number} is longer than {LONGEST_LINE} bytes", "split it")
        return line
