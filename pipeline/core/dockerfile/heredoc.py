"""Which heredocs an instruction's text begins."""

from __future__ import annotations

import re

from pipeline.core.dockerfile.expand import Rules, split
from pipeline.core.dockerfile.model import BadSyntaxError, Heredoc

_MARK = re.compile(r"\d*<<(-?)[\t\n\f\r ]*([^<]+)\Z")
# A heredoc's word is read by these whatever the escape directive says.
_WORDS = Rules(keep_unset=True, raw_quotes=True, raw_escapes=True)
_NAME = Rules(keep_unset=True)
_QUOTED_NAME = Rules(keep_unset=True, raw_quotes=True)


def in_line(line: str) -> list[Heredoc]:
    """The heredocs that a line begins, in order, without their content. A line whose quotes do not close begins none."""
    try:
        words = split(line, {}, _WORDS)
    except BadSyntaxError:
        return []
    return [found for word in words if (found := of_word(word))]


def of_word(word: str) -> Heredoc | None:
    """The heredoc that a word such as `<<EOF`, `<<-"EOF"` or `3<<EOF` begins; None where it begins none. Raises `BadSyntaxError`."""
    found = _MARK.match(word) if "<<" in word else None
    if not found:
        return None
    names = split(found[2], {}, _NAME)
    if len(names) != 1:
        return None
    as_written = "".join(split(found[2], {}, _QUOTED_NAME))
    return Heredoc(names[0], "", expand=_quotes(names[0]) == _quotes(as_written), chomp=bool(found[1]))


def _quotes(word: str) -> int:
    return word.count("'") + word.count('"')
