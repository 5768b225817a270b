"""`.dockerignore`: which paths of a build context are not sent, as Docker's own matcher decides it."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass, field

from pipeline.core.dockerfile.model import SPACES, quote
from pipeline.errors import UsageError

_WILD = re.compile(r"[*?\[\]\\]")
# `^` is nobody's intention; moby hands it to its regular expression as it is, where it matches at the beginning only.
_SIGNS = {"*": "[^/]*", "?": "[^/]", "^": r"\A"}
# An escaped letter or digit, and a wildcard in a class, mean something else to moby's regular expression: refused, not guessed.
_ESCAPED = r"\\[^a-zA-Z0-9]"
_PIECE = re.compile(
    rf"(?P<deep>\*\*/?)|\[(?!\^\])(?P<negated>\^?)(?P<klass>(?:{_ESCAPED}|[^\\\]])+)\]|(?P<sign>{_ESCAPED})|(?P<plain>[^\\\[])", re.DOTALL
)
_RANGE = re.compile(rf"({_ESCAPED}|[^\\*?\[-])(?:-({_ESCAPED}|[^\\*?\[-]))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line. `kept`: it was written with `!`, and what it matches is sent after all."""

    text: str
    kept: bool
    line: int
    regex: re.Pattern[str]

    def may_match_below(self, folder: str) -> bool:
        """Whether it can match something inside the folder beyond what it says of the folder itself; rather yes than no."""
        parts, inside = self.text.split("/"), folder.split("/")
        for part, name in zip(parts, inside, strict=False):
            if "**" in part or "[" in part or "\\" in part:
                return True
            if not _regex(part).match(name):
                return False
        return len(parts) > len(inside)


@dataclass(slots=True)
class Ignore:
    """The patterns of one file, in order: the last that matches a path or a folder above it decides."""

    patterns: tuple[Pattern, ...] = ()
    _folders: dict[str, tuple[bool, ...]] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, data: bytes, name: str = ".dockerignore") -> Ignore:
        """Raises `UsageError` for a pattern that Docker refuses."""
        lines = data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "surrogateescape").split("\n")
        found = (_pattern(line.removesuffix("\r"), number, name) for number, line in enumerate(lines, 1))
        return cls(tuple(pattern for pattern in found if pattern))

    def excludes(self, path: str) -> bool:
        """Whether the path, relative to the context and with slashes, is left out. The context itself never is."""
        path = posixpath.normpath(path)
        return path != "." and self._decide(self._matches(path))

    def prunable(self, folder: str) -> bool:
        """Whether a walker need not look inside: the folder is left out, and no `!` pattern can bring back anything in it."""
        folder = posixpath.normpath(folder)
        return self.excludes(folder) and not any(one.kept and one.may_match_below(folder) for one in self.patterns)

    def _matches(self, path: str) -> tuple[bool, ...]:
        """For each pattern whether it matched the path or a folder above; one that could change nothing is not asked."""
        above = posixpath.dirname(path)
        if above and above not in self._folders:
            self._folders[above] = self._matches(above)
        inherited = self._folders.get(above, (False,) * len(self.patterns))
        result: list[bool] = []
        excluded = False
        for pattern, above_matched in zip(self.patterns, inherited, strict=True):
            matched = above_matched or (pattern.kept == excluded and bool(pattern.regex.match(path)))
            if matched:
                excluded = not pattern.kept
            result.append(matched)
        return tuple(result)

    def _decide(self, matches: tuple[bool, ...]) -> bool:
        decisive = [pattern for pattern, matched in zip(self.patterns, matches, strict=True) if matched]
        return bool(decisive) and not decisive[-1].kept


def _pattern(line: str, number: int, name: str) -> Pattern | None:
    text = line.strip(SPACES)
    if line.startswith("#") or not text:
        return None
    text = f"!{_relative(text[1:].strip(SPACES))}" if text.startswith("!") else _relative(text)
    # only now, as in moby, so that `/!x` is an exception too
    kept = text.startswith("!")
    text = posixpath.normpath(text.strip(SPACES))[kept:]
    if not text:
        raise UsageError("the pattern ! excepts nothing", where=f"{name}:{number}", mend="write what to keep after it")
    try:
        return Pattern(text, kept, number, _regex(text))
    except ValueError as error:
        mend = "close every [ with a ], put plain characters and ranges in it, and a backslash before signs only"
        raise UsageError(f"the pattern {quote(text)} is malformed", where=f"{name}:{number}", mend=mend) from error


def _relative(text: str) -> str:
    """The shortest form of the path, from the context on."""
    cleaned = posixpath.normpath(text) if text else ""
    return cleaned.lstrip("/") or cleaned[:1]


def _regex(text: str) -> re.Pattern[str]:
    """Raises `ValueError`. A leading `**` before plain text is a suffix, a trailing one after plain text a prefix, as in moby's
    patternmatcher: `**foo` matches `a/barfoo`, where `**fo?` matches whole names only."""
    if not _WILD.search(text):
        return re.compile(f"{re.escape(text)}\\Z")
    head, _, tail = text.partition("**")
    if "**" in text and not _WILD.search(head + tail):
        if not head:
            ending = re.escape(tail)
            return re.compile(f"(?:.*/)?{re.escape(tail[1:])}\\Z" if tail.startswith("/") else f".*{ending}\\Z", re.DOTALL)
        if not tail:
            return re.compile(f"{re.escape(head)}.*\\Z", re.DOTALL)
    return re.compile(f"{_translated(text)}\\Z", re.DOTALL)


def _translated(text: str) -> str:
    result: list[str] = []
    position = 0
    while position < len(text):
        piece = _PIECE.match(text, position)
        if not piece:
            raise ValueError(text)
        position = piece.end()
        match piece.lastgroup:
            case "deep":
                result.append("(?:.*/)?" if position < len(text) else ".*")
            case "klass":
                result.append(_class(piece["negated"], piece["klass"]))
            case "sign":
                result.append(re.escape(piece["sign"][1]))
            case _:
                result.append(_SIGNS.get(piece["plain"]) or re.escape(piece["plain"]))
    return "".join(result)


def _class(negated: str, body: str) -> str:
    """A class of characters; unlike `*` and `?` it may match a slash, as it does in moby's."""
    result, position = [], 0
    while position < len(body):
        found = _RANGE.match(body, position)
        if not found:
            raise ValueError(body)
        low, high = found[1][-1], (found[2] or found[1])[-1]
        if low > high:
            raise ValueError(body)
        result.append(re.escape(low) + (f"-{re.escape(high)}" if found[2] else ""))
        position = found.end()
    return f"[{negated}{''.join(result)}]"
