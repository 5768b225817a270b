"""Files of Kubernetes manifests, cut into their YAML documents; parsing them is OPA's work."""

from __future__ import annotations

import re

from pipeline.core.policy import Document
from pipeline.errors import UsageError

# A marker at the start of a line ends a document wherever it stands, inside a block scalar too (YAML 1.2, 9.1.4).
_MARKER = re.compile("(?:(?<=[\n\r\x85\u2028\u2029])|\\A)(---|\\.\\.\\.)(?=[ \t\n\r\x85\u2028\u2029]|\\Z)")
_NOTHING = re.compile(r"(?:\s|#[^\n\r]*|%[^\n\r]*)*\Z")


def split(name: str, data: bytes) -> tuple[Document, ...]:
    """The documents of a file, with the line at which each begins; those that hold nothing but comments are left out.

    Raises `UsageError` for a file that is not UTF-8, or holds no document at all.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("is not UTF-8 text", where=name, mend="save it as UTF-8") from error
    starts = [0, *(found.end() for found in _MARKER.finditer(text))]
    ends = [*(found.start() for found in _MARKER.finditer(text)), len(text)]
    documents = tuple(
        Document("kubernetes", name, yaml=text[start:end], line=_line(text, start, end))
        for start, end in zip(starts, ends, strict=True)
        if not _NOTHING.match(text, start, end)
    )
    if not documents:
        raise UsageError("holds no Kubernetes manifest", where=name, mend="remove it, or narrow `manifests` under [policy]")
    return documents


def _line(text: str, start: int, end: int) -> int:
    """The line, counted from 1, of the first character of a document that is no white space."""
    blank = len(text[start:end]) - len(text[start:end].lstrip())
    return text.count("\n", 0, start + blank) + 1
