"""What identifies a build before it has run: equal inputs of an equal commit are the same build, in any clone."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from msgspec.structs import replace

from pipeline.core.about import LABEL_INPUTS
from pipeline.core.image import digest_of
from pipeline.core.record import BuildInputs, VersionFacts, key_of

_OCI = "org.opencontainers.image."


def digest(inputs: BuildInputs, version: VersionFacts) -> str:
    """The digest over the inputs and the commit. What only the build finds out (the bases' digests, untracked
    files that it let in) is left out, so that a fresh
    clone computes the same before it builds."""
    return key_of(inputs=replace(inputs, bases={}, untracked=()), commit=version.commit, version=version.version)


def recorded(args: Mapping[str, str], private: Collection[str]) -> dict[str, str]:
    """Build arguments as evidence keeps them: of those that took something from the environment only a digest."""
    return {name: digest_of(value.encode()) if name in private else value for name, value in sorted(args.items())}


def labels(version: VersionFacts, made_of: str, described: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """The OCI labels and the inputs' digest. `described`: title, source, licenses, empty where unknown; the project's `own` labels
    may say otherwise there, but never about version, commit, time and inputs."""
    built = {"version": version.version, "revision": version.commit, "created": version.created}
    defaults = {_OCI + name: value for name, value in described.items() if value}
    return defaults | dict(own) | {_OCI + name: value for name, value in built.items()} | {LABEL_INPUTS: made_of}


def local_name(project: str) -> str:
    """The name that the last build of a project has in the engine: nothing reads it, it keeps `docker image prune` from the image."""
    slug = re.sub(r"[^a-z0-9]+", "-", project.lower()).strip("-")
    return f"{slug or 'project'}:built"
