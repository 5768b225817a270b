"""A verdict on a terminal."""

from __future__ import annotations

import time
from datetime import date

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.core.finding import Finding, Judged, Outcome, Severity, Verdict
from pipeline.core.waiver import Waiver
from pipeline.reports import table

FLAW = Finding("CVE-1", "a flaw", Severity.HIGH, "vulnerability", package="openssl", installed="1", fixed="2", where="debian 12")
WAIVER = Waiver("CVE-1", "not reachable", "platform", date(2027, 1, 1))


def verdict(*judged: Judged, error: str = "") -> Verdict:
    return Verdict("scan", "sha256:1", judged, error)


def test_what_failed_comes_first_and_the_worst_before_the_rest() -> None:
    worst = replace(FLAW, rule="CVE-9", severity=Severity.CRITICAL, fixed="")
    rows = table.lines(
        verdict(
            Judged(worst, Outcome.WARNED),
            Judged(FLAW, Outcome.FAILED),
            Judged(FLAW, Outcome.PASSED),
            Judged(worst, Outcome.WAIVED, WAIVER),
            Judged(worst, Outcome.FAILED, note="its waiver expired"),
        )
    )
    assert rows == [
        "  failed  CRITICAL  CVE-9  openssl 1 → no fix yet  a flaw  (its waiver expired)",
        "  failed  HIGH      CVE-1  openssl 1 → 2  a flaw",
        "  waived  CRITICAL  CVE-9  openssl 1 → no fix yet  a flaw  (until 2027-01-01, platform: not reachable)",
        "  warned  CRITICAL  CVE-9  openssl 1 → no fix yet  a flaw",
    ]


def test_a_place_is_named_where_there_is_no_package() -> None:
    (row,) = table.lines(verdict(Judged(Finding("key", "A key", Severity.LOW, "secret", where="/opt/key", line=3), Outcome.FAILED)))
    assert row == "  failed  LOW       key  /opt/key:3  A key"


def test_what_is_left_out_is_counted() -> None:
    rows = table.lines(verdict(*[Judged(replace(FLAW, rule=f"CVE-{place}"), Outcome.WARNED) for place in range(10)]), limit=3)
    assert len(rows) == 4
    assert "7 more" in rows[-1]


def test_the_summary_counts_every_outcome() -> None:
    judged = [Judged(FLAW, Outcome.FAILED)] * 2 + [Judged(FLAW, Outcome.WARNED)]
    assert table.summary(verdict(*judged)) == "failed: 2 failed, 1 warned"
    assert table.summary(verdict(Judged(FLAW, Outcome.PASSED))) == "passed: 1 passed"
    assert table.summary(verdict()) == "passed: nothing found"
    assert table.summary(verdict(*judged, error="no database")) == "could not judge"


def test_an_error_is_shown_before_the_findings() -> None:
    rows = table.lines(verdict(Judged(FLAW, Outcome.FAILED), error="no database\n::error::x\x1b[0m"))
    assert rows[0] == "  no database"
    assert rows[1] == "  : :error::x\ufffd[0m"
    assert rows[2].startswith("  failed")


@given(st.text(max_size=300), st.text(max_size=300), st.integers(20, 200))
def test_every_finding_is_one_printable_line(title: str, package: str, width: int) -> None:
    finding = Finding("r", title, package=package, where=title)
    (row,) = table.lines(verdict(Judged(finding, Outcome.FAILED, note=title)), width)
    assert len(row) <= width
    assert len(row.splitlines()) == 1
    assert not {"\x1b", "\r", "\x9b", "\u202e"} & set(row)


def test_a_hundred_thousand_findings_are_shown_at_once() -> None:
    many = verdict(*[Judged(replace(FLAW, rule=f"CVE-{place}"), Outcome.FAILED) for place in range(100_000)])
    started = time.monotonic()
    rows = table.lines(many)
    assert time.monotonic() - started < 2
    assert rows == [*table.lines(many, limit=100000)[:40], "  … and 99960 more, in the reports"]


def test_what_a_rule_refused_is_said_with_its_mend() -> None:
    finding = Finding("DF005", "A file from the web", Severity.CRITICAL, "dockerfile", message="ADD https://example.com/x", mend="pin it")
    shown = table.lines(verdict(Judged(finding, Outcome.FAILED), Judged(finding, Outcome.WARNED)))
    assert [line.strip() for line in shown[1:3]] == ["ADD https://example.com/x", "mend: pin it"]
    assert len(shown) == 4
