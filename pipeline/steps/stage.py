"""Bring the built image into the registry, under a name that nobody can take for a release."""

from __future__ import annotations

import re
import secrets

from pipeline.context import Context, credential, engine, registry, repository
from pipeline.core.record import BuildFacts, Evidence, StageFacts, Subject, key_of
from pipeline.errors import RefusedError
from pipeline.inputs import require_current
from pipeline.tools.docker import images
from pipeline.tools.registry.client import Registry

title = "Stage"
tools: tuple[str, ...] = ("docker", "registry")


def skip(context: Context) -> str:
    build = context.evidence.facts("build", BuildFacts)
    return "the image is in the registry already" if build.manifest else ""


def run(context: Context) -> Evidence:
    """Push by ID under a staging tag, and read back by digest what the registry made of it.

    Raises `RefusedError` when the manifest there has another config than what was built, `ToolError` when the push fails,
    `UsageError` when what was built is not what is checked out.
    """
    build = context.evidence.facts("build", BuildFacts)
    require_current(context, build)
    target = repository(context)
    with registry(context, target) as there:
        facts = _staged_before(context, build, there) or _push(context, build, there)
    key = key_of(config=build.config, repository=str(target))
    return Evidence("stage", Subject("manifest", facts.manifest), key, {}, facts)


def _staged_before(context: Context, build: BuildFacts, there: Registry) -> StageFacts | None:
    """What this job staged before it was stopped, if the registry still has it."""
    facts = context.evidence.known("stage", StageFacts)
    if not facts or facts.config != build.config or facts.repository != str(there.repository):
        return None
    manifest = there.find(facts.manifest)
    if not manifest or manifest.config.digest != build.config:
        return None
    context.console.line(f"  staged before as {facts.staging_tag}")
    return facts


def _push(context: Context, build: BuildFacts, there: Registry) -> StageFacts:
    name, tag = str(there.repository), staging_tag(build.config, context.job.id)
    with engine(context) as client:
        images.tag(client, build.engine_id, name, tag)
        try:
            digest = images.push(client, name, tag, credential(context, there.repository.host), on_line=context.console.foreign)
        finally:
            images.untag(client, f"{name}:{tag}")
    manifest = there.get_manifest(digest)
    if manifest.config.digest != build.config:
        what = f"the registry has config {manifest.config.digest} for what was pushed, but {build.config} was built"
        raise RefusedError(what, where=f"{name}@{digest}", mend="see who else writes to this repository")
    context.console.line(f"  {name}@{digest}")
    return StageFacts(repository=name, staging_tag=tag, manifest=digest, config=build.config, uploaded=True)


def staging_tag(config: str, job: str) -> str:
    """`staging-<12 hex of the config>-<job or random>`: never a semantic version, never used twice."""
    own = re.sub(r"[^A-Za-z0-9]+", "-", job).strip("-")[:60]
    return f"staging-{config.removeprefix('sha256:')[:12]}-{secrets.token_hex(6) if job == 'local' else f'{own}-{secrets.token_hex(3)}'}"
