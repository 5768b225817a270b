"""Bytes → `Dockerfile`, as BuildKit reads it. What it would refuse, or what we do not fully understand, is an error."""

from __future__ import annotations

from dataclasses import replace

from pipeline.core.dockerfile import heredoc, instructions, lines
from pipeline.core.dockerfile.model import BadSyntaxError, Dockerfile, Instruction, Stage
from pipeline.errors import UsageError


def parse(data: bytes, name: str = "Dockerfile") -> Dockerfile:
    """Parse a Dockerfile. `name` is how messages call it. Raises `UsageError` with the line.

    Source of the rules: BuildKit's `frontend/dockerfile/parser` and `instructions`.
    """
    physical = lines.split(data)
    try:
        directives = lines.directives(physical)
    except BadSyntaxError as error:
        raise error.at(name, 1) from error
    found = _instructions(lines.Reader(physical, directives.escape), directives.escape, name)
    first = next((position for position, one in enumerate(found) if one.keyword != "ARG"), len(found))
    if first == len(found):
        raise UsageError("there is no FROM, so nothing to build", where=name, mend="begin with FROM")
    if found[first].keyword != "FROM":
        mend = "only ARG may stand before the first FROM"
        raise UsageError(f"{found[first].keyword} stands before the first FROM", where=f"{name}:{found[first].line}", mend=mend)
    stages = _stages(found[first:])
    return Dockerfile(name, directives.syntax, directives.escape, directives.check, tuple(found[:first]), stages)


def _instructions(reader: lines.Reader, escape: str, name: str) -> list[Instruction]:
    found: list[Instruction] = []
    while instruction := _next(reader, escape, name):
        found.append(instruction)
    return found


def _next(reader: lines.Reader, escape: str, name: str) -> Instruction | None:
    line = reader.number + 1
    try:
        statement = reader.statement()
        if statement is None:
            return None
        line, text = statement
        instruction = instructions.read(lines.readable(text), line, escape)
        begun = heredoc.in_line(text) if "<<" in text and instructions.may_hold_heredocs(instruction) else []
        documents = tuple(replace(one, content=reader.heredoc(one.name, chomp=one.chomp)) for one in begun)
    except BadSyntaxError as error:
        raise error.at(name, line) from error
    return instructions.with_heredocs(instruction, reader.number, documents)


def _stages(found: list[Instruction]) -> tuple[Stage, ...]:
    starts = [position for position, one in enumerate(found) if one.keyword == "FROM"]
    ends = [*starts[1:], len(found)]
    return tuple(_stage(index, found[start:end]) for index, (start, end) in enumerate(zip(starts, ends, strict=True)))


def _stage(index: int, found: list[Instruction]) -> Stage:
    start, *rest = found
    name = start.args[2].lower() if len(start.args) == 3 else ""
    return Stage(index, name, start.args[0], start.flag("platform"), start, tuple(rest))
