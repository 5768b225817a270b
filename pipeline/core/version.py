"""Versions from git tags: which tag counts, and what lies between two of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import total_ordering
from typing import Any

from pipeline.errors import UsageError

# The expression that semver.org gives, anchored.
_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?",
    re.ASCII,
)
COMMIT_DIGITS = 12


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A semantic version 2.0.0. Ordered by precedence; equal only if written the same."""

    major: int
    minor: int
    patch: int
    prerelease: str = ""
    build: str = ""

    def __str__(self) -> str:
        core = f"{self.major}.{self.minor}.{self.patch}"
        return core + (f"-{self.prerelease}" if self.prerelease else "") + (f"+{self.build}" if self.build else "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __lt__(self, other: Version) -> bool:
        return self.precedence < other.precedence

    @property
    def precedence(self) -> tuple[Any, ...]:
        """A key that sorts as semver says: a release above its prereleases, numbers below words, build metadata without weight."""
        if not self.prerelease:
            return self.major, self.minor, self.patch, 1
        parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease.split(".")]
        return self.major, self.minor, self.patch, 0, parts


def parse(text: str) -> Version | None:
    """The version that `text` is, or None: `v1.2`, `01.2.3` and `nightly` are none."""
    found = _SEMVER.fullmatch(text)
    if not found:
        return None
    major, minor, patch, prerelease, build = found.groups(default="")
    return Version(int(major), int(minor), int(patch), prerelease, build)


def of_tag(tag: str, prefix: str | None) -> Version | None:
    """The version a git tag names. `prefix` None: with and without `v` both count."""
    if prefix is None:
        return parse(tag.removeprefix("v"))
    return parse(tag[len(prefix) :]) if tag.startswith(prefix) else None


def highest(tags: Iterable[str], prefix: str | None) -> tuple[str, Version] | None:
    """The tag of the highest precedence, with its version; None where no tag counts."""
    counted = ((tag, version) for tag in tags if (version := of_tag(tag, prefix)))
    return max(counted, key=lambda one: (one[1].precedence, one[0]), default=None)


def between(base: Version | None, distance: int, commit: str, *, dirty: bool) -> Version:
    """The version of a commit `distance` commits after `base`: above it, and below every release and prerelease to come.

    The numeric first part (`0.`) sorts below `alpha` or `rc`: 1.4.2 < 1.4.3-0.dev.7 < 1.4.3-alpha.1. After a prerelease its own
    identifiers are kept and continued: 1.2.0-rc.10 < 1.2.0-rc.10.0.dev.1 < 1.2.0-rc.11.
    """
    build = f"g{commit[:COMMIT_DIGITS]}" + (".dirty" if dirty else "")
    if base is None:
        return Version(0, 0, 0, f"0.dev.{distance}", build)
    if base.prerelease:
        return Version(base.major, base.minor, base.patch, f"{base.prerelease}.0.dev.{distance}", build)
    return Version(base.major, base.minor, base.patch + 1, f"0.dev.{distance}", build)


def check_unique(tags: Iterable[str], prefix: str | None, chosen: str) -> None:
    """Refuse a tag whose version another tag of the same commit names with other build metadata, or with the other prefix."""
    version = of_tag(chosen, prefix)
    for other in tags:
        candidate = of_tag(other, prefix)
        if other != chosen and version and candidate and candidate.precedence == version.precedence and str(candidate) != str(version):
            mend = "delete the one that is wrong: build metadata does not order versions"
            raise UsageError(f"the tags {chosen} and {other} differ only in build metadata", mend=mend)
