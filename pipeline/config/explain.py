"""What is in force and where each value comes from; and the schema, for editors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import groupby
from typing import Any

import msgspec

from pipeline.config import positions, rules, schema
from pipeline.config.load import Settings
from pipeline.config.positions import KeyPath, dotted
from pipeline.core import text

HIDDEN = "***"
DEFAULT = "default"


class Value(msgspec.Struct, frozen=True):
    """One value in force. `key` is dotted, `origin` where it comes from: default, a file and line, CI, an environment variable."""

    key: str
    value: Any
    origin: str
    table: str = ""
    name: str = ""


def values(settings: Settings) -> tuple[Value, ...]:
    """Every value in force, in the schema's order. What took something from the environment is `***`."""
    data = msgspec.to_builtins(settings.file, builtin_types=(date,))
    found = _lines(settings)
    return tuple(_value(path, value, settings, found) for path, value in _leaves(data))


def lines(known: tuple[Value, ...]) -> list[str]:
    """The values as TOML, each with its origin in a comment; what is empty by default is a comment as a whole."""
    shown: list[str] = []
    for table, group in groupby(known, key=lambda one: one.table):
        rows = [(_row(one), one.origin) for one in group]
        width = min(max(len(row) for row, _ in rows), 60)
        shown += ["", f"[{table}]", *(f"{row:<{width}}  # {origin}" for row, origin in rows)]
    return [text.line(one, 2000) for one in shown[1:]]


def json_schema() -> dict[str, Any]:
    """The JSON schema of `pipeline.toml`, draft 7, which editors read best: TOML has no null, so no key may be one."""
    made = msgspec.json.schema(schema.File)
    for definition in made["$defs"].values():
        keys = definition.get("properties", {})
        keys |= {key: _without_null(described) for key, described in keys.items()}
    for kind, choice in rules.EXACTLY_ONE.items():
        made["$defs"][kind.__name__]["oneOf"] = [{"required": [key]} for key in choice]
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "pipeline.toml", **made}


def _lines(settings: Settings) -> Mapping[KeyPath, int]:
    """Read again: where things stand is asked for here, and when something is wrong."""
    return positions.lines(settings.path.read_bytes().decode("utf-8-sig")) if settings.path else {}


def _value(path: KeyPath, value: Any, settings: Settings, found: Mapping[KeyPath, int]) -> Value:
    key = dotted(path)
    origin = settings.origins.get(key, DEFAULT)
    if path in found and settings.path:
        where = f"{settings.path.name}:{found[path]}"
        origin = where if origin == settings.path.name else f"{origin}, {where}"
    shown = HIDDEN if key in settings.interpolated else value
    return Value(key, shown, origin, dotted(path[:-1]), dotted(path[-1:]))


def _leaves(table: Mapping[str, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """The values of a table before the tables in it. A table that is not there has no keys."""
    tables = {key: value for key, value in table.items() if isinstance(value, dict)}
    for key, value in table.items():
        if key not in tables and (value is not None or key not in {"image", "container"}):
            yield (*path, key), value
    for key, value in tables.items():
        yield from _leaves(value, (*path, key))


def _row(one: Value) -> str:
    if one.origin == DEFAULT and one.value in (None, "", ()):
        return f"# {one.name} ="
    return f"{one.name} = {_toml(one.value)}"


def _toml(value: Any) -> str:
    """TOML writes strings, numbers, booleans and arrays of them as JSON does, and dates bare."""
    return value.isoformat() if isinstance(value, date) else json.dumps(value, ensure_ascii=False)


def _without_null(described: dict[str, Any]) -> dict[str, Any]:
    """A key that may be left out has no null as a default; a table's default is told by its own keys."""
    choices = [one for one in described.get("anyOf", ()) if one != {"type": "null"}]
    plain = {key: value for key, value in described.items() if key != "anyOf"} | (choices[0] if choices else {})
    if plain.get("default", ...) is None or "$ref" in plain:
        plain.pop("default", None)
    return plain
