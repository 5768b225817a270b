"""The flags of an instruction: which it has, and what they may say."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.core.dockerfile.expand import Rules, expand
from pipeline.core.dockerfile.model import BadSyntaxError, Flags, quote

_BOOLEAN = {"link", "parents", "keep-git-dir", "unpack"}
_REPEATED = {"mount", "device", "exclude"}
_FLAGS: dict[str, frozenset[str]] = {
    "FROM": frozenset({"platform"}),
    "RUN": frozenset({"mount", "network", "security", "device"}),
    "COPY": frozenset({"from", "chown", "chmod", "link", "parents", "exclude"}),
    "ADD": frozenset({"chown", "chmod", "link", "keep-git-dir", "checksum", "unpack", "exclude"}),
    "HEALTHCHECK": frozenset({"interval", "timeout", "start-period", "start-interval", "retries"}),
}
# BuildKit looks at no flag of these, so that any may stand there and none has a meaning.
UNREAD = frozenset({"ARG", "STOPSIGNAL"})
_CHOICES = {"network": {"default", "none", "host"}, "security": {"sandbox", "insecure"}}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)", re.ASCII)


def read(keyword: str, given: Iterable[str], escape: str, *, unread: bool) -> Flags:
    """`--name=value` words as pairs; a flag without a value is `true`. Raises `BadSyntaxError`, not for the `unread`."""
    result: list[tuple[str, str]] = []
    for word in given:
        name, has_value, value = word.removeprefix("--").partition("=")
        value = value if has_value else "true"
        if not unread:
            _check(keyword, name, value, bare=not has_value)
            value = value.lower() if name in _BOOLEAN else value
            if name == "from" and expand(value, {}, Rules(escape)) != value:
                raise BadSyntaxError("COPY --from does not expand variables", "give the image a stage of its own: FROM … AS name")
            if name not in _REPEATED and any(name == other for other, _ in result):
                raise BadSyntaxError(f"{keyword} has the flag --{name} twice", "keep one of them")
        result.append((name, value))
    return tuple(result)


def _check(keyword: str, name: str, value: str, *, bare: bool) -> None:
    if name not in _FLAGS.get(keyword, ()):
        raise BadSyntaxError(f"{keyword} has no flag {quote('--' + name)}")
    if name in _BOOLEAN:
        if value.lower() not in ("true", "false"):
            raise BadSyntaxError(f"the flag --{name} is true or false, not {quote(value)}")
    elif bare:
        raise BadSyntaxError(f"the flag --{name} needs a value", f"write it as --{name}=…")
    if value not in _CHOICES.get(name, {value}):
        raise BadSyntaxError(f"the flag --{name} cannot be {quote(value)}", f"use one of {', '.join(sorted(_CHOICES[name]))}")
    if keyword == "HEALTHCHECK" and not (_is_count(value) if name == "retries" else _is_duration(value)):
        raise BadSyntaxError(f"the flag --{name} cannot be {quote(value)}", "write times as 30s or 1m30s, retries as a number")


def _is_count(value: str) -> bool:
    digits = value.removeprefix("+")
    return not value or bool(re.fullmatch("[0-9]{1,20}", digits) and int(digits) < 2**31)


def _is_duration(value: str) -> bool:
    """Go's durations, of at least a millisecond or nothing at all."""
    unsigned = value.removeprefix("+")
    if not value or unsigned == "0":
        return True
    seconds, end = 0.0, 0
    while part := _DURATION_PART.match(unsigned, end):
        seconds += float(part[1]) * _UNITS[part[2]]
        end = part.end()
    return 0 < end == len(unsigned) and (seconds == 0 or seconds >= 0.001)
