"""Where things stand in a TOML file. `tomllib` gives no positions, so the file is parsed in growing prefixes: what a prefix has and
the one before it had not begins on its first new line. Quadratic, and so only for error messages and for `pipeline config`."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

KeyPath = tuple[str | int, ...]

# What may be missing where a line ends inside a value that goes on: an array, one in an inline table, one in an array.
_CLOSERS = ("]", "]}", "]]", "}]", "}")


def lines(text: str) -> dict[KeyPath, int]:
    """The line, from 1, on which each table, key and array element of a TOML file begins, as far as the file parses."""
    found: dict[KeyPath, int] = {}
    begun = 1
    rows = text.replace("\r\n", "\n").split("\n")
    for number in range(1, len(rows) + 1):
        head = "\n".join(rows[:number])
        whole = _parse(head)
        if whole is not None:
            _note(found, whole, begun)
            begun = number + 1
        else:
            _note_open(found, head, begun, number)
    return found


def nearest(found: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of `path`, or of the nearest thing around it; 0 where nothing of it is in the file."""
    while path and path not in found:
        path = path[:-1]
    return found.get(path, 0)


def of_syntax_error(text: str, error: tomllib.TOMLDecodeError) -> int:
    """The line of a syntax error: where the parser says, else where the statement begins that the file ends in."""
    said = re.search(r"at line (\d+)", str(error))
    if said:
        return int(said[1])
    rows = text.replace("\r\n", "\n").split("\n")
    good = max((number for number in range(len(rows) + 1) if _parse("\n".join(rows[:number])) is not None), default=0)
    return min(good + 1, len(rows))


def dotted(path: KeyPath) -> str:
    """A path as a person writes it: `waiver[1].id`, `args."a key"`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"')
    return text


def paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """Every path in parsed TOML, tables before what is in them."""
    if path:
        yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from paths(child, (*path, key))


def _note(found: dict[KeyPath, int], data: dict[str, Any], line: int) -> None:
    for path in paths(data):
        found.setdefault(path, line)


def _note_open(found: dict[KeyPath, int], head: str, begun: int, number: int) -> None:
    """Inside a value of several lines: its elements so far have lines of their own, everything around them the statement's first."""
    for closer in _CLOSERS:
        data = _parse(f"{head}\n{closer}")
        if data is not None:
            for path in paths(data):
                found.setdefault(path, number if any(isinstance(part, int) for part in path) else begun)
            return


def _parse(text: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
