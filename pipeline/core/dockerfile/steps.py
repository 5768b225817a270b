"""One instruction in its stage, with variables expanded as far as they are known."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.core.dockerfile.expand import Rules, expand, split
from pipeline.core.dockerfile.model import BadSyntaxError, Instruction, Pairs, quote
from pipeline.core.dockerfile.stages import Origin

_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp)?)?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction as the stage with index `stage` runs it. A word with a variable that only the base image may set stays as written.

    `pairs`: of ENV, LABEL and ARG, with ARG's effective values. `origin`, `sources`, `destination`: of COPY and ADD. `words`: what
    EXPOSE (protocol added, ranges kept), VOLUME, USER, WORKDIR and STOPSIGNAL name.
    """

    stage: int
    instruction: Instruction
    pairs: Pairs = ()
    origin: Origin | None = None
    sources: tuple[str, ...] = ()
    destination: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """The variables of a stage while it runs; `values` grows with ARG and ENV, which share it, as they do in BuildKit.

    `given`: what an ARG without default takes over from before the first FROM. `build_args`: they win over every default.
    """

    values: dict[str, str]
    rules: Rules
    given: Mapping[str, str]
    build_args: Mapping[str, str]

    def step(self, stage: int, instruction: Instruction, origin: Origin | None) -> Step:
        """Expand one instruction, and let an ARG or ENV take effect. Raises `BadSyntaxError`."""
        match instruction.keyword:
            case "ARG":
                return Step(stage, instruction, pairs=tuple(self._argument(name, default) for name, default in instruction.pairs))
            case "ENV" | "LABEL":
                pairs = tuple((self._expand(name), self._expand(value or "")) for name, value in instruction.pairs)
                self.values.update(pairs if instruction.keyword == "ENV" else ())
                return Step(stage, instruction, pairs=pairs)
            case "COPY" | "ADD":
                *sources, destination = instruction.args
                expanded = tuple(source if source.startswith("<<") else self._expand(source) for source in sources)
                return Step(stage, instruction, origin=origin, sources=expanded, destination=self._expand(destination))
            case "EXPOSE":
                words = [word for port in instruction.args for word in split(port, self.values, self.rules)]
                return Step(stage, instruction, words=tuple(_ports(word) for word in words))
            case "USER" | "WORKDIR" | "VOLUME" | "STOPSIGNAL":
                return Step(stage, instruction, words=tuple(self._expand(word) for word in instruction.args))
        return Step(stage, instruction)

    def _argument(self, name: str, default: str | None) -> tuple[str, str | None]:
        if name in self.build_args:
            value: str | None = self.build_args[name]
        else:
            value = self.given.get(name) if default is None else self._expand(default)
        if value is not None:
            self.values[name] = value
        return name, value

    def _expand(self, word: str) -> str:
        return expand(word, self.values, self.rules)


def _ports(word: str) -> str:
    """`[[ip:]host:]port[-port][/protocol]` → `port[-port]/protocol`."""
    if "$" in word:
        return word
    *host, container = word.rsplit(":", 2)
    found = _PORTS.fullmatch(container)
    if not found or not _is_host(host):
        raise BadSyntaxError(f"EXPOSE: {quote(word)} is not a port", "write it as 8080 or 8080/udp")
    first, last, protocol = int(found[1]), int(found[2] or found[1]), (found[3] or "tcp").lower()
    if not first <= last <= 65535:
        raise BadSyntaxError(f"EXPOSE: {quote(word)} is not a range of ports", "ports go from 0 to 65535")
    return f"{first}/{protocol}" if first == last else f"{first}-{last}/{protocol}"


def _is_host(parts: list[str]) -> bool:
    """Whether the parts before a port are nothing, a port of the host, or its address and port; BuildKit reads and ignores them."""
    import ipaddress

    if not parts:
        return True
    if parts[-1] and not re.fullmatch(r"\d{1,5}(-\d{1,5})?", parts[-1], re.ASCII):
        return False
    try:
        ipaddress.ip_address(parts[0].strip("[]")) if len(parts) == 2 and parts[0] else None
    except ValueError:
        return False
    return True
