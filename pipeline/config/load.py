"""From `pipeline.toml` to settings: found, parsed, checked against the schema, interpolated, with the origin of each value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.config import schema


@dataclass(frozen=True, slots=True)
class Settings:
    """What is in force. `path` is the file, None where there is none; `origins` says for each dotted key where its value comes from;
    `interpolated` are the dotted keys whose value took something from the environment: shown as ***."""

    root: Path
    path: Path | None
    file: schema.File
    image: schema.Image
    image_name: str
    origins: Mapping[str, str]
    interpolated: frozenset[str]
