"""Is this release in the registry already? Then it is judged there and not built again: that is how any re-run finishes."""

from __future__ import annotations

from msgspec.structs import replace

from pipeline.context import Context, engine, registry, repository
from pipeline.core.about import LABEL_INPUTS, LABEL_REVISION
from pipeline.core.image import tag_of_version
from pipeline.core.record import AdoptFacts, BuildFacts, Evidence, PublishFacts, StageFacts, Subject, VersionFacts
from pipeline.errors import RefusedError, UsageError
from pipeline.inputs import definition, planned
from pipeline.tools.registry.client import Manifest, Registry
from pipeline.tree import require_tracked

title = "Adopt"
tools: tuple[str, ...] = ("registry",)


def skip(context: Context) -> str:  # noqa: ARG001 - the protocol's
    return ""


def run(context: Context) -> Evidence:
    """Look for the version's tag, then for what this job built or staged before it was stopped.

    Asks whether we may push before anything is built. Raises `RefusedError` when the version's tag holds another commit or other
    inputs, or layers that are not its config's; `UsageError` when HEAD is not a clean tagged commit; `ToolError` when the registry
    does not answer or does not let us push.
    """
    version = context.evidence.facts("version", VersionFacts)
    if not version.tag or not version.clean:
        raise _not_a_release(version)
    require_tracked(context, definition(context))
    inputs, digest = planned(context, version)
    own = _own_build(context, digest)
    with registry(context, repository(context)) as there:
        published = there.find(tag_of_version(version.version))
        found: BuildFacts | None
        if published:
            found = _published(context, published, version, BuildFacts("", "", (), inputs, digest), own, there)
        else:
            there.check_push()
            context.console.line(f"  {there.repository} has no {tag_of_version(version.version)} yet, and lets us push")
            found = _in_engine(context, own) or _staged(context, own, there)
    return Evidence("adopt", Subject("commit", version.commit), digest, {}, AdoptFacts(found))


def _own_build(context: Context, digest: str) -> BuildFacts | None:
    """What this job built from the same inputs."""
    build = context.evidence.known("build", BuildFacts)
    if not build or build.inputs_digest != digest or build.inputs.untracked or context.options.no_cache:
        return None
    return build


def _in_engine(context: Context, own: BuildFacts | None) -> BuildFacts | None:
    from pipeline.tools.docker import images

    if not own or not own.engine_id:
        return None
    with engine(context) as client:
        if not images.find(client, own.engine_id):
            return None
    context.console.line(f"  built before from these inputs: {own.config}")
    return replace(own, manifest="")


def _staged(context: Context, own: BuildFacts | None, there: Registry) -> BuildFacts | None:
    """What this job's own evidence says it staged. Another's staging tag is never looked at: labels are the image's own claim."""
    staged = context.evidence.known("stage", StageFacts)
    if not own or not staged or own.config != staged.config or staged.repository != str(there.repository):
        return None
    manifest = there.find(staged.manifest)
    if not manifest:
        return None
    context.console.line(f"  staged before from these inputs: {manifest.digest}")
    return replace(own, engine_id="", manifest=manifest.digest, repository=staged.repository)


def _published(
    context: Context, manifest: Manifest, version: VersionFacts, planned: BuildFacts, own: BuildFacts | None, there: Registry
) -> BuildFacts:
    """The version's tag exists: adopted by its digest when it is this commit, these inputs, and whole."""
    where, mend = f"{there.repository}@{manifest.digest}", "a version is released once: make a new tag"
    if manifest.is_index:
        raise RefusedError(f"{version.version} is published already, as an index of several images", where=where, mend=mend)
    config = there.config_of(manifest)
    revision = config.labels.get(LABEL_REVISION, "")
    if revision != version.commit:
        origin = revision[:12] or "an unknown commit"
        raise RefusedError(f"{version.version} is published already, from {origin}; HEAD is {version.commit[:12]}", where=where, mend=mend)
    if config.labels.get(LABEL_INPUTS) != planned.inputs_digest:
        what = f"{version.version} is published already, from this commit but other inputs (Dockerfile, arguments, target)"
        raise RefusedError(what, where=where, mend=mend)
    if own and own.config != config.digest:
        what = f"{version.version} is published with config {config.digest}, but this job built {own.config} from the same inputs"
        raise RefusedError(what, where=where, mend="see who published it; if that is right, remove .pipeline and run again")
    if not _known(context, manifest):
        context.console.line("  hashing the layers against the config")
        there.verify_layers(manifest, config.diff_ids)
    context.console.line(f"  {there.repository}:{tag_of_version(version.version)} holds this commit and these inputs")
    at = {"manifest": manifest.digest, "repository": str(there.repository)}
    local = _in_engine(context, own)
    if local:
        return replace(local, **at)
    context.console.line("  adopted as it is, on the word of its labels: it is judged again, not built again")
    size = sum(layer.size for layer in manifest.layers)
    return replace(planned, config=config.digest, diff_ids=config.diff_ids, size=size, **at)


def _known(context: Context, manifest: Manifest) -> bool:
    """Whether this job put this manifest there, or hashed its layers before: its digest then says all."""
    staged, published = context.evidence.known("stage", StageFacts), context.evidence.known("publish", PublishFacts)
    adopted = context.evidence.known("adopt", AdoptFacts)
    digests = {staged.manifest if staged and staged.uploaded else "", published.manifest if published else ""}
    return manifest.digest in digests | {adopted.image.manifest if adopted and adopted.image else ""}


def _not_a_release(version: VersionFacts) -> UsageError:
    if not version.clean:
        mend = "see `git status`; commit the changes and tag the commit, or run `pipeline release --snapshot`"
        return UsageError("tracked files are changed: this is not what any tag names", mend=mend)
    mend = f"tag this commit (git tag v{_following(version)}), or run `pipeline release --snapshot`"
    return UsageError(f"this commit has no version tag: it is {version.version}", mend=mend)


def _following(version: VersionFacts) -> str:
    """The next version that a person would tag: the patch after the last release, the release after a prerelease, or the first."""
    from semver import Version

    return str(Version.parse(version.version).finalize_version()) if version.base else "0.1.0"
