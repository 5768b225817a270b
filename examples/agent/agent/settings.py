"""The configuration file, read at the start and again on SIGHUP."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class SettingsError(Exception):
    """The file cannot be read, or says something that we do not understand."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`greeting` is what `/` answers. `requires`: files without which the agent is not healthy. `upstream`: an address that
    `/upstream` asks, empty for none."""

    greeting: str
    requires: tuple[str, ...]
    upstream: str

    @property
    def missing(self) -> list[str]:
        return [name for name in self.requires if not Path(name).exists()]


def load(path: Path) -> Settings:
    """Raises `SettingsError`."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
    unknown = table.keys() - Settings.__dataclass_fields__.keys()
    if unknown:
        raise SettingsError(f"{path}: unknown key {', '.join(sorted(unknown))}")
    return Settings(
        greeting=_text(table, "greeting", "hello", path),
        requires=_texts(table, "requires", path),
        upstream=_text(table, "upstream", "", path),
    )


def _text(table: dict[str, Any], key: str, default: str, path: Path) -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        raise SettingsError(f"{path}: {key} is not a text")
    return value


def _texts(table: dict[str, Any], key: str, path: Path) -> tuple[str, ...]:
    values = table.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise SettingsError(f"{path}: {key} is not a list of texts")
    return tuple(values)
