"""Known secret values, replaced in whole lines: by value, never by the name of the variable that holds them."""

from __future__ import annotations

from collections.abc import Iterable

SHORTEST = 4


class Redactor:
    """Values shorter than four characters are left: replacing them would shred ordinary words."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        for value in values:
            self.add(value)

    def add(self, value: str) -> None:
        for one in (value, *value.splitlines()):
            if len(one.strip()) >= SHORTEST:
                self._values.add(one)

    def __call__(self, line: str) -> str:
        for value in sorted(self._values, key=len, reverse=True):
            line = line.replace(value, "***")
        return line
