"""Durations and sizes."""

from __future__ import annotations

import pytest

from pipeline.core import units
from pipeline.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("90s", 90.0), ("5m", 300.0), ("1.5h", 5400.0), ("48h", 172800.0), ("7d", 604800.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert units.seconds(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "90", "90 s", "1h30m", "-5s", "0s", "0.0m", "5 minutes", "4000d", "5S", "٣s", "1e3s", "90s\n"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        units.seconds(text)


@pytest.mark.parametrize(
    ("text", "size"), [("1B", 1), ("200MB", 200_000_000), ("1kB", 1000), ("1KiB", 1024), ("1.5GiB", 1_610_612_736), ("2TB", 2 * 10**12)]
)
def test_sizes(text: str, size: int) -> None:
    assert units.size(text) == size


@pytest.mark.parametrize("text", ["", "200", "0MB", "200mb", "-1B", "200 MB", "0.5B", "1PB", "1KB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError, match="is not a size"):
        units.size(text)
