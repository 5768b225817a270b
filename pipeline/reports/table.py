"""A verdict for the terminal: what failed first, the worst first, a line each; what a rule refused, with its mend."""

from __future__ import annotations

import heapq
from typing import Final

from pipeline.core import text
from pipeline.core.finding import Finding, Judged, Outcome, Verdict

_ORDER: Final = {Outcome.FAILED: 0, Outcome.WAIVED: 1, Outcome.WARNED: 2, Outcome.PASSED: 3}


def summary(verdict: Verdict) -> str:
    """One line: how the gate ended, and how many findings there were of each outcome."""
    if verdict.status == "error":
        return "could not judge"
    counts = {outcome: verdict.count(outcome) for outcome in _ORDER}
    said = [f"{count} {outcome}" for outcome, count in counts.items() if count]
    return f"{verdict.status}: {', '.join(said)}" if said else f"{verdict.status}: nothing found"


def lines(verdict: Verdict, width: int = 140, limit: int = 40) -> list[str]:
    """At most `limit` findings that did not pass, and why the gate could not judge; no line is wider than `width` characters."""
    shown = [judged for judged in verdict.findings if judged.outcome is not Outcome.PASSED]
    first = heapq.nsmallest(limit, shown, key=_place)
    result = [f"  {row}" for row in text.block(verdict.error).splitlines()]
    for judged in first:
        result += [_row(judged, width), *_advice(judged, width)]
    if len(shown) > len(first):
        result.append(f"  … and {len(shown) - len(first)} more, in the reports")
    return result


def _place(judged: Judged) -> tuple[int, int, str, str, str]:
    finding = judged.finding
    return _ORDER[judged.outcome], finding.severity.rank, finding.package, finding.rule, finding.where


def _row(judged: Judged, width: int) -> str:
    finding = judged.finding
    parts = (finding.rule, _subject(finding), finding.title if finding.title != finding.rule else "", _note(judged))
    said = "  ".join(part for part in parts if part)
    return "  " + text.line(f"{judged.outcome:<6}  {finding.severity:<8}  {said}", width - 2)


def _advice(judged: Judged, width: int) -> list[str]:
    """What exactly a rule objects to, and what to do: of a package, its row says both."""
    finding = judged.finding
    if judged.outcome is not Outcome.FAILED or finding.kind == "vulnerability":
        return []
    return ["          " + text.line(said, width - 10) for said in (finding.message, finding.mend and f"mend: {finding.mend}") if said]


def _subject(finding: Finding) -> str:
    """A package with its versions, or a place with its line."""
    if finding.package:
        return f"{finding.package} {finding.installed} → {finding.fixed or 'no fix yet'}"
    return f"{finding.where}:{finding.line}" if finding.line else finding.where


def _note(judged: Judged) -> str:
    waiver = judged.waiver
    if judged.outcome is Outcome.WAIVED and waiver:
        return f"(until {waiver.expires}, {waiver.owner}: {waiver.reason})"
    return f"({judged.note})" if judged.note else ""
