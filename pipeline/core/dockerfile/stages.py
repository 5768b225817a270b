"""How the stages hang together: what each is built on, what it copies from, and what a target needs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline.core import image
from pipeline.core.dockerfile import arguments, mounts
from pipeline.core.dockerfile.expand import Rules, expand, unset
from pipeline.core.dockerfile.model import BadSyntaxError, Dockerfile, Instruction, Stage, quote
from pipeline.errors import UsageError

SCRATCH = "scratch"


@dataclass(frozen=True, slots=True)
class BaseImage:
    """Something that the stage with index `stage` is built on, or takes files from, at `line` by `keyword` (FROM, COPY, RUN).

    `reference` is expanded; `parent` is the index of the stage that it names, None for an image.
    """

    stage: int
    line: int
    keyword: str
    reference: str
    parent: int | None = None

    @property
    def is_stage(self) -> bool:
        return self.parent is not None

    @property
    def is_image(self) -> bool:
        """Whether a registry has to be asked for it."""
        return not self.is_stage and self.reference != SCRATCH

    @property
    def pinned(self) -> bool:
        return self.is_image and bool(image.parse_reference(self.reference).digest)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a COPY, an ADD or a mount takes files from. `stage` is an index, `reference` an image's name."""

    kind: Literal["context", "stage", "image"]
    stage: int | None = None
    reference: str = ""


CONTEXT = Origin("context")


def base_images(dockerfile: Dockerfile, build_args: Mapping[str, str]) -> tuple[BaseImage, ...]:
    """What every stage is built on, in order, and the images that `COPY --from=` and `RUN --mount=from=` use.

    Raises `UsageError`: a name that is no image, an argument without a value, a platform argument that is not among `build_args`.
    """
    result: list[BaseImage] = []
    bases = stage_bases(dockerfile, build_args)
    for stage, base in zip(dockerfile.stages, bases, strict=True):
        result.append(base)
        for instruction in executed(dockerfile, bases, stage.index):
            for origin in origins(dockerfile, stage.index, instruction):
                if origin.kind == "image":
                    result.append(BaseImage(stage.index, instruction.line, instruction.keyword, origin.reference))
    return tuple(result)


def stage_bases(dockerfile: Dockerfile, build_args: Mapping[str, str], target: str = "") -> tuple[BaseImage, ...]:
    """What each stage is built on, by its index. Raises `UsageError`."""
    values = arguments.given_globally(dockerfile, build_args, target)
    named: dict[str, int] = {}
    result: list[BaseImage] = []
    for stage in dockerfile.stages:
        try:
            reference, parent = _base(stage, values, named, dockerfile.escape)
        except BadSyntaxError as error:
            raise error.at(dockerfile.name, stage.line) from error
        result.append(BaseImage(stage.index, stage.line, "FROM", reference, parent))
        if stage.name:
            named[stage.name] = stage.index
    return tuple(result)


def _base(stage: Stage, values: Mapping[str, str], named: Mapping[str, int], escape: str) -> tuple[str, int | None]:
    rules = Rules(escape)
    missing = unset(stage.base, values, rules) if "$" in stage.base else ()
    if unknown := arguments.PLATFORM_ARGS.intersection(missing):
        raise BadSyntaxError(f"{quote(stage.base)} depends on the platform ({', '.join(sorted(unknown))})", "name the platform")
    reference = expand(stage.base, values, rules)
    if reference in named:
        return reference, named[reference]
    try:
        _need_image(reference)
    except BadSyntaxError as error:
        if not missing:
            raise
        mend = f"give the build argument {missing[0]}, or declare it before the first FROM with a default"
        raise BadSyntaxError(f"{quote(stage.base)} uses {missing[0]}, which has no value", mend) from error
    return reference, None


def _need_image(reference: str) -> None:
    if reference == SCRATCH:
        return
    try:
        image.parse_reference(reference)
    except UsageError as error:
        raise BadSyntaxError(f"{quote(reference)} is neither a stage nor the name of an image", "see whether it is misspelt") from error


