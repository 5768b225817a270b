"""Give the judged manifest its version's tags: the exact one first, the moving ones last, byte for byte."""

from __future__ import annotations

from pipeline.context import Context, registry, repository
from pipeline.core.image import tag_of_version
from pipeline.core.record import BuildFacts, Evidence, PublishFacts, ScanFacts, StageFacts, Subject, VersionFacts, key_of
from pipeline.core.tags import moving
from pipeline.core.version import parse
from pipeline.errors import RefusedError, UsageError
from pipeline.inputs import require_current
from pipeline.tools.registry.client import Manifest, Registry

title = "Publish"
tools: tuple[str, ...] = ("registry",)


def skip(context: Context) -> str:  # noqa: ARG001 - the protocol's
    return ""


def run(context: Context) -> Evidence:
    """Raises `RefusedError` when the version's tag names another image, `UsageError` between tags or with changed files."""
    version = context.evidence.facts("version", VersionFacts)
    build = context.evidence.facts("build", BuildFacts)
    if not version.tag or not version.clean:
        raise UsageError(f"{version.version} is not a release", mend="commit, tag the commit, and run on the tag")
    require_current(context, build)
    target, scan = repository(context), context.evidence.known("scan", ScanFacts)
    if scan and scan.demo and not target.loopback:
        mend = "scan with Trivy's own database: leave out [scan] database"
        raise RefusedError("judged by the database of a demonstration: it may go to a registry on this machine only", mend=mend)
    with registry(context, target) as there:
        judged = _judged(context, build, there)
        facts = _publish(context, version, build, judged, there)
    context.console.line(f"  {facts.repository}:{tag_of_version(version.version)} is {facts.manifest}")
    key = key_of(config=build.config, manifest=facts.manifest, version=version.version)
    return Evidence("publish", Subject("manifest", facts.manifest), key, {}, facts)


def _judged(context: Context, build: BuildFacts, there: Registry) -> Manifest:
    """The manifest whose content was judged, read by its digest."""
    digest = build.manifest or context.evidence.facts("stage", StageFacts).manifest
    manifest = there.get_manifest(digest)
    if manifest.config.digest != build.config:
        what = f"config {manifest.config.digest} is not the judged {build.config}"
        raise RefusedError(what, where=f"{there.repository}@{digest}", mend="remove .pipeline and run the release again")
    return manifest


def _publish(context: Context, version: VersionFacts, build: BuildFacts, judged: Manifest, there: Registry) -> PublishFacts:
    exact = tag_of_version(version.version)
    present = there.find(exact)
    manifest = _same_content(present, build, there, exact) if present else judged
    written, kept = [], []
    for tag in (exact, *_moving(context, version, there)):
        if there.head(tag) == manifest.digest:
            kept.append(tag)
            continue
        context.cancel.check()
        there.put_manifest(tag, manifest)
        written.append(tag)
    if not written:
        context.console.line("  published already; nothing was changed")
    return PublishFacts(
        repository=str(there.repository),
        manifest=manifest.digest,
        config=build.config,
        version=version.version,
        commit=version.commit,
        tags=tuple(written),
        kept=tuple(kept),
    )


def _same_content(present: Manifest, build: BuildFacts, there: Registry, tag: str) -> Manifest:
    """The version's tag exists: its manifest is adopted if it holds what was judged, config and every layer."""
    where = f"{there.repository}:{tag}"
    if present.config.digest != build.config:
        what = f"the tag is taken: it has config {present.config.digest}, and {build.config} was judged"
        raise RefusedError(what, where=where, mend="a version is released once: make a new tag")
    if present.digest != build.manifest:
        there.verify_layers(present, build.diff_ids)
    return present


def _moving(context: Context, version: VersionFacts, there: Registry) -> tuple[str, ...]:
    templates = context.settings.file.version.tags
    parsed = parse(version.version)
    if not parsed or not any(template != "{version}" for template in templates):
        return ()
    candidates = moving(parsed, templates, there.tags())
    for one in candidates:
        context.console.detail(f"  {one.tag}: {'moves' if one.moves else 'stays'}, {one.reason}")
    return tuple(one.tag for one in candidates if one.moves)
