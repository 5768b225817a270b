"""A Dockerfile as data. What the words mean is told by `resolve`; nothing here is expanded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.core import text
from pipeline.errors import UsageError

# What Go's unicode.IsSpace calls a space; str.isspace() adds the separators 0x1c to 0x1f.
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
# What separates words on a line: a no-break space does not.
BLANKS = "\t\v\f\r "

Form = Literal["exec", "shell", ""]
Flags = tuple[tuple[str, str], ...]
Pairs = tuple[tuple[str, str | None], ...]


class BadSyntaxError(Exception):
    """Something that BuildKit refuses, or that we do not fully understand; the one who knows the line makes a `UsageError` of it."""

    def __init__(self, what: str, mend: str = "see https://docs.docker.com/reference/dockerfile/") -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend

    def at(self, name: str, line: int) -> UsageError:
        return UsageError(self.what, where=f"{name}:{line}", mend=self.mend)


@dataclass(frozen=True, slots=True)
class Heredoc:
    """`expand`: its word was not quoted. `chomp`: written with `<<-`; leading tabs are then dropped by whoever uses `content`."""

    name: str
    content: str
    expand: bool
    chomp: bool


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, upper case `keyword`, from `line` to `end_line` (heredocs included).

    `raw`: the text with continuations joined, without heredocs. `flags`: names without dashes; a bare boolean flag is `true`.
    `args`: exec form: the list; shell form: the command as one string; COPY and ADD: sources, then the destination; ENV, LABEL and
    ARG: words `name=value`, quotes kept, as in `pairs`; HEALTHCHECK: `NONE`, or `CMD` and the command; ONBUILD: none, see `trigger`.
    `form`: `exec` for a JSON list, `shell` for a command that is none, empty for what is no command.
    """

    keyword: str
    line: int
    end_line: int
    raw: str
    flags: Flags = ()
    args: tuple[str, ...] = ()
    form: Form = ""
    heredocs: tuple[Heredoc, ...] = ()
    pairs: Pairs = ()
    trigger: Instruction | None = None

    def flag(self, name: str) -> str:
        """The value of the flag, empty where it is not given."""
        return next((value for one, value in self.flags if one == name), "")

    def all(self, name: str) -> tuple[str, ...]:
        """The values of a flag that may be repeated."""
        return tuple(value for one, value in self.flags if one == name)


@dataclass(frozen=True, slots=True)
class Stage:
    """`base` and `platform` as written; `name` in lower case, empty without one; `start` is its FROM."""

    index: int
    name: str
    base: str
    platform: str
    start: Instruction
    instructions: tuple[Instruction, ...]

    @property
    def line(self) -> int:
        return self.start.line

    @property
    def title(self) -> str:
        """How a person calls it: its name, or its number."""
        return self.name or str(self.index)


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """`name` is the file's, for messages. `syntax`: the frontend that `# syntax=` asks for. `global_args`: before the first FROM."""

    name: str
    syntax: str
    escape: str
    check: str
    global_args: tuple[Instruction, ...]
    stages: tuple[Stage, ...]


def quote(foreign: str) -> str:
    """A piece of the file for an error message: printable, short, in quotes."""
    return f'"{text.line(foreign, 80)}"'
