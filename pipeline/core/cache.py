"""Build caches as `docker buildx build --cache-to` takes them, and what of a build gets into them."""

from __future__ import annotations

import csv
from collections.abc import Iterable

from pipeline.errors import UsageError


def options(cache: str) -> dict[str, str]:
    """The fields of `type=…,mode=…`, read as buildx does: they may be quoted, and case does not matter. A bare reference has none."""
    pairs = (part.strip().partition("=") for part in next(csv.reader([cache]), []))
    return {name.strip().lower(): value.strip().lower() for name, separator, value in pairs if separator}


def require_searched(caches: Iterable[str]) -> None:
    """For a build with secrets. Raises `UsageError` for a cache that gets layers in which no build secret was looked for."""
    if any(holds_every_stage(cache) for cache in caches):
        what = "mode=max writes the layers of every stage to a cache, and only those of the image are searched for build secrets"
        raise UsageError(what, where="[image] cache-to", mend="write mode=min there, or do without [image.secrets]")


def holds_every_stage(cache: str) -> bool:
    """Whether the layers of stages that are not in the image get into it; what is no mode that we know counts as that."""
    return options(cache).get("mode", "min") != "min"


def stays_in_image(cache: str) -> bool:
    """Whether writing it sends nothing anywhere."""
    return options(cache).get("type") == "inline"
