"""Durations and sizes as people write them: `90s`, `48h`, `200MB`, `1GiB`."""

from __future__ import annotations

import re

from pipeline.errors import UsageError

DURATION = r"[0-9]{1,9}(?:\.[0-9]{1,3})?(?:ms|s|m|h|d)"
SIZE = r"[0-9]{1,9}(?:\.[0-9]{1,3})?(?:B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)"
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = (
    {"B": 1}
    | {f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)}
    | {f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)}
)
_LONGEST = 3650 * 86400.0


def seconds(text: str) -> float:
    """The seconds of a duration: one number with `ms`, `s`, `m`, `h` or `d`, above zero, ten years at most. Raises `UsageError`."""
    value = _value(text, DURATION, _SECONDS)
    if not 0 < value <= _LONGEST:
        raise UsageError(f"{text!r} is not a duration", mend="write a number above zero and a unit, such as 90s, 5m, 48h or 7d")
    return value


def size(text: str) -> int:
    """The bytes of a size: one number with `B`, `kB` (1000), `KiB` (1024) and so on up to `TB`, above zero. Raises `UsageError`."""
    value = _value(text, SIZE, _BYTES)
    if value < 1:
        raise UsageError(f"{text!r} is not a size", mend="write a number above zero and a unit, such as 200MB or 1GiB")
    return int(value)


def _value(text: str, pattern: str, units: dict[str, float] | dict[str, int]) -> float:
    """Zero for what does not match: no duration and no size is zero."""
    found = re.fullmatch(pattern, text)
    unit = text.lstrip("0123456789.")
    return float(text.removesuffix(unit)) * units[unit] if found else 0.0
