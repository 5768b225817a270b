"""One statement → one instruction: how each keyword reads its text, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from pipeline.core.dockerfile import flags, heredoc, mounts, words
from pipeline.core.dockerfile.model import SPACES, BadSyntaxError, Form, Heredoc, Instruction, Pairs, quote

HEREDOC_KEYWORDS = frozenset({"RUN", "COPY", "ADD"})
_STAGE_NAME = re.compile(r"[a-z][a-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class _Body:
    """What stands after the flags, as the keyword reads it."""

    args: tuple[str, ...] = ()
    form: Form = ""
    pairs: Pairs = ()
    trigger: Instruction | None = None


def read(text: str, line: int, escape: str) -> Instruction:
    """Read one statement with its continuations joined; heredocs are not in it yet. Raises `BadSyntaxError`."""
    written, rest = words.halves(text.strip(SPACES))
    keyword = written.upper()
    if keyword not in _READERS:
        raise BadSyntaxError(
            f"there is no instruction {quote(written)}", "see whether it is misspelt, or a line above lacks its continuation"
        )
    given, rest = words.flags(rest, escape)
    body = _READERS[keyword](keyword, rest, escape)
    switched_off = keyword == "HEALTHCHECK" and body.args == ("NONE",)
    instruction = Instruction(
        keyword=keyword,
        line=line,
        end_line=line,
        raw=text,
        flags=flags.read(keyword, given, escape, unread=switched_off or keyword in flags.UNREAD),
        args=body.args,
        form=body.form,
        pairs=body.pairs,
        trigger=body.trigger,
    )
    mounts.of(instruction)
    return instruction


def may_hold_heredocs(instruction: Instruction) -> bool:
    """Whether `<<` in its text can begin a heredoc: RUN, COPY and ADD can, unless they are written as a JSON list."""
    inner = instruction.trigger or instruction
    return inner.keyword in HEREDOC_KEYWORDS and inner.form != "exec"


def _trigger(keyword: str, rest: str, escape: str) -> _Body:
    first = words.halves(_need(keyword, rest))[0].upper()
    if first in ("ONBUILD", "FROM", "MAINTAINER"):
        raise BadSyntaxError(f"ONBUILD {first} is not allowed")
    return _Body(trigger=read(rest, 0, escape))


def _command(_keyword: str, rest: str, _escape: str) -> _Body:
    listed = words.json_list(rest)
    if listed is not None:
        return _Body(listed, "exec")
    return _Body((rest,) if rest else (), "shell")


def _shell(keyword: str, rest: str, escape: str) -> _Body:
    body = _command(keyword, rest, escape)
    if body.form != "exec" or not body.args:
        raise BadSyntaxError("SHELL needs a JSON list", 'write it as SHELL ["/bin/sh", "-c"]')
    return body


def _listed(_keyword: str, rest: str, _escape: str) -> _Body:
    listed = words.json_list(rest)
    return _Body(words.blank_separated(rest)) if listed is None else _Body(listed, "exec")


def _copied(keyword: str, rest: str, escape: str) -> _Body:
    body = _listed(keyword, rest, escape)
    if len(body.args) < 2:
        raise BadSyntaxError(f"{keyword} needs a source and a destination")
    if heredoc.of_word(body.args[-1]):
        raise BadSyntaxError(f"the destination of {keyword} cannot be a heredoc")
    return body


def _volumes(keyword: str, rest: str, escape: str) -> _Body:
    body = _listed(keyword, rest, escape)
    if not body.args or not all(path.strip(SPACES) for path in body.args):
        raise BadSyntaxError("VOLUME needs a path, and none may be empty")
    return body


def _several(keyword: str, rest: str, _escape: str) -> _Body:
    return _Body(words.blank_separated(_need(keyword, rest)))


def _one(keyword: str, rest: str, _escape: str) -> _Body:
    return _Body((_need(keyword, rest),))


def _need(keyword: str, rest: str) -> str:
    if not rest:
        raise BadSyntaxError(f"{keyword} needs an argument")
    return rest


def _from(keyword: str, rest: str, escape: str) -> _Body:
    body = _several(keyword, rest, escape)
    if len(body.args) == 3 and body.args[1].lower() == "as":
        if not _STAGE_NAME.fullmatch(body.args[2].lower()):
            raise BadSyntaxError(f"{quote(body.args[2])} cannot be a stage's name", "begin it with a letter; use letters, digits, - _ .")
    elif len(body.args) != 1:
        raise BadSyntaxError("FROM takes an image, or an image AS a name")
    return body


def _healthcheck(keyword: str, rest: str, escape: str) -> _Body:
    written, command = words.halves(rest)
    kind = written.upper()
    body = _command(keyword, command, escape)
    if kind == "NONE" and not body.args:
        return _Body(("NONE",))
    if kind != "CMD" or not body.args:
        raise BadSyntaxError("HEALTHCHECK is CMD with a command, or NONE alone")
    return _Body((kind, *body.args), body.form)


def _named_values(keyword: str, rest: str, escape: str) -> _Body:
    """`NAME=value …`, or the old `NAME the value`."""
    found = words.quoted(_need(keyword, rest), escape)
    if found and "=" not in found[0]:
        name, value = words.halves(rest)
        if not value:
            raise BadSyntaxError(f"{keyword} {quote(name)} has no value", f"write it as {keyword} NAME=value")
        return _Body((f"{name}={value}",), pairs=((name, value),))
    return _pairs(keyword, found, need_value=True)


def _arguments(keyword: str, rest: str, escape: str) -> _Body:
    return _pairs(keyword, words.quoted(_need(keyword, rest), escape), need_value=False)


def _pairs(keyword: str, found: list[str], *, need_value: bool) -> _Body:
    pairs: list[tuple[str, str | None]] = []
    for word in found:
        name, given, value = word.partition("=")
        if not name or (need_value and not given):
            raise BadSyntaxError(f"{keyword}: {quote(word)} is not name=value", "put a value with spaces in quotes")
        pairs.append((name, value if given else None))
    return _Body(tuple(found), pairs=tuple(pairs))


_READERS: dict[str, Callable[[str, str, str], _Body]] = {
    "ADD": _copied,
    "ARG": _arguments,
    "CMD": _command,
    "COPY": _copied,
    "ENTRYPOINT": _command,
    "ENV": _named_values,
    "EXPOSE": _several,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _named_values,
    "MAINTAINER": _one,
    "ONBUILD": _trigger,
    "RUN": _command,
    "SHELL": _shell,
    "STOPSIGNAL": _one,
    "USER": _one,
    "VOLUME": _volumes,
    "WORKDIR": _one,
}


def with_heredocs(instruction: Instruction, end_line: int, found: tuple[Heredoc, ...]) -> Instruction:
    """The instruction with its heredocs, in a trigger too."""
    trigger = instruction.trigger and replace(instruction.trigger, line=instruction.line, end_line=end_line, heredocs=found)
    return replace(instruction, end_line=end_line, heredocs=found, trigger=trigger)
