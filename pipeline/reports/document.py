"""A verdict as a versioned JSON document, for programs."""

from __future__ import annotations

from datetime import date
from typing import Final, Literal

import msgspec

from pipeline.core.finding import Finding, Judged, Outcome, Verdict
from pipeline.core.text import json_text

SCHEMA: Final = "release-chain/verdict/v1"


class Waived(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose waiver it is, why, and its last day."""

    owner: str
    reason: str
    expires: date


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`waiver` is there for a finding that is waived, or whose waiver expired; `note` says why the outcome is what it is."""

    outcome: Outcome
    finding: Finding
    waiver: Waived | None = None
    note: str = ""


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One gate's verdict. `subject` is a digest, empty where there was none to judge; `seconds` is the time it took."""

    gate: str
    subject: str
    status: Literal["passed", "failed", "error"]
    error: str
    seconds: float
    counts: dict[str, int]
    findings: tuple[Row, ...]
    schema: Literal["release-chain/verdict/v1"] = SCHEMA


def render(verdict: Verdict) -> bytes:
    """The document as it can be printed: what findings quote from outside stays escaped."""
    return json_text(msgspec.json.format(msgspec.json.encode(document(verdict)), indent=2)).encode() + b"\n"


def document(verdict: Verdict) -> Document:
    """The verdict as plain data, for a larger document."""
    counts = {outcome.value: verdict.count(outcome) for outcome in Outcome}
    rows = tuple(_row(judged) for judged in verdict.findings)
    return Document(verdict.gate, verdict.subject, verdict.status, verdict.error, verdict.seconds, counts, rows)


def _row(judged: Judged) -> Row:
    waiver = judged.waiver
    return Row(judged.outcome, judged.finding, Waived(waiver.owner, waiver.reason, waiver.expires) if waiver else None, judged.note)
