"""Policies and what they answered: which kind of document a package judges, and its answers as findings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import msgspec

from pipeline.core.finding import Finding, Severity
from pipeline.errors import ToolError

KINDS: Final = ("dockerfile", "image", "kubernetes", "release")
OWN: Final = "pipeline"
Observed = Literal["violation", "warning"]
VERBS: Final[dict[str, Observed]] = {"deny": "violation", "violation": "violation", "warn": "warning"}


@dataclass(frozen=True, slots=True)
class Document:
    """One thing to judge: `content` is plain JSON data, or `yaml` is its text, which OPA parses. `name` is where it comes from, and
    `line` where it begins there."""

    kind: str
    name: str
    content: object = None
    yaml: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """What a rule's METADATA says about it. `id` is its `custom.id`; `severity` None where it says none.
    `certain`: who breaks it fails, whatever the threshold says."""

    id: str
    package: str
    title: str = ""
    severity: Severity | None = None
    mend: str = ""
    references: tuple[str, ...] = ()
    certain: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What one rule set of a package (`deny`, `violation` or `warn`) said about a document."""

    document: Document
    package: str
    verb: str
    said: tuple[object, ...]


class _Said(msgspec.Struct, frozen=True):
    """A violation as an object; only its message is a must. Other fields are the author's own."""

    message: str = ""
    msg: str = ""
    rule: str = ""
    title: str = ""
    severity: Severity | None = None
    where: str = ""
    line: int = 0
    mend: str = ""
    references: tuple[str, ...] = ()
    certain: bool | None = None


def parts_of(package: str) -> list[str]:
    """The parts of a package's name as OPA writes it: `acme.image`, `acme["my-image"]`."""
    return re.findall(r'[^.\["\]]+', package)


def kind_of(package: str) -> str:
    """What `acme.image` or `pipeline.dockerfile` judges: the last part of its name that is a kind; empty for a library."""
    return next((part for part in reversed(parts_of(package)) if part in KINDS), "")


def findings(answers: Sequence[Answer], rules: Iterable[Rule]) -> tuple[Finding, ...]:
    """Every violation, and every rule that nobody broke as passed. Raises `ToolError` for an answer that cannot be read."""
    known = {(rule.package, rule.id): rule for rule in rules}
    broken = [(answer, finding) for answer in answers for finding in _of_answer(answer, known)]
    return tuple(finding for _, finding in broken) + _passed(answers, known, {(answer.package, finding.rule) for answer, finding in broken})


def _of_answer(answer: Answer, known: Mapping[tuple[str, str], Rule]) -> list[Finding]:
    return [_of_said(answer, _read(answer, said), known) for said in answer.said]


def _of_said(answer: Answer, said: _Said, known: Mapping[tuple[str, str], Rule]) -> Finding:
    name = said.rule or answer.package
    rule = known.get((answer.package, name), Rule(name, answer.package))
    certain = rule.certain if said.certain is None else said.certain
    return Finding(
        rule=name,
        title=said.title or rule.title or said.message or said.msg,
        severity=said.severity or rule.severity or Severity.HIGH,
        kind=_kind(answer),
        observed=VERBS[answer.verb],
        certain=certain and VERBS[answer.verb] == "violation",
        where=said.where or answer.document.name,
        line=said.line or answer.document.line,
        message=said.message or said.msg,
        mend=said.mend or rule.mend,
        references=said.references or rule.references,
    )


def _read(answer: Answer, said: Any) -> _Said:
    try:
        read = _Said(message=said) if isinstance(said, str) else msgspec.convert(said, _Said)
    except msgspec.ValidationError as error:
        raise ToolError(f"`{answer.verb}` of {answer.package} answered what cannot be read: {error}", where=answer.document.name) from error
    if not (read.message or read.msg):
        raise ToolError(f"`{answer.verb}` of {answer.package} answered without a message", where=answer.document.name, mend="say `message`")
    return read


def _passed(answers: Iterable[Answer], known: Mapping[tuple[str, str], Rule], broken: set[tuple[str, str]]) -> tuple[Finding, ...]:
    """One finding for each rule that no document broke; a package whose rules have no id counts as one rule."""
    asked: dict[str, dict[str, Answer]] = {}
    for answer in answers:
        asked.setdefault(answer.package, {})[answer.document.name] = answer
    passed = []
    for package, by_name in asked.items():
        rules = [rule for rule in known.values() if rule.package == package] or [Rule(package, package, f"no rule of {package} was broken")]
        names, one = list(by_name), next(iter(by_name.values()))
        where = names[0] if len(names) == 1 else f"{len(names)} documents"
        passed += [_pass(rule, _kind(one), where) for rule in rules if (package, rule.id) not in broken]
    return tuple(passed)


def _pass(rule: Rule, kind: Literal["dockerfile", "policy"], where: str) -> Finding:
    severity = rule.severity or Severity.HIGH
    return Finding(rule.id, rule.title or rule.id, severity, kind, "passed", where=where, references=rule.references)


def _kind(answer: Answer) -> Literal["dockerfile", "policy"]:
    return "dockerfile" if answer.document.kind == "dockerfile" else "policy"