def executed(dockerfile: Dockerfile, bases: tuple[BaseImage, ...], index: int) -> Iterator[Instruction]:
    """What is run in a stage, in order: the ONBUILD triggers of the stage that it is built on, then its own."""
    parent = bases[index].parent
    if parent is not None:
        yield from (one.trigger for one in dockerfile.stages[parent].instructions if one.trigger)
    yield from (one for one in dockerfile.stages[index].instructions if not one.trigger)


def origins(dockerfile: Dockerfile, index: int, instruction: Instruction) -> tuple[Origin, ...]:
    """Where an instruction of the stage with that index takes files from: one for COPY and ADD, one for each mount of a RUN that
    names a source. Raises `UsageError`: a stage that does not exist, the stage itself or a later one, a name that is no image."""
    try:
        if instruction.keyword == "COPY":
            return (_origin(dockerfile, index, instruction.flag("from"), numbers=True),)
        if instruction.keyword == "ADD":
            return (CONTEXT,)
        named = [mount.source for mount in mounts.of(instruction) if mount.source]
        return tuple(_origin(dockerfile, index, source, numbers=False) for source in named)
    except BadSyntaxError as error:
        raise error.at(dockerfile.name, instruction.line) from error


def _origin(dockerfile: Dockerfile, index: int, source: str, *, numbers: bool) -> Origin:
    """BuildKit knows numbers for COPY only, and knows every stage's name in every stage: a later one is an error, never an image."""
    if not source:
        return CONTEXT
    found = _by_name(dockerfile, source)
    if numbers and re.fullmatch(r"[+-]?[0-9]{1,9}", source):
        number = int(source)
        if not 0 <= number < len(dockerfile.stages):
            raise BadSyntaxError(f"there is no stage number {quote(source)}", "stages count from 0; better give the stage a name")
        found = dockerfile.stages[number]
    if found is None:
        _need_image(source)
        return Origin("image", reference=source)
    if found.index >= index:
        raise BadSyntaxError(f"the stage {quote(source)} is not built before it is used", "move it up")
    return Origin("stage", found.index)


def _by_name(dockerfile: Dockerfile, name: str) -> Stage | None:
    """The last stage of that name, in any case, as BuildKit takes it."""
    return next((stage for stage in reversed(dockerfile.stages) if stage.name and stage.name == name.lower()), None)


def final_stage(dockerfile: Dockerfile, target: str = "") -> Stage:
    """The stage that a build ends with: the target's, else the last. Raises `UsageError` for an unknown target."""
    found = _by_name(dockerfile, target) if target else dockerfile.stages[-1]
    if found is None:
        names = ", ".join(stage.name for stage in dockerfile.stages if stage.name)
        mend = f"take one of these: {names}" if names else "name one with `FROM … AS NAME`, or leave the target out"
        raise UsageError(f"there is no stage {quote(target)}", where=dockerfile.name, mend=mend)
    return found


def needed(dockerfile: Dockerfile, bases: tuple[BaseImage, ...], index: int) -> frozenset[int]:
    """The indexes of the stages that must be built for the one with that index, itself among them. Raises `UsageError`."""
    todo, found = [index], {index}
    while todo:
        current = todo.pop()
        for one in _direct(dockerfile, bases, current) - found:
            found.add(one)
            todo.append(one)
    return frozenset(found)


def _direct(dockerfile: Dockerfile, bases: tuple[BaseImage, ...], index: int) -> set[int]:
    parent = bases[index].parent
    found = set() if parent is None else {parent}
    for instruction in executed(dockerfile, bases, index):
        found |= {one.stage for one in origins(dockerfile, index, instruction) if one.stage is not None}
    return found


def foreign_frontend(dockerfile: Dockerfile) -> str | None:
    """The `# syntax=` frontend when it is neither Docker's own nor pinned by digest: then nobody can say what the file means."""
    if not dockerfile.syntax:
        return None
    try:
        reference = image.parse_reference(dockerfile.syntax)
    except UsageError:
        return dockerfile.syntax
    own = reference.repository.host == image.HUB and reference.repository.path in ("docker/dockerfile", "docker/dockerfile-upstream")
    return None if own or reference.digest else dockerfile.syntax
