"""What a Dockerfile leaves: each stage run on paper."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field

from pipeline.core.dockerfile import arguments
from pipeline.core.dockerfile.expand import Rules
from pipeline.core.dockerfile.model import BadSyntaxError, Dockerfile, Instruction
from pipeline.core.dockerfile.stages import SCRATCH, BaseImage, Origin, executed, origins
from pipeline.core.dockerfile.steps import Scope, Step

# What BuildKit sets where the base image has no PATH.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True)
class Image:
    """What a stage's image is like. Each command is the step that is in force; None where the base image decides.

    `workdir` is empty, or relative, where the base image decides. `copies`: every COPY and ADD that reached it, in order.
    """

    user: Step | None = None
    healthcheck: Step | None = None
    entrypoint: Step | None = None
    cmd: Step | None = None
    workdir: str = ""
    env: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    ports: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    copies: list[Step] = field(default_factory=list)

    def copy(self) -> Image:
        return Image(
            self.user,
            self.healthcheck,
            self.entrypoint,
            self.cmd,
            self.workdir,
            dict(self.env),
            dict(self.labels),
            list(self.ports),
            list(self.volumes),
            list(self.copies),
        )

    def take(self, step: Step) -> None:
        """Let a step take effect."""
        match step.instruction.keyword:
            case "USER":
                self.user = step
            case "HEALTHCHECK":
                self.healthcheck = step
            case "CMD":
                self.cmd = step
            case "ENTRYPOINT":
                self.entrypoint = step
                # a command that was inherited belongs to the entrypoint that was inherited
                self.cmd = self.cmd if self.cmd and self.cmd.stage == step.stage else None
            case "WORKDIR":
                self.workdir = posixpath.normpath(posixpath.join(self.workdir, step.words[0]))
            case "ENV":
                self.env |= {name: value or "" for name, value in step.pairs}
            case "LABEL":
                self.labels |= {name: value or "" for name, value in step.pairs}
            case "EXPOSE":
                self.ports += [port for port in step.words if port not in self.ports]
            case "VOLUME":
                self.volumes += [path for path in step.words if path not in self.volumes]
            case "COPY" | "ADD":
                self.copies.append(step)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One stage: the steps of its own instructions in order (of an ONBUILD nothing is expanded), and the image it leaves."""

    base: BaseImage
    steps: tuple[Step, ...]
    image: Image
    scope: Scope


def evaluate(
    dockerfile: Dockerfile, bases: tuple[BaseImage, ...], build_args: Mapping[str, str], target: str = ""
) -> tuple[Evaluated, ...]:
    """Run every stage on paper. Raises `UsageError` for what BuildKit would refuse while building it."""
    given = arguments.given_globally(dockerfile, build_args, target)
    done: list[Evaluated] = []
    for base in bases:
        parent = None if base.parent is None else done[base.parent]
        scope = _scope(dockerfile, base, parent, given, build_args)
        done.append(_run(dockerfile, bases, base, scope, parent.image.copy() if parent else Image()))
    return tuple(done)


def _scope(
    dockerfile: Dockerfile, base: BaseImage, parent: Evaluated | None, given: Mapping[str, str], build_args: Mapping[str, str]
) -> Scope:
    """A stage built on another inherits its variables; one built on nothing has no unknown ones."""
    if parent:
        return Scope(dict(parent.scope.values), parent.scope.rules, given, build_args)
    empty = base.reference == SCRATCH
    return Scope({"PATH": _PATH} if empty else {}, Rules(dockerfile.escape, keep_unset=not empty), given, build_args)


def _run(dockerfile: Dockerfile, bases: tuple[BaseImage, ...], base: BaseImage, scope: Scope, image: Image) -> Evaluated:
    steps: dict[int, Step] = {}
    for instruction in executed(dockerfile, bases, base.stage):
        step = _step(dockerfile, base.stage, instruction, scope)
        image.take(step)
        steps[id(instruction)] = step
    own = dockerfile.stages[base.stage].instructions
    return Evaluated(base, tuple(steps.get(id(one)) or Step(base.stage, one) for one in own), image, scope)


def _step(dockerfile: Dockerfile, stage: int, instruction: Instruction, scope: Scope) -> Step:
    used: tuple[Origin, ...] = origins(dockerfile, stage, instruction)
    try:
        return scope.step(stage, instruction, used[0] if instruction.keyword in ("COPY", "ADD") else None)
    except BadSyntaxError as error:
        raise error.at(dockerfile.name, instruction.line) from error
