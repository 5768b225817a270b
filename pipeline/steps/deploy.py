"""Roll the published digest out to environments, one after the other."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from pipeline.config import schema
from pipeline.context import Context, credential, engine, registry, repository
from pipeline.core.about import LABEL_VERSION
from pipeline.core.address import loopback
from pipeline.core.handoff import ContainerSpec, HandOff, Probe, Secret
from pipeline.core.image import Reference, parse_reference, tag_of_version
from pipeline.core.record import DeployFacts, Evidence, PublishFacts, Subject, VersionFacts, key_of
from pipeline.core.units import seconds
from pipeline.core.version import parse
from pipeline.errors import PipelineError, RefusedError, UsageError
from pipeline.rollout import outcome, runner
from pipeline.rollout.backends.docker import Docker
from pipeline.rollout.journal import Journal
from pipeline.tools.docker.client import endpoint

title = "Deploy"
tools: tuple[str, ...] = ("docker",)
ROLLOUT_DIGITS = 12


def skip(context: Context) -> str:
    if context.options.snapshot:
        return "a snapshot is not rolled out"
    return "" if _environments(context) else "no environment is named; later: pipeline deploy ENVIRONMENT"


def run(context: Context) -> Evidence:
    """Deploy every environment asked for, in order; the first that fails ends it. The evidence is the last one's.

    Raises `UsageError`: an unknown environment, nothing published; and what `deploy` raises.
    """
    image, version = _wanted(context)
    handoffs = [hand_off(context, name, image, version) for name in _environments(context)]
    return [deploy(context, handoff) for handoff in handoffs][-1]


def deploy(context: Context, handoff: HandOff) -> Evidence:
    """One rollout, its evidence written before its error is raised: `RolledBackError`, `RollbackFailedError`, `ToolError`,
    `UsageError`, `CancelledError`."""
    environment = context.settings.file.environments[handoff.environment]
    path = context.evidence.write_file(f"rollout/{handoff.environment}-{handoff.rollout}.jsonl", b"")
    with engine(context, environment.host) as client:
        backend = Docker(client, handoff, context.root, context.environ, _auth(context, handoff))
        say = context.console.line
        ended = runner.roll_out(handoff, backend, Journal(path, handoff.rollout), context.cancel, lambda words: say(f"  {words}"))
    error = outcome.error(ended, handoff)
    evidence = _evidence(handoff, ended, error)
    _tell(context, handoff, ended)
    if error:
        context.evidence.write(replace(evidence, job=context.job.id))
        raise error
    return evidence


def hand_off(context: Context, name: str, image: str, version: str) -> HandOff:
    """The document for an environment's backend. The same image for the same environment is the same rollout, and resumes."""
    environment = context.settings.file.environments[name]
    rollout = key_of(environment=name, image=image).removeprefix("sha256:")[:ROLLOUT_DIGITS]
    return HandOff(
        rollout=rollout,
        environment=name,
        backend=environment.backend,
        strategy=environment.strategy,
        project=context.settings.file.project.name or context.root.name,
        version=version,
        image=image,
        probe=_probe(environment.probe),
        container=_container(environment.container) if environment.container else None,
    )


def _environments(context: Context) -> tuple[str, ...]:
    return context.options.to or context.settings.file.release.deploy


def _wanted(context: Context) -> tuple[str, str]:
    """The image by its digest, and its version as far as it is known."""
    published = context.evidence.known("publish", PublishFacts)
    named = context.options.image
    if named:
        return named, _published_before(context, parse_reference(named))
    if not published:
        mend = "run `pipeline release`, or name what to deploy: --image repository@sha256:…"
        raise UsageError("nothing was published in this job", mend=mend)
    head = context.evidence.known("version", VersionFacts)
    if head and (head.version, head.commit) != (published.version, published.commit):
        mend = f"check {published.version} out, or name what to deploy: --image {published.repository}@{published.manifest}"
        raise UsageError(f"what this job published is {published.version}, and HEAD is {head.version}", mend=mend)
    return f"{published.repository}@{published.manifest}", published.version


