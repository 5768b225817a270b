"""Exact values, looked for in a stream of bytes: as they are, and as base64 writes them, alone or inside something longer."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping

from pipeline.errors import UsageError

SHORTEST = 4
# A shorter piece of base64 turns up by chance in a large layer.
_SHORTEST_INSIDE = 8


class Needles:
    """What to look for, each under the id of its secret. Raises `UsageError` for a value too short to be told from chance."""

    def __init__(self, secrets: Mapping[str, bytes]) -> None:
        self._needles: list[tuple[str, bytes]] = []
        for name, value in secrets.items():
            exact = value.strip()
            if len(exact) < SHORTEST:
                mend = f"use a secret of at least {SHORTEST} bytes"
                raise UsageError(f"the build secret {name} is shorter than {SHORTEST} bytes: layers cannot be searched for it", mend=mend)
            self._needles += [(name, needle) for needle in _forms(exact)]
        self._needles.sort(key=lambda one: len(one[1]), reverse=True)
        self.longest = max((len(needle) for _, needle in self._needles), default=0)

    def found(self, data: bytes) -> set[str]:
        """The ids of the secrets whose value is in `data`."""
        return {name for name, needle in self._needles if needle in data}

    def scan(self, chunks: Iterable[bytes]) -> set[str]:
        """The same over a stream; a value that lies across two chunks is found."""
        found: set[str] = set()
        tail = b""
        for chunk in chunks:
            window = tail + chunk
            found |= self.found(window)
            tail = window[-(self.longest - 1) :] if self.longest > 1 else b""
        return found

    def blank(self, text: str) -> str:
        """`text` without the values."""
        for _, needle in self._needles:
            text = text.replace(needle.decode("utf-8", "surrogateescape"), "***")
        return text


def _forms(value: bytes) -> set[bytes]:
    forms = {value, base64.b64encode(value), base64.urlsafe_b64encode(value)}
    if len(value) < _SHORTEST_INSIDE:
        return forms
    # Base64 has three alignments; of each, the characters that the neighbouring bytes do not change.
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + value)
        inner = encoded[-(-offset * 8 // 6) : (offset + len(value)) * 8 // 6]
        forms |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return forms
