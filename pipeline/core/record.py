"""Evidence: the record a step leaves. It keeps findings and facts, never verdicts."""

from __future__ import annotations

import hashlib
from typing import Final, Literal

import msgspec

from pipeline.core.finding import Finding

SCHEMA: Final = "release-chain/evidence/v1"


class _Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="step"):
    """What one step established, for the steps after it."""


class VersionFacts(_Facts, frozen=True, tag="version"):
    """`created`: the commit's time, RFC 3339 in UTC. `tag`: the exact git tag, empty between tags. `clean`: no changed tracked file."""

    version: str
    commit: str
    tree: str
    created: str
    tag: str = ""
    base: str = ""
    distance: int = 0
    clean: bool = True


class CheckFacts(_Facts, frozen=True, tag="check"):
    """`dockerfile`: the SHA-256 of its bytes. `stages`: their names or numbers, in order. `context_bytes`: what would be sent."""

    dockerfile: str
    stages: tuple[str, ...] = ()
    final_stage: str = ""
    final_paths: tuple[str, ...] = ()
    context_files: int = 0
    context_bytes: int = 0


class Layer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`size` in bytes, uncompressed; -1 where the engine does not tell."""

    diff_id: str
    size: int
    created_by: str = ""


class StageSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an earlier stage holds, in bytes, and how much of it did not reach the final image."""

    name: str
    size: int
    left_behind: int


class BuildInputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What went in. Digests of the Dockerfile's and `.dockerignore`'s bytes; secrets by id only.
    `untracked`: the first files that git does not track and that nobody allowed; a release has none."""

    dockerfile: str
    dockerignore: str = ""
    context: str = "."
    target: str = ""
    platform: str = ""
    args: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    bases: dict[str, str] = {}
    entitlements: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    include_untracked: bool = False
    snapshot: bool = False


class BuildFacts(_Facts, frozen=True, tag="build"):
    """`config`: the config digest. `engine_id`: the image's ID in the engine that built it, empty for an image adopted from the
    registry; then `manifest` is its digest there. `inputs_digest` is the label by which a later run knows the image again."""

    config: str
    engine_id: str
    diff_ids: tuple[str, ...]
    inputs: BuildInputs
    inputs_digest: str
    layers: tuple[Layer, ...] = ()
    size: int = 0
    stages: tuple[StageSize, ...] = ()
    manifest: str = ""
    repository: str = ""
    builder: str = ""


class AdoptFacts(_Facts, frozen=True, tag="adopt"):
    """`image`: what the registry holds of this release already, None where it holds nothing."""

    image: BuildFacts | None = None


class StageFacts(_Facts, frozen=True, tag="stage"):
    """`uploaded`: this job's engine pushed the layers; otherwise their content was hashed against the config's diff_ids."""

    repository: str
    staging_tag: str
    manifest: str
    config: str
    uploaded: bool


class ScanFacts(_Facts, frozen=True, tag="scan"):
    """The database is part of the verdict: when it was made (RFC 3339), and whether it is the small one of a demonstration."""

    config: str
    diff_ids: tuple[str, ...]
    packages: int
    os: str = ""
    database_updated: str = ""
    database_digest: str = ""
    demo: bool = False
    reference: str = ""


class PolicyFacts(_Facts, frozen=True, tag="policy"):
    """`judged`: each input with the packages that answered for it. `policies`: the digest over every policy file."""

    config: str
    policies: str
    judged: dict[str, tuple[str, ...]] = {}


class PublishFacts(_Facts, frozen=True, tag="publish"):
    """`tags` were written by this run, `kept` pointed to the digest already."""

    repository: str
    manifest: str
    config: str
    version: str
    commit: str
    tags: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


class DeployFacts(_Facts, frozen=True, tag="deploy"):
    """`outcome` of the rollout; `previous` is what served before, `log` the failed version's last lines."""

    environment: str
    image: str
    outcome: Literal["succeeded", "unchanged", "failed", "rolled-back", "rollback-failed"]
    previous: str = ""
    address: str = ""
    rollout: str = ""
    seconds: float = 0.0
    log: tuple[str, ...] = ()


Facts = VersionFacts | CheckFacts | AdoptFacts | BuildFacts | StageFacts | ScanFacts | PolicyFacts | PublishFacts | DeployFacts


class Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the evidence is about: a commit, a config digest or a manifest digest."""

    kind: Literal["commit", "config", "manifest"]
    digest: str


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`key` is the digest of everything the findings depend on; equal keys may reuse them. Times: RFC 3339 in UTC, and seconds.
    `tools`: name to version.
    `job`, `started`, `seconds` are the flow's to fill in. `error`: why the step could not do or judge what it should, empty when it did."""

    step: str
    subject: Subject
    key: str
    tools: dict[str, str] = {}
    facts: Facts | None = None
    findings: tuple[Finding, ...] = ()
    error: str = ""
    job: str = ""
    started: str = ""
    seconds: float = 0.0
    schema: Literal["release-chain/evidence/v1"] = SCHEMA


def key_of(**parts: object) -> str:
    """The digest over named parts, in canonical JSON: equal only if every part is."""
    return "sha256:" + hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()
