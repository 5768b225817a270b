"""`pipeline config`: what is in force and where it comes from, and the schema of the file."""

from __future__ import annotations

import json
from typing import Final

import msgspec

from pipeline.config import explain
from pipeline.config.load import Settings
from pipeline.core.text import json_text

SCHEMA: Final = "release-chain/config/v1"


class InForce(msgspec.Struct, frozen=True):
    """The configuration in force. `file` is empty where there is none."""

    root: str
    file: str
    values: tuple[explain.Value, ...]
    schema: str = SCHEMA


def in_force(settings: Settings) -> InForce:
    return InForce(str(settings.root), str(settings.path or ""), explain.values(settings))


def as_text(answer: InForce) -> str:
    return "\n".join(explain.lines(answer.values))


def as_json(answer: InForce) -> str:
    return json_text(msgspec.json.format(msgspec.json.encode(answer), indent=2))


def schema() -> str:
    """The JSON schema of `pipeline.toml`, as it is published in docs/schema/."""
    return json.dumps(explain.json_schema(), indent=2, ensure_ascii=False)
