"""The preflight: what the Dockerfile says, and what a build of it would bake in. Needs no engine."""

from __future__ import annotations

from pipeline import resources
from pipeline.context import Context
from pipeline.core import preflight
from pipeline.core.baked import arrivals
from pipeline.core.dockerfile import stages
from pipeline.core.dockerfile.document import document
from pipeline.core.dockerfile.evaluate import Evaluated
from pipeline.core.finding import Finding, Threshold
from pipeline.core.policy import Document
from pipeline.core.record import CheckFacts, Evidence, Subject, key_of
from pipeline.core.secrets import READ_BYTES, suspect
from pipeline.core.units import seconds, size
from pipeline.inputs import Definition, build_args, definition
from pipeline.tools import files, hadolint
from pipeline.tools.files import Sent
from pipeline.tools.opa.call import Opa
from pipeline.tools.opa.judge import Judgement, judge
from pipeline.tools.opa.library import Library, load

title = "Check"
tools: tuple[str, ...] = ("opa", "hadolint")


def skip(context: Context) -> str:  # noqa: ARG001 - the protocol's
    return ""


def threshold(context: Context) -> Threshold:
    return Threshold(frozenset(context.settings.file.check.fail_on))


def run(context: Context) -> Evidence:
    """Raises `UsageError` for a Dockerfile that is missing or not understood, `ToolError` where OPA or hadolint cannot judge."""
    given = definition(context)
    image = context.settings.image
    final = stages.final_stage(given.dockerfile, image.target)
    sent = files.sent(given.folder, given.ignore)
    facts = _facts(given, given.evaluated, final.index, sent)
    _tell(context, given, given.evaluated, facts)
    library = load(resources.policies(), context.root, context.settings.file.policy.paths)
    opa = Opa(context.environ, context.cancel, seconds(context.settings.file.policy.timeout), project=context.root)
    judged = _judge(context, given, opa, library)
    remarks, linter = _lint(context, given)
    found = (*judged.findings, *remarks, *preflight.findings(_seen(context, given, given.evaluated, final.index, sent)))
    versions = {"opa": opa.version} | linter
    key = key_of(dockerfile=given.digest, ignore=given.ignore_file, policies=library.digest, tools=versions, args=build_args(context))
    return Evidence("check", Subject("commit", _commit(context)), key, versions, facts, found, "; ".join(judged.errors))


def _judge(context: Context, given: Definition, opa: Opa, library: Library) -> Judgement:
    image = context.settings.image
    content = document(given.dockerfile, image.target, build_args(context))
    return judge(opa, library, [Document(kind="dockerfile", name=given.name, content=content)])


def _lint(context: Context, given: Definition) -> tuple[tuple[Finding, ...], dict[str, str]]:
    linter = hadolint.find(context.environ, context.cancel)
    if linter is None:
        context.console.line("  hadolint is not installed: its rules were not looked at")
        return (), {}
    return hadolint.findings(linter.judge(given.data), given.name), {"hadolint": linter.version()}


def _facts(given: Definition, evaluated: tuple[Evaluated, ...], final: int, sent: Sent) -> CheckFacts:
    names = tuple(stage.title for stage in given.dockerfile.stages)
    copies = evaluated[final].image.copies
    paths = tuple(dict.fromkeys(step.destination for step in copies))
    return CheckFacts(given.digest, names, names[final], paths, len(sent.paths), sent.size)


def _tell(context: Context, given: Definition, evaluated: tuple[Evaluated, ...], facts: CheckFacts) -> None:
    """Which stages there are, and what ends up in the final one."""
    say, quote = context.console.line, context.console.quote
    final = facts.stages.index(facts.final_stage)
    bases = tuple(one.base for one in evaluated)
    used = stages.needed(given.dockerfile, bases, final)
    name, ground = given.dockerfile.stages[final].name or f"number {final}", _ground(evaluated, final)
    several = f"multi-stage, {len(used)} stages; the final one is {quote(name)}, from {quote(ground)}"
    say(f"  {quote(given.name)}: {several if len(used) > 1 else f'one stage, from {quote(ground)}: build tools stay in the image'}")
    for step in evaluated[final].image.copies:
        origin = step.origin
        source = "the context"
        if origin and origin.stage is not None:
            source = f"stage {facts.stages[origin.stage]}"
        elif origin and origin.kind == "image":
            source = origin.reference
        say(f"    {quote(' '.join(step.sources), 120)} from {quote(source)} → {quote(step.destination)}")
    say(f"  context: {facts.context_files} files, {facts.context_bytes / 1e6:.1f} MB")


def _ground(evaluated: tuple[Evaluated, ...], index: int) -> str:
    """The image that a stage stands on, through the stages between."""
    base = evaluated[index].base
    return base.reference if base.parent is None else _ground(evaluated, base.parent)


def _seen(context: Context, given: Definition, evaluated: tuple[Evaluated, ...], final: int, sent: Sent) -> preflight.Seen:
    image = context.settings.image
    suspects = {path: what for path in sent.paths if (what := _secret_in(given, path))}
    return preflight.Seen(
        dockerfile=given.name,
        context=image.context,
        ignore_name=given.ignore_name,
        paths=sent.paths,
        size=sent.size,
        limit=size(image.context_limit),
        suspects=suspects,
        arrivals=arrivals(evaluated, final, suspects),
        args=sorted(image.args),
        allow=image.allow,
    )


def _secret_in(given: Definition, path: str) -> str:
    """What kind of secret a file of the context holds; empty for none. A link is not followed, and BuildKit does not follow it either."""
    suspected = suspect(path)
    if suspected is None or (given.folder / path).is_symlink():
        return ""
    return suspected.what if suspected.holds(files.beginning(given.folder / path, READ_BYTES)) else ""


def _commit(context: Context) -> str:
    """What `version` found; a check alone needs no repository."""
    version = context.evidence.read("version")
    return version.subject.digest if version else ""
