"""Build the image with BuildKit, and record by digests what went in and what came out."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from pipeline import tree
from pipeline.context import Context, engine
from pipeline.core import cache, inputs
from pipeline.core.dockerfile import stages
from pipeline.core.dockerfile.model import Stage
from pipeline.core.image import parse_reference
from pipeline.core.needles import Needles
from pipeline.core.record import AdoptFacts, BuildFacts, BuildInputs, Evidence, StageSize, Subject, VersionFacts
from pipeline.core.redact import Redactor
from pipeline.core.units import seconds
from pipeline.errors import RefusedError, ToolError, UsageError
from pipeline.inputs import Definition, Secrets, build_args, definition, private_args, secrets_of, taken_in
from pipeline.tools import git
from pipeline.tools.buildx import Buildx, Built, Mount, Request
from pipeline.tools.docker import archive, images
from pipeline.tools.docker.images import ImageFacts
from pipeline.tree import Tree

if TYPE_CHECKING:
    import docker

title = "Build"
tools: tuple[str, ...] = ("docker", "buildx", "git")

_NAMED = 10


@dataclass(frozen=True, slots=True)
class _Bench:
    """What every build of one run shares. `hide` takes private values out of what BuildKit says."""

    context: Context
    given: Definition
    tree: Tree
    secrets: Secrets
    needles: Needles
    buildx: Buildx
    client: docker.DockerClient
    hide: Redactor

    def build(self, request: Request) -> Built:
        timeout = seconds(self.context.settings.image.timeout)
        console = self.context.console
        with console.section("build", "docker buildx build"):
            return self.buildx.build(
                request, self.secrets.environment, timeout=timeout, on_line=lambda one: console.foreign(self.hide(one))
            )


def skip(context: Context) -> str:  # noqa: ARG001 - the protocol's
    return ""


def run(context: Context) -> Evidence:
    """Build, or take over what `adopt` found. Raises `UsageError`: no Dockerfile, untracked files in a release, several platforms, a tree
    that changed meanwhile; `ToolError`: no engine, no buildx, a build that fails; `RefusedError`: a secret in a layer."""
    version = context.evidence.facts("version", VersionFacts)
    adopted = _adopted(context)
    if adopted:
        return Evidence("build", Subject("config", adopted.config), adopted.inputs_digest, facts=adopted)
    given = definition(context)
    taken = taken_in(context, given)
    digest = inputs.digest(taken, version)
    before = tree.look(context, given, version)
    taken = structs.replace(taken, untracked=before.admit())
    secrets = secrets_of(context)
    cache.require_searched(context.settings.image.cache_to if secrets.values else ())
    needles = Needles(secrets.values)
    hide = Redactor(private_args(context))
    buildx = Buildx(context.environ, context.cancel, config=context.docker_config, redact=lambda said: context.console.redact(hide(said)))
    with engine(context) as client, _on_disk(given, given.data) as dockerfile:
        request = _request(context, given, dockerfile, secrets.mounts, _labels(context, version, digest), _private(context, taken))
        facts = _built(_Bench(context, given, before, secrets, needles, buildx, client, hide), request, taken, digest)
    _tell(context, facts)
    return Evidence("build", Subject("config", facts.config), digest, {"buildx": facts.builder}, facts)


def _built(bench: _Bench, request: Request, taken: BuildInputs, digest: str) -> BuildFacts:
    builder = bench.buildx.version()
    first = replace(request, cache_to=tuple(one for one in request.cache_to if cache.stays_in_image(one) or not bench.secrets.values))
    told = bench.build(first)
    bench.tree.require_unmoved()
    image = _loaded(bench.client, told)
    config = told.config or archive.config_digest(images.save(bench.client, image.id))
    _search(bench, image)
    if first != request:
        _write_caches(bench, request, told)
    layers = tuple(
        structs.replace(layer, created_by=bench.hide(layer.created_by)) for layer in images.layers(bench.client, image.id, image.diff_ids)
    )
    return BuildFacts(
        config=config,
        engine_id=image.id,
        diff_ids=image.diff_ids,
        inputs=structs.replace(taken, bases=_bases(bench, told)),
        inputs_digest=digest,
        layers=layers,
        size=sum(layer.size for layer in layers) if all(layer.size >= 0 for layer in layers) else image.size,
        stages=_explain(bench, request, image) if bench.context.options.explain_size else (),
        builder=builder,
    )


def _adopted(context: Context) -> BuildFacts | None:
    """The image that this very release has in the registry; a build of its own never looks at what an earlier release found."""
    if not context.options.release or context.options.snapshot:
        return None
    adopted = context.evidence.known("adopt", AdoptFacts)
    return adopted.image if adopted else None


def _request(
    context: Context, given: Definition, dockerfile: Path, mounts: tuple[Mount, ...], labels: Mapping[str, str], private: frozenset[str]
) -> Request:
    image = context.settings.image
    created = datetime.fromisoformat(context.evidence.facts("version", VersionFacts).created)
    return Request(
        dockerfile=dockerfile,
        context=given.folder,
        target=image.target,
        platform="".join(image.platforms),
        args=image.args | {"SOURCE_DATE_EPOCH": str(int(created.timestamp()))},
        private=private,
        labels=labels,
        secrets=mounts,
        cache_from=image.cache_from,
        cache_to=image.cache_to if context.job.protected else (),
        allow=image.allow,
        no_cache=context.options.no_cache,
        tag=inputs.local_name(_project(context)),
    )


def _private(context: Context, taken: BuildInputs) -> frozenset[str]:
    """The arguments whose value took something from the environment: of these the record has a digest only."""
    return frozenset(name for name, value in context.settings.image.args.items() if taken.args[name] != value)


def _write_caches(bench: _Bench, request: Request, told: Built) -> None:
    """Build again, from what the first build left, now that no build secret is in the layers that go to the caches."""
    again = bench.build(replace(request, no_cache=False))
    if (again.config, again.digest) != (told.config, told.digest):
        what = "the second build, which writes the caches, made another image than the first: the tree or a base changed meanwhile"
        raise UsageError(what, where="[image] cache-to", mend=tree.AGAIN)


def _project(context: Context) -> str:
    return context.settings.file.project.name or context.root.resolve().name


def _labels(context: Context, version: VersionFacts, digest: str) -> dict[str, str]:
    project = context.settings.file.project
    source = project.source or context.job.source or git.remote_url(context.root)
    described = {"title": _project(context), "source": source, "licenses": project.licenses}
    return inputs.labels(version, digest, described, context.settings.image.labels)


@contextmanager
def _on_disk(given: Definition, data: bytes) -> Iterator[Path]:
    """The Dockerfile, and the ignore file that keeps our own folder out: BuildKit reads `NAME.dockerignore` beside NAME."""
    with tempfile.TemporaryDirectory(prefix="dockerfile-") as folder:
        path = Path(folder, Path(given.name).name)
        path.write_bytes(data)
        path.with_name(f"{path.name}.dockerignore").write_bytes(given.ignore_file)
        yield path


def _loaded(client: docker.DockerClient, built: Built) -> ImageFacts:
    """The image as the engine has it: by its manifest's digest in the containerd store, by its config's in the classic one."""
    for name in filter(None, (built.digest, built.config)):
        image = images.find(client, name)
        if image and image.id == name:
            return image
    mend = "let buildx build for the engine that the docker command uses: docker buildx use default"
    raise ToolError("the engine does not have the image that was built", mend=mend)


def _search(bench: _Bench, image: ImageFacts) -> None:
    if not bench.secrets.values:
        return
    hits = archive.search(images.save(bench.client, image.id), bench.needles)
    if hits:
        mend = "use RUN --mount=type=secret, copy nothing of it into the image, and replace the secret: others may have the layer"
        raise RefusedError("a build secret is in the image: " + "; ".join(str(hit) for hit in hits[:_NAMED]), where=image.id, mend=mend)
    bench.context.console.line(f"  none of {len(image.diff_ids)} layers holds a build secret")


def _bases(bench: _Bench, built: Built) -> dict[str, str]:
    """The digest of each base: pinned, as BuildKit resolved it, or the ID of the engine's own image, which it takes unresolved."""
    bases = stages.base_images(bench.given.dockerfile, build_args(bench.context))
    found = {name: _resolved(bench, built, name) for name in dict.fromkeys(base.reference for base in bases if base.is_image)}
    return {name: digest for name, digest in found.items() if digest}


