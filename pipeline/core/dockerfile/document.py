"""A Dockerfile as the plain JSON document that policies judge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pipeline.core import image
from pipeline.core.dockerfile import arguments, mounts, stages
from pipeline.core.dockerfile.evaluate import Evaluated, Image, evaluate
from pipeline.core.dockerfile.model import Dockerfile, Flags, Heredoc, Instruction, Stage
from pipeline.core.dockerfile.steps import Step

Json = dict[str, object]


def document(dockerfile: Dockerfile, target: str = "", build_args: Mapping[str, str] | None = None) -> Json:
    """The document, always with every key. Raises `UsageError`: see `stages` and `evaluate`.

    ```
    {syntax, escape, target, multi_stage, global_args: [PAIR], stages: [STAGE], final: FINAL}
    PAIR         {name, value}                     value null: an ARG without one
    STAGE        {index, name, line, platform, base: BASE, final, needed, user, user_line, instructions: [INSTRUCTION]}
    BASE         {raw, reference, stage, scratch, repository, tag, digest}      stage: index or null; empty strings elsewhere
    INSTRUCTION  {keyword, line, end_line, raw, flags: [PAIR], args: [string], form, heredocs: [{name, content, expand, chomp}],
                  pairs: [PAIR], mounts: [MOUNT], from: ORIGIN or null, sources: [string], destination, exposed: [string],
                  onbuild: INSTRUCTION or null}
    MOUNT        {type, from, source, target, id, options: {name: value}}       options: all of them, by their long names
    ORIGIN       {kind: "context" | "stage" | "image", stage: index or null, reference}
    FINAL        {stage, name, user, user_line, healthcheck, entrypoint, cmd: COMMAND or null, workdir, exposed: [string],
                  env: [PAIR], labels: [PAIR], volumes: [string], copies: [COPY]}
    COMMAND      {form, args: [string], flags: [PAIR], line, stage}
    COPY         {keyword, stage, line, from: ORIGIN, sources: [string], destination}
    ```
    `stages` are in order, FROM itself is not among their instructions. `multi_stage`: the target needs more than one stage.
    `user`: in force at the stage's end, followed through FROM of other stages; empty: the base image's own. FINAL follows FROM
    likewise, and `copies` are all that reach the final image, those of the stages it is built on and of ONBUILD included.
    Expanded as far as known: `reference`, `pairs`, `sources`, `destination`, `exposed`, `user`, `workdir`, `volumes`; a word with a
    variable that only the base image may set stays as written. As written: `raw`, `args`, `flags`, heredocs, and all of `onbuild`.
    """
    given = build_args or {}
    final = stages.final_stage(dockerfile, target)
    bases = stages.stage_bases(dockerfile, given, target)
    done = evaluate(dockerfile, bases, given, target)
    needed = stages.needed(dockerfile, bases, final.index)
    values = arguments.given_globally(dockerfile, given, target)
    return {
        "syntax": dockerfile.syntax,
        "escape": dockerfile.escape,
        "target": target,
        "multi_stage": len(needed) > 1,
        "global_args": _pairs(arguments.declared_globally(dockerfile, given, values)),
        "stages": [_stage(stage, done[stage.index], final=stage is final, needed=stage.index in needed) for stage in dockerfile.stages],
        "final": _final(final, done[final.index].image),
    }


def _stage(stage: Stage, done: Evaluated, *, final: bool, needed: bool) -> Json:
    return {
        "index": stage.index,
        "name": stage.name,
        "line": stage.line,
        "platform": stage.platform,
        "base": _base(stage.base, done.base),
        "final": final,
        "needed": needed,
        **_user(done.image),
        "instructions": [_instruction(step) for step in done.steps],
    }


def _base(raw: str, base: stages.BaseImage) -> Json:
    reference = image.parse_reference(base.reference) if base.is_image else None
    name = base.reference.partition("@")[0]
    return {
        "raw": raw,
        "reference": base.reference,
        "stage": base.parent,
        "scratch": not base.is_stage and not base.is_image,
        "repository": (name.removesuffix(f":{reference.tag}") if reference.tag else name) if reference else "",
        "tag": reference.tag if reference else "",
        "digest": reference.digest if reference else "",
    }


def _instruction(step: Step) -> Json:
    one = step.instruction
    return {
        "keyword": one.keyword,
        "line": one.line,
        "end_line": one.end_line,
        "raw": one.raw,
        "flags": _pairs(one.flags),
        "args": list(one.args),
        "form": one.form,
        "heredocs": [_heredoc(heredoc) for heredoc in one.heredocs],
        "pairs": _pairs(step.pairs),
        "mounts": [_mount(mount) for mount in mounts.of(one)],
        "from": _origin(step.origin),
        "sources": list(step.sources),
        "destination": step.destination,
        "exposed": list(step.words) if one.keyword == "EXPOSE" else [],
        "onbuild": _instruction(_as_written(step.stage, one.trigger)) if one.trigger else None,
    }


def _as_written(stage: int, trigger: Instruction) -> Step:
    """A trigger runs in another stage, or in another build: nothing of it is known here."""
    copied = trigger.args if trigger.keyword in ("COPY", "ADD") else ("",)
    words = trigger.args if trigger.keyword == "EXPOSE" else ()
    return Step(stage, trigger, pairs=trigger.pairs, sources=copied[:-1], destination=copied[-1], words=words)


def _heredoc(heredoc: Heredoc) -> Json:
    return {"name": heredoc.name, "content": heredoc.content, "expand": heredoc.expand, "chomp": heredoc.chomp}


def _mount(mount: mounts.Mount) -> Json:
    named = {name: mount.option(name) for name in ("source", "target", "id")}
    return {"type": mount.type, "from": mount.source, **named, "options": dict(mount.options)}


def _origin(origin: stages.Origin | None) -> Json | None:
    return {"kind": origin.kind, "stage": origin.stage, "reference": origin.reference} if origin else None


def _final(stage: Stage, done: Image) -> Json:
    return {
        "stage": stage.index,
        "name": stage.name,
        **_user(done),
        "healthcheck": _command(done.healthcheck),
        "entrypoint": _command(done.entrypoint),
        "cmd": _command(done.cmd),
        "workdir": done.workdir,
        "exposed": list(done.ports),
        "env": _pairs(done.env.items()),
        "labels": _pairs(done.labels.items()),
        "volumes": list(done.volumes),
        "copies": [_copy(step) for step in done.copies],
    }


def _user(done: Image) -> Json:
    return {"user": done.user.words[0] if done.user else "", "user_line": done.user.instruction.line if done.user else 0}


def _command(step: Step | None) -> Json | None:
    if step is None:
        return None
    one = step.instruction
    return {"form": one.form, "args": list(one.args), "flags": _pairs(one.flags), "line": one.line, "stage": step.stage}


def _copy(step: Step) -> Json:
    return {
        "keyword": step.instruction.keyword,
        "stage": step.stage,
        "line": step.instruction.line,
        "from": _origin(step.origin),
        "sources": list(step.sources),
        "destination": step.destination,
    }


def _pairs(pairs: Iterable[tuple[str, str | None]] | Flags) -> list[Json]:
    return [{"name": name, "value": value} for name, value in pairs]
