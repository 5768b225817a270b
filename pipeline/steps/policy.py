"""Judge how the image was made and what the release says of itself, by OPA: our policies and the project's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline import resources
from pipeline.context import Context, engine, registry
from pipeline.core import manifests
from pipeline.core.about import VERSION
from pipeline.core.dockerfile.document import document
from pipeline.core.finding import Finding, Threshold
from pipeline.core.image import parse_repository
from pipeline.core.policy import Document
from pipeline.core.record import BuildFacts, CheckFacts, Evidence, PolicyFacts, Subject, VersionFacts, key_of
from pipeline.core.text import line
from pipeline.core.units import seconds
from pipeline.errors import UsageError
from pipeline.inputs import build_args, definition
from pipeline.tools.opa.call import Opa
from pipeline.tools.opa.judge import judge
from pipeline.tools.opa.library import load

title = "Policy"
tools: tuple[str, ...] = ("opa",)
IMAGE = "image"
RELEASE = "release"


def skip(context: Context) -> str:  # noqa: ARG001 - the protocol's
    return ""


def threshold(context: Context) -> Threshold:
    policy = context.settings.file.policy
    return Threshold(frozenset(policy.fail_on), enforce_from=policy.enforce_from)


def run(context: Context) -> Evidence:
    """Judge the Dockerfile that was built, the image's configuration, Kubernetes manifests and the release's metadata.

    What could not be judged is the evidence's `error`, beside the findings of what could. Raises `ToolError`: nothing could;
    `UsageError`: a policy or manifest path that is missing, or a Dockerfile that is not the one that was built.
    """
    build = context.evidence.facts("build", BuildFacts)
    library = load(resources.policies(), context.root, context.settings.file.policy.paths)
    opa = Opa(context.environ, context.cancel, seconds(context.settings.file.policy.timeout), project=context.root)
    taken = _judged_by_check(context, build)
    documents = tuple(_documents(context, build, dockerfile=taken is None))
    key = key_of(ours=VERSION, opa=opa.version, policies=library.digest, documents=documents, taken=taken, config=build.config)
    before = context.evidence.read("policy")
    if before and before.key == key and not before.error:
        context.console.line("  the findings of this very image, by these very policies, are there already")
        return before
    judgement = judge(opa, library, documents)
    facts = PolicyFacts(build.config, library.digest, judgement.judged)
    findings = (*(taken or ()), *judgement.findings)
    return Evidence("policy", _subject(build), key, {"opa": opa.version}, facts, findings, error="; ".join(judgement.errors))


def _subject(build: BuildFacts) -> Subject:
    """An adopted image's layers are not bound by its config: there the manifest is the subject."""
    return Subject("config", build.config) if build.engine_id else Subject("manifest", build.manifest)


def _judged_by_check(context: Context, build: BuildFacts) -> tuple[Finding, ...] | None:
    """What `check` said of this Dockerfile a moment ago, in this very run: a Dockerfile rule is judged once. None: it did not."""
    check = context.evidence.read("check")
    if not (context.options.release or context.options.snapshot) or not check or check.error:
        return None
    if not isinstance(check.facts, CheckFacts) or check.facts.dockerfile != build.inputs.dockerfile:
        return None
    return tuple(finding for finding in check.findings if finding.kind == "dockerfile") or None


def _documents(context: Context, build: BuildFacts, *, dockerfile: bool) -> Iterator[Document]:
    if dockerfile:
        yield _dockerfile(context, build)
    image, identity = _image(context, build)
    yield Document("image", IMAGE, image)
    yield Document("release", RELEASE, _release(context, build, image, identity))
    yield from _manifests(context)


def _dockerfile(context: Context, build: BuildFacts) -> Document:
    given, image = definition(context), context.settings.image
    if given.digest != build.inputs.dockerfile:
        raise UsageError("is not the one that was built: it was changed since", where=given.name, mend="build again: `pipeline build`")
    return Document("dockerfile", given.name, document(given.dockerfile, image.target, build_args(context)))


def _image(context: Context, build: BuildFacts) -> tuple[dict[str, object], dict[str, object]]:
    """The image's configuration, and by what its content is known: from the engine by ID, or from the registry by digest."""
    if build.engine_id:
        from pipeline.tools.docker import images

        with engine(context) as client:
            facts = images.inspect(client, build.engine_id)
        described = _described(facts.user, facts.env, facts.labels, facts.entrypoint, facts.cmd)
        described |= {"exposed": facts.exposed_ports, "architecture": facts.architecture, "os": facts.os, "created": facts.created}
        return described | {"size": build.size}, {"id": facts.id, "diff_ids": facts.diff_ids}
    with registry(context, parse_repository(build.repository)) as there:
        config = there.config_of(there.get_manifest(build.manifest))
    described = _described(config.user, config.env, config.labels, config.entrypoint, config.cmd)
    described |= {"exposed": config.exposed_ports, "architecture": config.architecture, "os": config.os, "created": config.created}
    return described | {"size": build.size}, {"id": config.digest, "diff_ids": config.diff_ids}


def _described(
    user: str, env: tuple[str, ...], labels: dict[str, str], entrypoint: tuple[str, ...], cmd: tuple[str, ...]
) -> dict[str, object]:
    pairs = [{"name": name, "value": value} for name, _, value in (one.partition("=") for one in env)]
    return {"user": user, "env": pairs, "labels": labels, "entrypoint": entrypoint, "cmd": cmd}


def _release(context: Context, build: BuildFacts, image: dict[str, object], identity: dict[str, object]) -> dict[str, object]:
    version, job = context.evidence.facts("version", VersionFacts), context.job
    built = {"id": build.engine_id or build.config, "diff_ids": build.diff_ids}
    return {
        "project": context.settings.file.project.name,
        "publishing": context.options.release and not context.options.snapshot,
        "version": version.version,
        "tag": version.tag,
        "commit": version.commit,
        "clean": version.clean,
        "job": {"system": job.system, "tag": job.tag, "branch": job.branch, "protected": job.protected},
        "image": {"repository": build.repository, "built": built, "judged": identity, "labels": image["labels"]},
        "build": {"target": build.inputs.target, "bases": build.inputs.bases, "entitlements": build.inputs.entitlements},
    }


def _manifests(context: Context) -> Iterator[Document]:
    """The documents of every file that a pattern names, each file once. Raises `UsageError` for a pattern that names none."""
    seen: set[Path] = set()
    for pattern in context.settings.file.policy.manifests:
        files = sorted(file for file in context.root.glob(pattern) if file.is_file())
        if not files:
            raise UsageError(f"{line(pattern, 200)} names no file", where="[policy] manifests", mend="mend the pattern, or remove it")
        for file in files:
            if not file.resolve().is_relative_to(context.root.resolve()):
                raise UsageError("is a link that leads out of the project", where=line(str(file)), mend="put the file itself there")
            if file not in seen:
                seen.add(file)
                yield from manifests.split(file.relative_to(context.root).as_posix(), _read(file))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=line(str(file))) from error