def _resolved(bench: _Bench, built: Built, name: str) -> str:
    reference = parse_reference(name)
    resolved = reference.digest or built.bases.get(f"{reference.repository}:{reference.tag or 'latest'}", "")
    local = None if resolved else images.find(bench.client, name)
    return resolved or (local.id if local else "")


def _explain(bench: _Bench, request: Request, image: ImageFacts) -> tuple[StageSize, ...]:
    """Build each earlier stage from cache and compare, file by file, what it holds with what the final image does."""
    settings, dockerfile = bench.context.settings.image, bench.given.dockerfile
    final = stages.final_stage(dockerfile, settings.target)
    used = stages.needed(dockerfile, stages.stage_bases(dockerfile, build_args(bench.context), settings.target), final.index)
    arrived = Counter(archive.contents(images.save(bench.client, image.id)))
    part = replace(request, target="", tag="", labels={}, cache_to=(), no_cache=False)
    earlier = [stage for stage in dockerfile.stages if stage.index in used - {final.index}]
    return tuple(_measure(bench, stage, part, arrived) for stage in earlier)


def _measure(bench: _Bench, stage: Stage, part: Request, arrived: Counter[tuple[str, int]]) -> StageSize:
    before = images.ids(bench.client)
    with _on_disk(bench.given, _up_to(stage, bench.given)) as dockerfile:
        image = _loaded(bench.client, bench.build(replace(part, dockerfile=dockerfile)))
    held = Counter(archive.contents(images.save(bench.client, image.id)))
    if image.id not in before:
        images.remove(bench.client, image.id)
    return StageSize(stage.title, _bytes(held), _bytes(held - arrived))


def _up_to(stage: Stage, given: Definition) -> bytes:
    """The Dockerfile cut off after a stage, which makes that one its last: `--target` does not know stages without a name."""
    following = given.dockerfile.stages[stage.index + 1]
    return b"\n".join(given.data.split(b"\n")[: following.line - 1])


def _bytes(files: Counter[tuple[str, int]]) -> int:
    return sum(size * times for (_, size), times in files.items())


def _tell(context: Context, facts: BuildFacts) -> None:
    say, quote = context.console.line, context.console.quote
    say(f"  {facts.config}: {len(facts.diff_ids)} layers, {facts.size / 1e6:.1f} MB")
    for stage in facts.stages:
        say(f"  stage {quote(stage.name)}: {stage.size / 1e6:.1f} MB, {stage.left_behind / 1e6:.1f} MB of it left behind")
    if not context.options.explain_size:
        context.console.detail("  what earlier stages left behind: not measured (--explain-size)")
