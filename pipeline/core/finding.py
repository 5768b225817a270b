"""Findings are one language: every gate's judgement becomes these, and every report is made from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal

import msgspec

from pipeline.core.waiver import Waiver


class Severity(StrEnum):
    UNKNOWN = "UNKNOWN"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    CRITICAL = "CRITICAL"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return _RANKS[self]


_RANKS = {severity: place for place, severity in enumerate(reversed(Severity))}


class Outcome(StrEnum):
    """What today's thresholds and waivers make of a finding."""

    PASSED = "passed"
    WARNED = "warned"
    WAIVED = "waived"
    FAILED = "failed"


class Finding(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One thing a gate looked at, as the tool reported it; the verdict on it is never stored.

    `observed`: what the tool or rule itself said. `violation` counts against the threshold, `warning` never fails,
    `passed` was looked at and found good. `certain`: fails whatever the threshold says (a secret in a layer, a wrong subject).
    `where`: a file with its line, an image target, a manifest. `installed` and `fixed`: package versions.
    """

    rule: str
    title: str
    severity: Severity = Severity.UNKNOWN
    kind: Literal["vulnerability", "secret", "misconfiguration", "dockerfile", "policy", "preflight"] = "policy"
    observed: Literal["violation", "warning", "passed"] = "violation"
    certain: bool = False
    where: str = ""
    line: int = 0
    package: str = ""
    installed: str = ""
    fixed: str = ""
    message: str = ""
    mend: str = ""
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Threshold:
    """What fails. `unfixed` is for vulnerabilities that have no fixed version yet. Before `enforce_from` what would fail warns."""

    fail_on: frozenset[Severity]
    unfixed: Literal["warn", "fail"] = "warn"
    enforce_from: date | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    finding: Finding
    outcome: Outcome
    waiver: Waiver | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One gate's findings as judged today. `error` is why the gate could not judge: it outranks every finding."""

    gate: str
    subject: str
    findings: tuple[Judged, ...]
    error: str = ""
    seconds: float = 0.0

    def count(self, outcome: Outcome) -> int:
        return sum(1 for judged in self.findings if judged.outcome is outcome)

    @property
    def status(self) -> Literal["passed", "failed", "error"]:
        if self.error:
            return "error"
        return "failed" if self.count(Outcome.FAILED) else "passed"


def judge(findings: Iterable[Finding], threshold: Threshold, waivers: Sequence[Waiver], today: date) -> tuple[Judged, ...]:
    """Decide on every finding. An expired waiver does not waive: the finding fails as it would without it, and names the owner.

    Of several waivers that match, the one that holds longest counts.
    """
    by_rule: dict[str, list[Waiver]] = {}
    for waiver in sorted(waivers, key=lambda one: one.expires, reverse=True):
        by_rule.setdefault(waiver.id, []).append(waiver)
    return tuple(_judge(finding, threshold, by_rule.get(finding.rule, []), today) for finding in findings)


def _judge(finding: Finding, threshold: Threshold, waivers: Sequence[Waiver], today: date) -> Judged:
    if finding.observed == "passed":
        return Judged(finding, Outcome.PASSED)
    waiver = next((one for one in waivers if one.matches(finding.rule, finding.package, finding.where)), None)
    if waiver and waiver.expires >= today:
        return Judged(finding, Outcome.WAIVED, waiver)
    if not _fails(finding, threshold):
        return Judged(finding, Outcome.WARNED)
    note = f"its waiver expired on {waiver.expires}; owner: {waiver.owner}" if waiver else ""
    if threshold.enforce_from and today < threshold.enforce_from and not finding.certain:
        would = f"would fail from {threshold.enforce_from} on"
        return Judged(finding, Outcome.WARNED, waiver, f"{would}; {note}" if note else would)
    return Judged(finding, Outcome.FAILED, waiver, note)


def _fails(finding: Finding, threshold: Threshold) -> bool:
    if finding.certain:
        return True
    if finding.observed == "warning":
        return False
    if finding.kind == "vulnerability" and not finding.fixed and threshold.unfixed == "warn":
        return False
    return finding.severity in threshold.fail_on