def _published_before(context: Context, reference: Reference) -> str:
    """The version of an image that is named: a release of this project, not merely something that lies in its repository.

    Raises `UsageError` for another repository or a reference without digest, `RefusedError` where no version's tag points to it.
    """
    if not reference.digest:
        raise UsageError(f"{reference.repository} names no digest", mend="deploy repository@sha256:…: a tag may move")
    shown, target = context.console.quote(f"{reference.repository}@{reference.digest}"), repository(context)
    if reference.repository != target:
        raise UsageError(f"{shown} is not in {target}, where this project's images go", mend="see --image and PIPELINE_IMAGE")
    with registry(context, target) as there:
        manifest = there.get_manifest(reference.digest)
        version = parse(there.config_of(manifest).labels.get(LABEL_VERSION, ""))
        if not version or there.head(tag_of_version(str(version))) != manifest.digest:
            mend = "deploy what `pipeline release` or `pipeline push` published"
            raise RefusedError(f"{shown} was never published: no version's tag points to it", mend=mend)
    context.console.line(f"  {shown} is {version}, as --image or PIPELINE_IMAGE says")
    return str(version)


def _probe(probe: schema.Probe) -> Probe:
    return Probe(
        http=probe.http,
        tcp=probe.tcp,
        exec=probe.exec,
        interval=seconds(probe.interval),
        successes=probe.successes,
        timeout=seconds(probe.timeout),
    )


def _container(container: schema.Container) -> ContainerSpec:
    return ContainerSpec(
        name=container.name,
        ports=container.ports,
        volumes=container.volumes,
        networks=container.networks,
        restart=container.restart,
        env=container.env,
        secrets={name: Secret(env=secret.env, file=secret.file) for name, secret in container.secrets.items()},
    )


def _auth(context: Context, handoff: HandOff) -> Mapping[str, str]:
    """The registry's credentials as the engine wants them with a pull."""
    found = credential(context, parse_reference(handoff.image).repository.host)
    if found is None:
        return {}
    host = endpoint(context.environ, context.settings.file.environments[handoff.environment].host)
    secured = context.environ.get("DOCKER_TLS_VERIFY") or context.environ.get("DOCKER_CERT_PATH")
    if host.startswith("tcp://") and not secured and not loopback(host.replace("tcp://", "http://", 1)):
        what = f"{context.console.quote(host)} is reached without TLS: the registry's password would cross the network in clear"
        raise UsageError(what, mend="set DOCKER_TLS_VERIFY and DOCKER_CERT_PATH")
    if found.identity_token:
        return {"identitytoken": found.identity_token}
    return {"username": found.user, "password": found.password}


def _evidence(handoff: HandOff, ended: runner.Ended, error: PipelineError | None) -> Evidence:
    facts = DeployFacts(
        environment=handoff.environment,
        image=handoff.image,
        outcome=outcome.outcome(ended),
        previous=ended.previous,
        address=handoff.probe.http or handoff.probe.tcp,
        rollout=handoff.rollout,
        seconds=ended.seconds,
        log=ended.log,
    )
    subject = Subject("manifest", parse_reference(handoff.image).digest)
    return Evidence("deploy", subject, key_of(environment=handoff.environment, image=handoff.image), {}, facts, error=str(error or ""))


def _tell(context: Context, handoff: HandOff, ended: runner.Ended) -> None:
    console = context.console
    if ended.log:
        console.line("  the last lines of what failed:")
        for one in ended.log:
            console.line(f"  │ {one}")
    where = handoff.probe.http or handoff.probe.tcp or "healthy"
    if outcome.outcome(ended) == "unchanged":
        console.line(f"  {handoff.environment} runs {handoff.image} already, {where}; nothing was changed")
    elif outcome.outcome(ended) == "succeeded":
        console.line(f"  {handoff.environment} runs {handoff.image}, {where}")
