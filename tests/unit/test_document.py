"""A verdict as JSON: the format that programs rely on."""

from __future__ import annotations

import json
from datetime import date

import msgspec

from pipeline.core.finding import Finding, Judged, Outcome, Severity, Verdict
from pipeline.core.waiver import Waiver
from pipeline.reports import document

FLAW = Finding("CVE-1", "a flaw", Severity.HIGH, "vulnerability", package="openssl", installed="1", fixed="2")


def test_the_format_is_locked() -> None:
    waiver = Waiver("CVE-1", "not reachable", "platform", date(2027, 1, 1))
    judged = (Judged(FLAW, Outcome.WAIVED, waiver), Judged(FLAW, Outcome.FAILED, note="because"))
    told = {
        "rule": "CVE-1",
        "title": "a flaw",
        "severity": "HIGH",
        "kind": "vulnerability",
        "package": "openssl",
        "installed": "1",
        "fixed": "2",
    }
    assert json.loads(document.render(Verdict("scan", "sha256:1", judged, seconds=1.5))) == {
        "schema": "release-chain/verdict/v1",
        "gate": "scan",
        "subject": "sha256:1",
        "status": "failed",
        "error": "",
        "seconds": 1.5,
        "counts": {"passed": 0, "warned": 0, "waived": 1, "failed": 1},
        "findings": [
            {"outcome": "waived", "finding": told, "waiver": {"owner": "platform", "reason": "not reachable", "expires": "2027-01-01"}},
            {"outcome": "failed", "finding": told, "note": "because"},
        ],
    }


def test_it_can_be_read_back_and_printed() -> None:
    nasty = "\x1b[31m\x9b0m\u202e ##[set-output name=a;]b ::error::\r\nü"
    verdict = Verdict("scan", "", (Judged(Finding("r", nasty), Outcome.WARNED),), nasty)
    printed = document.render(verdict)
    assert printed.isascii()
    assert b"##[" not in printed
    assert not set(b"\x1b\r") & set(printed)
    assert msgspec.json.decode(printed, type=document.Document) == document.document(verdict)
    assert msgspec.json.decode(printed, type=document.Document).error == nasty
