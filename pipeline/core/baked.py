"""Which files of the build context reach the final image, as far as the Dockerfile says so."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.core.dockerfile.evaluate import Evaluated
from pipeline.core.dockerfile.steps import Step
from pipeline.core.dockerignore import Ignore
from pipeline.errors import UsageError


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file of the context in a stage: `place` is its path there, `line` the instruction that brought it.

    `certain`: copied straight from the context. From an earlier stage it is not: a command there may have removed it before.
    """

    file: str
    place: str
    line: int
    certain: bool


def arrivals(stages: Sequence[Evaluated], final: int, files: Iterable[str]) -> tuple[Arrival, ...]:
    """How the given files of the context reach the stage with index `final`."""
    known: dict[int, tuple[Arrival, ...]] = {}
    paths = tuple(files)
    for index, stage in enumerate(stages[: final + 1]):
        known[index] = tuple(one for step in stage.image.copies for one in _brought(step, stage.image.workdir, paths, known))
    return known[final]


def _brought(step: Step, workdir: str, files: Sequence[str], known: Mapping[int, tuple[Arrival, ...]]) -> Iterator[Arrival]:
    line = step.instruction.line
    if step.origin is None or step.origin.kind == "context":
        for file in files:
            place = _landing(step, workdir, file)
            if place:
                yield Arrival(file, place, line, certain=not any("$" in source for source in step.sources))
    elif step.origin.stage is not None:
        for one in known.get(step.origin.stage, ()):
            place = _landing(step, workdir, one.place.lstrip("/"))
            if place:
                yield Arrival(one.file, place, line, certain=False)


def _landing(step: Step, workdir: str, path: str) -> str:
    """Where a COPY or ADD puts one path of its source; empty where it does not take it."""
    for source in step.sources:
        if _takes(source, path) and not _excluded(step, source, path):
            return _place(step, workdir, source, path)
    return ""


def _takes(source: str, path: str) -> bool:
    """Whether the source names the path or a folder above it. A source with a variable that nobody knows may name anything."""
    if source.startswith(("<<", "http://", "https://", "git@")):
        return False
    clean = posixpath.normpath(source.lstrip("/") or ".")
    return clean == "." or "$" in source or _matches((f"./{clean}",), path)


def _excluded(step: Step, source: str, path: str) -> bool:
    patterns = [f"./{pattern.lstrip('/')}" for pattern in step.instruction.all("exclude")]
    return bool(patterns) and any(_matches(patterns, one) for one in (path, _below(source, path)) if one)


def _matches(patterns: Iterable[str], path: str) -> bool:
    """By the rules of `.dockerignore`, which are those of COPY's own wildcards and cover what lies below a match."""
    try:
        return Ignore.parse("\n".join(patterns).encode("utf-8", "surrogateescape")).excludes(path)
    except UsageError:
        return False


def _below(source: str, path: str) -> str:
    """The path under the folder that the source names; empty where the source is the path itself."""
    depth = len(PurePosixPath(posixpath.normpath(source.lstrip("/") or ".")).parts)
    return "/".join(PurePosixPath(path).parts[depth:])


def _place(step: Step, workdir: str, source: str, path: str) -> str:
    target = posixpath.join("/", workdir, step.destination)
    if step.instruction.flag("parents"):
        return posixpath.normpath(posixpath.join(target, path.removeprefix(f"{source.partition('/./')[0]}/")))
    below = _below(source, path)
    if below:
        return posixpath.normpath(posixpath.join(target, below))
    into = step.destination.endswith(("/", ".")) or len(step.sources) > 1
    return posixpath.normpath(posixpath.join(target, posixpath.basename(path)) if into else target)
