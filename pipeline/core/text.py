"""Text from outside is data: made harmless before a terminal, a job log or a report shows it."""

from __future__ import annotations

import json
import re

# C0 and C1 controls (ESC and CR among them), and the Unicode characters that reorder or hide text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
# GitHub's runner takes `::` at the start of a line, and `##[` anywhere in it.
_GITHUB = re.compile(r"^(\s*):(?=:)")
_GITHUB_OLD = re.compile(r"##(?=\[)")
_GITLAB = re.compile(r"section_(start|end):")
_NOT_ASCII = re.compile("[^\n -~]")


def line(text: str, limit: int = 500) -> str:
    """One printable line of at most `limit` characters: newlines and tabs become spaces, controls become U+FFFD."""
    flat = " ".join(text.replace("\t", " ").splitlines()) if "\n" in text or "\t" in text or "\r" in text else text
    flat = _defuse(_CONTROL.sub("\ufffd", flat))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def block(text: str, limit: int = 20_000) -> str:
    """Several printable lines, at most `limit` characters together, the end kept: the last lines say why a tool failed."""
    kept = text if len(text) <= limit else "…" + text[-limit:]
    lines = re.split(r"\r\n|\n|\r", kept)
    return "\n".join(_defuse(_CONTROL.sub("\ufffd", one)) for one in lines)


def json_text(document: bytes) -> str:
    """JSON fit to be printed: what is not plain ASCII, and what a CI would take for a command, stands there escaped."""
    ascii_only = _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], document.decode())
    return _GITLAB.sub(r"section\\u005f\1:", ascii_only.replace("##[", "##\\u005b"))


def _defuse(one: str) -> str:
    """Break what a CI would take for a command of its own, wherever the line is printed."""
    return _GITLAB.sub(r"section-\1:", _GITHUB_OLD.sub("# #", _GITHUB.sub(r"\1: ", one)))


def printable(text: str) -> bool:
    """Whether `text` is one line without a character that a terminal or a report would not show as itself."""
    return not _CONTROL.search(text) and "\n" not in text and "\t" not in text
