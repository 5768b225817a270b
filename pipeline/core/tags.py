"""Image tags of a release: the exact version, and the moving tags that follow the highest version of their line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.core.image import is_tag, tag_of_version
from pipeline.core.version import Version, parse
from pipeline.errors import UsageError

EXACT = "{version}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One moving tag, whether it may point to this version, and why or why not."""

    tag: str
    moves: bool
    reason: str


def moving(version: Version, templates: Sequence[str], published: Iterable[str]) -> tuple[Candidate, ...]:
    """What becomes of each moving tag, given the tags that the repository has now.

    A tag follows the highest released version of its line: it never moves back, never to a prerelease, and `0` is no line.
    """
    released = [one for tag in published if (one := parse(tag.replace("_", "+"))) and not one.prerelease]
    return tuple(_candidate(template, version, released) for template in templates if template != EXACT)


def _candidate(template: str, version: Version, released: Sequence[Version]) -> Candidate:
    tag = _expand(template, version)
    if version.prerelease:
        return Candidate(tag, False, f"{version} is a prerelease")
    if version.major == 0 and template == "{major}":
        return Candidate(tag, False, "0.x promises no compatible line")
    higher = [one for one in released if _expand(template, one) == tag and one.precedence > version.precedence]
    if higher:
        return Candidate(tag, False, f"{max(higher)} is published and higher")
    return Candidate(tag, True, f"{version} is the highest of its line")


def _expand(template: str, version: Version) -> str:
    try:
        tag = template.format(version=tag_of_version(str(version)), major=version.major, minor=version.minor, patch=version.patch)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        mend = "use {version}, {major}, {minor}, {patch} and plain text"
        raise UsageError(f"{template!r} is not an image tag template", where="[version] tags", mend=mend) from error
    if not is_tag(tag):
        raise UsageError(f"{template!r} makes {tag!r}, which is not an image tag", where="[version] tags")
    return tag
