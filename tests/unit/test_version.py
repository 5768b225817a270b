from __future__ import annotations

import itertools

import pytest
import semver
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import version as versions
from pipeline.core.version import Version
from pipeline.errors import UsageError

NUMBERS = st.integers(0, 10**6)
WORDS = st.from_regex(r"\A(0|[1-9][0-9]{0,5}|[0-9]{0,3}[a-zA-Z-][0-9a-zA-Z-]{0,5})\Z")
BUILD = st.from_regex(r"\A[0-9a-zA-Z-]{1,8}\Z")
VERSIONS = st.builds(
    Version,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.lists(WORDS, max_size=4).map(".".join),
    st.lists(BUILD, max_size=2).map(".".join),
)
COMMIT = "1a2b3c4d5e6f7890aaaabbbbccccddddeeeeffff"


@given(VERSIONS)
def test_what_we_write_is_read_again_by_us_and_by_semver(version: Version) -> None:
    assert versions.parse(str(version)) == version
    assert str(semver.Version.parse(str(version))) == str(version)


@given(VERSIONS, VERSIONS)
def test_our_precedence_is_semvers(one: Version, other: Version) -> None:
    theirs = semver.Version.parse(str(one)).compare(str(other))
    ours = (one.precedence > other.precedence) - (one.precedence < other.precedence)
    assert ours == theirs


@pytest.mark.parametrize("text", ["v1.2.3", "1.2", "01.2.3", "1.02.3", "1.2.3-01", "1.2.3-", "1.2.3+", "nightly", "", "1.2.3\n", "1.2.٣"])
def test_what_is_no_version_is_none(text: str) -> None:
    assert versions.parse(text) is None


@pytest.mark.parametrize(
    ("tag", "prefix", "expected"),
    [
        ("v1.2.3", None, "1.2.3"),
        ("1.2.3", None, "1.2.3"),
        ("1.2.3", "v", None),
        ("api/v1.2.3", "api/v", "1.2.3"),
        ("api/v1.2.3", None, None),
        ("v01.2.3", None, None),
        ("release-foo", None, None),
        ("vv1.2.3", None, None),
    ],
)
def test_which_tag_counts(tag: str, prefix: str | None, expected: str | None) -> None:
    version = versions.of_tag(tag, prefix)
    assert (str(version) if version else None) == expected


def test_the_highest_by_precedence_not_by_name() -> None:
    assert versions.highest(["v1.2.0-rc.2", "v1.2.0-rc.10", "nightly"], None) == ("v1.2.0-rc.10", versions.parse("1.2.0-rc.10"))
    assert versions.highest(["v1.2.0", "v1.2.0-rc.1"], None) == ("v1.2.0", versions.parse("1.2.0"))
    assert versions.highest(["nightly"], None) is None


@pytest.mark.parametrize(
    ("base", "distance", "dirty", "expected"),
    [
        ("1.4.2", 7, False, "1.4.3-0.dev.7+g1a2b3c4d5e6f"),
        ("1.4.2", 0, True, "1.4.3-0.dev.0+g1a2b3c4d5e6f.dirty"),
        ("1.2.0-rc.10", 1, False, "1.2.0-rc.10.0.dev.1+g1a2b3c4d5e6f"),
        (None, 3, False, "0.0.0-0.dev.3+g1a2b3c4d5e6f"),
    ],
)
def test_between_tags(base: str | None, distance: int, dirty: bool, expected: str) -> None:
    assert str(versions.between(versions.parse(base) if base else None, distance, COMMIT, dirty=dirty)) == expected


@given(VERSIONS, st.integers(1, 10**5))
def test_a_commit_between_lies_above_its_base_and_below_what_comes(base: Version, distance: int) -> None:
    between = versions.between(base, distance, COMMIT, dirty=False)
    assert versions.parse(str(between)) == between
    assert base.precedence < between.precedence
    parsed = semver.Version.parse(str(base))
    following = [parsed.bump_patch(), parsed.bump_minor(), parsed.bump_major()]
    if not base.prerelease:
        following += [semver.Version.parse(f"{one}-alpha") for one in following]
    for later in following:
        assert semver.Version.parse(str(between)).compare(later) < 0


@given(VERSIONS, st.integers(1, 1000))
def test_later_commits_sort_later(base: Version, distance: int) -> None:
    steps = [versions.between(base, distance + step, COMMIT, dirty=False) for step in range(3)]
    for earlier, later in itertools.pairwise(steps):
        assert earlier.precedence < later.precedence


def test_two_tags_that_differ_in_build_metadata_only_are_refused() -> None:
    with pytest.raises(UsageError, match="build metadata"):
        versions.check_unique(["v1.0.0+a", "v1.0.0+b"], None, "v1.0.0+a")
    versions.check_unique(["v1.0.0", "1.0.0", "v1.0.0-rc.1"], None, "v1.0.0")
