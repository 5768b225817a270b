"""The patterns in `${X#…}`, `${X%…}` and `${X/…/…}`. All raise `BadSyntaxError` for a pattern that BuildKit refuses."""

from __future__ import annotations

import re

from pipeline.core.dockerfile.model import BadSyntaxError, quote


def without_prefix(value: str, pattern: str) -> str:
    """`${X#pattern}`: without the shortest match at the beginning; a `#` before the pattern asks for the longest."""
    greedy = pattern.startswith("#")
    found = _regex(pattern[greedy:], greedy=greedy).match(value)
    return value[found.end() :] if found else value


def without_suffix(value: str, pattern: str) -> str:
    """`${X%pattern}`: without the shortest match at the end; a `%` before the pattern asks for the longest."""
    greedy = pattern.startswith("%")
    # the shortest suffix is the shortest prefix of everything reversed; an escape stays before its character
    mirrored = "".join(reversed(re.findall(r"\\.|.", pattern[greedy:], re.DOTALL)))
    found = _regex(mirrored, greedy=greedy).match(value[::-1])
    return value[: len(value) - found.end()] if found else value


def replaced(value: str, pattern: str, replacement: str, *, everywhere: bool) -> str:
    """`${X/pattern/replacement}`, or with two slashes `everywhere`."""
    return _regex(pattern, greedy=True).sub(lambda _: replacement, value, count=0 if everywhere else 1)


def _regex(pattern: str, *, greedy: bool) -> re.Pattern[str]:
    """A shell pattern of `*`, `?` and characters. A backslash escapes these, itself, and the `}` and `/` that would end the pattern."""
    result: list[str] = []
    for piece in re.findall(r"\\.?|\*+|[^*\\]", pattern, re.DOTALL):
        if piece[0] == "*":
            result.append(".*" if greedy else ".*?")
        elif piece == "?":
            result.append(".")
        elif piece[0] == "\\" and piece[1:] not in ("*", "?", "\\", "}", "/"):
            raise BadSyntaxError(f"the pattern {quote(pattern)} escapes a character that needs none")
        else:
            result.append(re.escape(piece[-1]))
    return re.compile("".join(result))
