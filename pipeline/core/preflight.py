"""What the preflight looks at beside the Dockerfile's own rules, as findings: one for each thing wrong, or one that says it is fine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pipeline.core.baked import Arrival
from pipeline.core.finding import Finding, Severity
from pipeline.core.secrets import secret_variable
from pipeline.core.text import line

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """What lies before a build. `ignore_name`: empty without an ignore file. `paths`: what would be sent, `size` bytes together.

    `suspects`: files of these that hold a secret, with what it is; `arrivals`: how they reach the final image. `args`: the names of
    the build arguments in the configuration, `allow`: the entitlements there.
    """

    dockerfile: str
    context: str
    ignore_name: str
    paths: Sequence[str]
    size: int
    limit: int
    suspects: dict[str, str] = field(default_factory=dict)
    arrivals: Sequence[Arrival] = ()
    args: Sequence[str] = ()
    allow: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Rule:
    """`title` says what is wrong, `good` what is looked for and found."""

    id: str
    severity: Severity
    title: str
    good: str
    mend: str

    def violated(self, message: str, where: str, at: int = 0, *, certain: bool = False, warning: bool = False) -> Finding:
        return Finding(
            rule=self.id,
            title=self.title,
            severity=self.severity,
            kind="preflight",
            observed="warning" if warning else "violation",
            certain=certain,
            where=line(where),
            line=at,
            message=line(message),
            mend=self.mend,
        )

    def passed(self, where: str) -> Finding:
        return Finding(self.id, self.good, self.severity, "preflight", "passed", where=line(where))


_CONFIGURATION = _Rule("configuration", Severity.HIGH, "The configuration is not valid", "The configuration is valid", "")
_IGNORE = _Rule(
    "dockerignore",
    Severity.LOW,
    "There is no .dockerignore",
    "There is a .dockerignore",
    "write a .dockerignore with .git, dependencies and build output in it; `pipeline init` does",
)
_GIT = _Rule(
    "git-in-context",
    Severity.MEDIUM,
    "The repository's history enters the build",
    "The repository's history stays out",
    "add .git to .dockerignore",
)
_SIZE = _Rule(
    "context-size",
    Severity.MEDIUM,
    "The build context is large",
    "The build context is small enough",
    "exclude what the build does not need",
)
_BAKED = _Rule(
    "baked-secret",
    Severity.CRITICAL,
    "A file with a secret would be in the image",
    "No file with a secret would be in the image",
    "exclude it in .dockerignore, and give it to the build with RUN --mount=type=secret, or to the container when it runs",
)
_EXPOSED = _Rule(
    "secret-in-context",
    Severity.HIGH,
    "A file with a secret enters the build context",
    "No file with a secret enters the build context",
    "exclude it in .dockerignore",
)
_ARGUMENT = _Rule(
    "secret-argument",
    Severity.HIGH,
    "A build argument has the name of a secret",
    "No build argument has the name of a secret",
    "arguments stay in the image's history: move it to [image.secrets] and RUN --mount=type=secret",
)
_ENTITLEMENT = _Rule(
    "entitlement",
    Severity.MEDIUM,
    "The build may leave its sandbox",
    "The build stays in its sandbox",
    "build without [image] allow, or waive this with a reason",
)


def findings(seen: Seen) -> tuple[Finding, ...]:
    """Every rule's findings."""
    context = seen.context
    return (
        _CONFIGURATION.passed("pipeline.toml"),
        *_or_passed(_IGNORE, context, _ignore(seen)),
        *_or_passed(_GIT, context, _git(seen)),
        *_or_passed(_SIZE, context, _size(seen)),
        *_or_passed(_BAKED, seen.dockerfile, _baked(seen)),
        *_or_passed(_EXPOSED, context, _exposed(seen)),
        *_or_passed(_ARGUMENT, "pipeline.toml", (_ARGUMENT.violated(name, "pipeline.toml") for name in seen.args if secret_variable(name))),
        *_or_passed(_ENTITLEMENT, "pipeline.toml", (_ENTITLEMENT.violated(name, "pipeline.toml") for name in seen.allow)),
    )


def _or_passed(rule: _Rule, where: str, violations: Iterable[Finding]) -> tuple[Finding, ...]:
    found = tuple(violations)
    return found or (rule.passed(where),)


def _ignore(seen: Seen) -> Iterable[Finding]:
    if not seen.ignore_name:
        yield _IGNORE.violated(f"everything in {seen.context} is sent to the build: {len(seen.paths)} files", seen.context)


def _git(seen: Seen) -> Iterable[Finding]:
    inside = sum(1 for path in seen.paths if ".git" in path.split("/"))
    if inside:
        yield _GIT.violated(f"{inside} files of .git are sent to the build", seen.context)


def _size(seen: Seen) -> Iterable[Finding]:
    if seen.size > seen.limit:
        message = f"{len(seen.paths)} files, {seen.size / 1e6:.1f} MB; the limit is {seen.limit / 1e6:.1f} MB"
        yield _SIZE.violated(message, seen.context)


def _baked(seen: Seen) -> Iterable[Finding]:
    first = {arrival.file: arrival for arrival in sorted(seen.arrivals, key=lambda one: not one.certain, reverse=True)}
    for file, arrival in sorted(first.items()):
        how = "is copied" if arrival.certain else "may come, through an earlier stage,"
        message = f"{file} ({seen.suspects[file]}) {how} to {arrival.place}"
        yield _BAKED.violated(message, seen.dockerfile, arrival.line, certain=arrival.certain, warning=not arrival.certain)


def _exposed(seen: Seen) -> Iterable[Finding]:
    reaching = {arrival.file for arrival in seen.arrivals}
    rest = [path for path in sorted(seen.suspects) if path not in reaching]
    for path in rest[:_SHOWN]:
        yield _EXPOSED.violated(seen.suspects[path], path, warning=True)
