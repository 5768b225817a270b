"""`${NAME}`: an environment variable, after parsing, in the few keys that take one. `$${` is a plain `${` anywhere."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.config.positions import KeyPath, dotted
from pipeline.config.walk import Problem

ALLOWED = ("image.repository", "images.*.repository", "image.args.*", "images.*.args.*", "environments.*.container.env.*")
_REFERENCE = re.compile(r"\$(\$\{)|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{", re.ASCII)
_PATTERNS = [tuple(one.split(".")) for one in ALLOWED]


@dataclass(slots=True)
class Interpolation:
    """`sources`: for each value that took something, the names it took. `problems`: what could not be taken.
    `secrets`: values of the job that no image, label or container may carry."""

    environ: Mapping[str, str] = field(repr=False)
    secrets: Collection[str] = field(default=(), repr=False)
    sources: dict[KeyPath, tuple[str, ...]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def apply(self, value: Any, path: KeyPath = ()) -> Any:
        """`value` with its references replaced; the parsed data itself stays as it is."""
        match value:
            case dict():
                return {key: self.apply(one, (*path, key)) for key, one in value.items()}
            case list():
                return [self.apply(one, (*path, index)) for index, one in enumerate(value)]
            case str() if "${" in value:
                return _REFERENCE.sub(lambda found: self._replace(found, path), value)
            case _:
                return value

    def _replace(self, found: re.Match[str], path: KeyPath) -> str:
        literal, name = found.groups()
        if literal:
            return str(literal)
        if not _takes(path):
            mend = f"only {', '.join(ALLOWED)} take it; write $${{ for a plain ${{"
            self._problem(path, "takes nothing from the environment", mend)
        elif not name:
            self._problem(path, "has ${ without a name and }", "write ${NAME}, or $${ for a plain ${")
        elif name not in self.environ:
            self._problem(path, f"needs the environment variable {name}, which is not set", f"set {name}, or write the value here")
        elif any(secret in self.environ[name] for secret in self.secrets if secret):
            mend = "give it by reference: [image.secrets] for the build, [environments.NAME.container.secrets] for a container"
            self._problem(path, f"takes {name}, which holds a secret of this job: everyone who has the image could read it", mend)
        else:
            self.sources[path] = (*self.sources.get(path, ()), name)
            return self.environ[name]
        return ""

    def _problem(self, path: KeyPath, what: str, mend: str) -> None:
        self.problems.append(Problem(path, f"`{dotted(path)}` {what}", mend))


def _takes(path: KeyPath) -> bool:
    return any(len(path) == len(one) and all(want in ("*", have) for want, have in zip(one, path, strict=True)) for one in _PATTERNS)
