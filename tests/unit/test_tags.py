from __future__ import annotations

import pytest

from pipeline.core.tags import moving
from pipeline.core.version import Version, parse
from pipeline.errors import UsageError

ALL = ("{version}", "{major}.{minor}", "{major}", "latest")


def moved(version: str, published: list[str]) -> list[str]:
    parsed = parse(version)
    assert isinstance(parsed, Version)
    return [one.tag for one in moving(parsed, ALL, published) if one.moves]


def test_the_first_version_moves_all() -> None:
    assert moved("1.4.0", []) == ["1.4", "1", "latest"]


def test_a_backport_moves_its_own_lines_only() -> None:
    assert moved("1.9.5", ["1.9.4", "2.1.0", "latest", "1", "2"]) == ["1.9", "1"]


def test_an_older_release_moves_nothing_down() -> None:
    assert moved("1.4.0", ["1.4.1", "1.4", "1", "latest"]) == []


def test_a_prerelease_moves_nothing() -> None:
    assert moved("2.0.0-rc.1", ["1.0.0"]) == []


def test_a_higher_prerelease_holds_nothing_back() -> None:
    assert moved("1.0.0", ["1.1.0-rc.1", "2.0.0-beta"]) == ["1.0", "1", "latest"]


def test_zero_is_no_line() -> None:
    assert moved("0.3.0", ["0.2.0"]) == ["0.3", "latest"]


def test_build_metadata_in_a_published_tag_is_read() -> None:
    assert moved("1.0.0", ["1.0.1_build.5"]) == []


@pytest.mark.parametrize("template", ["{nothing}", "{", "has space", "{version.__class__}", "{0}"])
def test_a_bad_template_says_so(template: str) -> None:
    parsed = parse("1.0.0")
    assert parsed
    with pytest.raises(UsageError, match=r"\[version\] tags"):
        moving(parsed, (template,), [])
