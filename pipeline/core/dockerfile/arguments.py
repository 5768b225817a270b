"""Build arguments: what has a value before the first FROM, and what the platform gives."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core.dockerfile.expand import Rules, expand
from pipeline.core.dockerfile.model import BadSyntaxError, Dockerfile, Pairs

# BuildKit gives these a value whatever the Dockerfile says; which one depends on where the build runs.
PLATFORM_ARGS = frozenset(f"{side}{part}" for side in ("BUILD", "TARGET") for part in ("PLATFORM", "OS", "OSVERSION", "ARCH", "VARIANT"))


def of_platform(target: str, build: str = "") -> dict[str, str]:
    """The predefined arguments for a platform such as `linux/arm64/v8`; `build`: the builder's own, where it is another."""
    result: dict[str, str] = {}
    for side, platform in (("TARGET", target), ("BUILD", build or target)):
        system, architecture, variant = (*platform.split("/"), "", "", "")[:3]
        result |= {f"{side}PLATFORM": platform, f"{side}OS": system, f"{side}ARCH": architecture, f"{side}VARIANT": variant}
        result[f"{side}OSVERSION"] = ""
    return result


def given_globally(dockerfile: Dockerfile, build_args: Mapping[str, str], target: str = "") -> dict[str, str]:
    """The values that a FROM sees, and that an `ARG NAME` inside a stage takes over. Raises `UsageError`."""
    values = {"TARGETSTAGE": target or dockerfile.stages[-1].name or "default"}
    values |= {name: build_args[name] for name in (*PLATFORM_ARGS, "TARGETSTAGE") if name in build_args}
    for name, value in declared_globally(dockerfile, build_args, values):
        if value is not None:
            values[name] = value
    return values


def declared_globally(dockerfile: Dockerfile, build_args: Mapping[str, str], values: Mapping[str, str]) -> Pairs:
    """Every ARG before the first FROM with its value: the given one, else the default, where `values` and earlier ones are expanded."""
    known = dict(values)
    result: list[tuple[str, str | None]] = []
    for instruction in dockerfile.global_args:
        try:
            for name, default in instruction.pairs:
                value = build_args[name] if name in build_args else default and expand(default, known, Rules(dockerfile.escape))
                value = known.get(name) if value is None else value
                known |= {} if value is None else {name: value}
                result.append((name, value))
        except BadSyntaxError as error:
            raise error.at(dockerfile.name, instruction.line) from error
    return tuple(result)
