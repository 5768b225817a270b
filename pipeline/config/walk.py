"""Parsed TOML held against the types of the schema: every problem at once, each with its path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import inspect

from pipeline.config import rules
from pipeline.config.positions import KeyPath, dotted
from pipeline.errors import UsageError


class Problem(NamedTuple):
    """What is wrong at a path, in one sentence without the place, and what to do about it."""

    path: KeyPath
    what: str
    mend: str = ""


class Walk:
    """One file's check. `root`: the project, for paths. `hidden`: the paths whose value came from the environment and is not shown."""

    def __init__(self, root: Path, hidden: Iterable[KeyPath] = ()) -> None:
        self.root = root
        self.hidden = frozenset(hidden)

    def problems(self, value: Any, kind: inspect.Type, path: KeyPath = ()) -> Iterator[Problem]:
        """Everything wrong with `value`, which should be of `kind`."""
        match kind:
            case inspect.Metadata():
                yield from self._checked(value, kind, path)
            case inspect.UnionType():
                [some] = (one for one in kind.types if not isinstance(one, inspect.NoneType))
                yield from self.problems(value, some, path)
            case inspect.StructType():
                yield from self._table(value, kind, path)
            case inspect.DictType():
                yield from self._named(value, kind, path)
            case inspect.VarTupleType():
                yield from self._array(value, kind, path)
            case _:
                yield from _plain(value, kind, path)

    def _checked(self, value: Any, kind: inspect.Metadata, path: KeyPath) -> Iterator[Problem]:
        found = list(self.problems(value, kind.type, path))
        yield from found
        if isinstance(value, str) and not found:
            yield from self._refused(value, kind.extra or {}, path)

    def _refused(self, value: str, extra: Mapping[str, Any], path: KeyPath) -> Iterator[Problem]:
        try:
            if "check" in extra:
                extra["check"](value)
            if "path" in extra:
                extra["path"](value, self.root)
        except UsageError as error:
            what = "what the environment puts here is refused" if path in self.hidden else error.what
            yield Problem(path, f"`{dotted(path)}`: {what}", error.mend)

    def _table(self, value: Any, kind: inspect.StructType, path: KeyPath) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield _mismatch(value, "a table", path)
            return
        fields = {field.encode_name: field for field in kind.fields}
        for key in value:
            if key in fields:
                yield from self.problems(value[key], fields[key].type, (*path, key))
            else:
                yield unknown(key, fields, path)
        for key, field in fields.items():
            if field.required and key not in value:
                yield Problem(path, f"`{dotted((*path, key))}` is missing")
        yield from (Problem((*path, *place), what, mend) for place, what, mend in rules.broken(kind.cls, value, dotted(path)))

    def _named(self, value: Any, kind: inspect.DictType, path: KeyPath) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield _mismatch(value, "a table", path)
            return
        for key, one in value.items():
            yield from self.problems(key, kind.key_type, (*path, key))
            yield from self.problems(one, kind.value_type, (*path, key))

    def _array(self, value: Any, kind: inspect.VarTupleType, path: KeyPath) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield _mismatch(value, "an array", path)
            return
        if len(value) < (kind.min_length or 0):
            yield Problem(path, f"`{dotted(path)}` is empty")
        for index, one in enumerate(value):
            yield from self.problems(one, kind.item_type, (*path, index))


def unknown(key: str, known: Iterable[str], path: KeyPath) -> Problem:
    """An unknown key, with the nearest known one, or all of them."""
    names = list(known)
    near = get_close_matches(key.lower().replace("_", "-"), names, 1)
    where = f"in [{dotted(path)}]" if path else "at the top"
    mend = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(names)}"
    return Problem((*path, key), f"unknown key `{key}` {where}", mend)


def _plain(value: Any, kind: inspect.Type, path: KeyPath) -> Iterator[Problem]:
    match kind:
        case inspect.StrType() if type(value) is not str:
            yield _mismatch(value, "a string", path)
        case inspect.BoolType() if type(value) is not bool:
            yield _mismatch(value, "true or false", path)
        case inspect.DateType() if type(value) is not date:
            yield _mismatch(value, "a date such as 2027-02-01, without quotes", path)
        case inspect.IntType() if type(value) is not int or value < (kind.ge or 0):
            yield _mismatch(value, f"a whole number, at least {kind.ge or 0}", path)
        case inspect.EnumType():
            yield from _choice(value, [str(one.value) for one in kind.cls], path)
        case inspect.LiteralType():
            yield from _choice(value, [str(one) for one in kind.values], path)


def _choice(value: Any, known: list[str], path: KeyPath) -> Iterator[Problem]:
    if type(value) is not str:
        yield _mismatch(value, f"one of {', '.join(known)}", path)
    elif value not in known:
        folded = {one.lower(): one for one in known}
        near = get_close_matches(value.lower(), folded, 1)
        mend = f"did you mean `{folded[near[0]]}`?" if near else f"write {' or '.join(known)}"
        yield Problem(path, f"`{dotted(path)}`: {value!r} is not known", mend)


def _mismatch(value: Any, wanted: str, path: KeyPath) -> Problem:
    words = {
        str: "a string",
        bool: "a boolean",
        int: "a whole number",
        float: "a number",
        dict: "a table",
        list: "an array",
        date: "a date",
    }
    shown = repr(value) if type(value) is int else words.get(type(value), "a time")
    return Problem(path, f"`{dotted(path)}` must be {wanted}, not {shown}")
