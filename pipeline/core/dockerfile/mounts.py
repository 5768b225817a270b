"""`RUN --mount=…`: its comma-separated options, read and checked as BuildKit does."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass

from pipeline.core.dockerfile.model import BadSyntaxError, Instruction, quote

_TYPES = frozenset({"bind", "cache", "tmpfs", "secret", "ssh"})
_SAME = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_BARE = frozenset({"readonly", "readwrite", "required"})
_BOOL = re.compile(r"1|t|T|TRUE|true|True|0|f|F|FALSE|false|False")
_NUMBER = re.compile(r"\d+")
_VALUES = {
    "readonly": _BOOL,
    "readwrite": _BOOL,
    "required": _BOOL,
    "sharing": re.compile(r"shared|private|locked", re.IGNORECASE),
    "mode": re.compile(r"[0-7]+"),
    "uid": _NUMBER,
    "gid": _NUMBER,
    "size": re.compile(r"\d+(\.\d+)? ?[kmgtp]?i?b?", re.IGNORECASE),
}
_KEYS = frozenset({"type", "from", "source", "target", "id", "env", *_VALUES})
_OWNED = {"secret", "ssh", "cache"}
# Options that only some types have; `now` ones must come after the type, because BuildKit checks them as it meets them.
_ONLY_NOW = {"required": {"secret", "ssh"}, "size": {"tmpfs"}}
_ONLY = {"sharing": {"cache"}, "mode": _OWNED, "uid": _OWNED, "gid": _OWNED}


@dataclass(frozen=True, slots=True)
class Mount:
    """`source`: the stage or image of `from=`, empty for the build context. `options`: every option, by its long name."""

    type: str
    source: str
    options: tuple[tuple[str, str], ...]

    def option(self, name: str) -> str:
        return dict(self.options).get(name, "")


def of(instruction: Instruction) -> tuple[Mount, ...]:
    """The mounts of a RUN, in order; none of any other instruction. Raises `BadSyntaxError`."""
    return tuple(_mount(value) for value in instruction.all("mount")) if instruction.keyword == "RUN" else ()


def _mount(value: str) -> Mount:
    kind = "bind"
    options: dict[str, str] = {}
    for field in _fields(value):
        name, option = _option(field)
        if name == "type":
            kind = option.lower()
        elif name in _ONLY_NOW and _known(kind) and kind not in _ONLY_NOW[name]:
            raise BadSyntaxError(f"a mount of type {kind} has no option {name}", "put the type first, or leave the option out")
        options[name] = option
    _check(kind, options)
    return Mount(kind, options.get("from", ""), tuple(options.items()))


def _fields(value: str) -> list[str]:
    try:
        return next(csv.reader([value], strict=True), [])
    except csv.Error as error:
        raise BadSyntaxError(f"the mount {quote(value)} is not a comma-separated list") from error


def _option(field: str) -> tuple[str, str]:
    written, given, value = field.partition("=")
    name = _SAME.get(written.lower(), written.lower())
    if not given and name not in _BARE:
        raise BadSyntaxError(f"the mount option {quote(field)} has no value", "write it as name=value")
    if name not in _KEYS:
        raise BadSyntaxError(f"there is no mount option {quote(written)}")
    allowed = _VALUES.get(name)
    if given and allowed and _known(value) and not allowed.fullmatch(value):
        raise BadSyntaxError(f"the mount option {name} cannot be {quote(value)}")
    if name == "from" and "$" in value[:-1]:
        raise BadSyntaxError("the mount option from does not expand variables", "give the image a stage of its own: FROM … AS name")
    return name, value if given else "true"


def _check(kind: str, options: dict[str, str]) -> None:
    if not _known(kind):
        return
    if kind not in _TYPES:
        raise BadSyntaxError(f"there is no mount of type {quote(kind)}", f"use one of {', '.join(sorted(_TYPES))}")
    for name in options:
        if kind not in _ONLY.get(name, {kind}):
            raise BadSyntaxError(f"a mount of type {kind} has no option {name}")
    if kind == "secret":
        if options.get("from"):
            raise BadSyntaxError("a secret mount has no option from")
        if not any(options.get(name) for name in ("id", "source", "target")):
            raise BadSyntaxError("a secret mount needs an id, a source or a target")
        if options.get("id") and options.get("source"):
            raise BadSyntaxError("a secret mount has an id or a source, not both")


def _known(value: str) -> bool:
    """Whether the value is what it says; one with a variable is known only when the stage is built."""
    return "$" not in value
