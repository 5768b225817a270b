"""What thresholds, waivers and the day make of a finding."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.core.finding import Finding, Judged, Outcome, Severity, Threshold, Verdict, judge
from pipeline.core.waiver import Waiver

TODAY = date(2026, 11, 23)
THRESHOLD = Threshold(frozenset({Severity.CRITICAL, Severity.HIGH}))
FLAW = Finding("CVE-1", "a flaw", Severity.HIGH, "vulnerability", package="openssl", installed="1", fixed="2")
UNFIXED = replace(FLAW, fixed="")


def one(finding: Finding, threshold: Threshold = THRESHOLD, *waivers: Waiver) -> Judged:
    (judged,) = judge([finding], threshold, waivers, TODAY)
    return judged


@pytest.mark.parametrize(
    ("finding", "outcome"),
    [
        (FLAW, Outcome.FAILED),
        (replace(FLAW, severity=Severity.MEDIUM), Outcome.WARNED),
        (replace(FLAW, observed="passed"), Outcome.PASSED),
        (replace(FLAW, observed="warning"), Outcome.WARNED),
        (UNFIXED, Outcome.WARNED),
        (replace(UNFIXED, kind="policy"), Outcome.FAILED),
        (replace(UNFIXED, certain=True), Outcome.FAILED),
        (replace(FLAW, severity=Severity.UNKNOWN, certain=True, observed="warning"), Outcome.FAILED),
    ],
)
def test_the_threshold_decides(finding: Finding, outcome: Outcome) -> None:
    assert one(finding).outcome is outcome


def test_unfixed_fails_where_it_shall() -> None:
    assert one(UNFIXED, Threshold(THRESHOLD.fail_on, unfixed="fail")).outcome is Outcome.FAILED


def waiver(expires: date, owner: str = "platform") -> Waiver:
    return Waiver("CVE-1", "not reachable", owner, expires)


def test_a_waiver_holds_on_its_last_day_and_not_after() -> None:
    assert one(FLAW, THRESHOLD, waiver(TODAY)).outcome is Outcome.WAIVED
    failed = one(FLAW, THRESHOLD, waiver(date(2026, 11, 22)))
    assert failed.outcome is Outcome.FAILED
    assert failed.note == "its waiver expired on 2026-11-22; owner: platform"


def test_of_several_waivers_the_longest_counts() -> None:
    old, new = waiver(date(2026, 1, 1), "first"), waiver(date(2027, 1, 1), "second")
    for order in ((old, new), (new, old)):
        assert one(FLAW, THRESHOLD, *order).waiver == new


def test_a_secret_can_be_waived_by_name() -> None:
    secret = Finding("key", "A key", Severity.LOW, "secret", certain=True, where="/opt/key")
    assert one(secret, THRESHOLD, Waiver("key", "a test's", "me", TODAY, path="/opt/*")).outcome is Outcome.WAIVED
    assert one(secret, THRESHOLD, Waiver("key", "a test's", "me", TODAY, path="/srv/*")).outcome is Outcome.FAILED


def test_before_the_day_of_enforcement_what_would_fail_warns() -> None:
    later = Threshold(THRESHOLD.fail_on, enforce_from=date(2026, 11, 24))
    judged = one(FLAW, later)
    assert (judged.outcome, judged.note) == (Outcome.WARNED, "would fail from 2026-11-24 on")
    assert "owner: platform" in one(FLAW, later, waiver(date(2026, 1, 1))).note
    assert one(replace(FLAW, certain=True), later).outcome is Outcome.FAILED
    assert one(FLAW, Threshold(THRESHOLD.fail_on, enforce_from=TODAY)).outcome is Outcome.FAILED


def test_an_error_outranks_every_finding() -> None:
    failed = judge([FLAW], THRESHOLD, (), TODAY)
    assert Verdict("scan", "", failed).status == "failed"
    assert Verdict("scan", "", failed, error="no database").status == "error"
    assert Verdict("scan", "", ()).status == "passed"
    assert Verdict("scan", "", judge([UNFIXED], THRESHOLD, (), TODAY)).status == "passed"


def test_severities_rank_the_worst_first() -> None:
    assert sorted(Severity, key=lambda severity: severity.rank)[0] is Severity.CRITICAL
    assert Severity.UNKNOWN.rank == len(Severity) - 1


findings = st.builds(
    Finding,
    rule=st.sampled_from(["CVE-1", "CVE-2"]),
    title=st.just("t"),
    severity=st.sampled_from(Severity),
    observed=st.sampled_from(["violation", "warning", "passed"]),
    certain=st.booleans(),
    fixed=st.sampled_from(["", "2"]),
)


@given(st.lists(findings), st.dates(date(2026, 1, 1), date(2027, 12, 31)))
def test_a_waiver_of_another_rule_changes_nothing_and_none_is_lost(found: list[Finding], expires: date) -> None:
    plain = judge(found, THRESHOLD, (), TODAY)
    assert [judged.finding for judged in plain] == found
    assert judge(found, THRESHOLD, [Waiver("CVE-3", "r", "o", expires)], TODAY) == plain
    assert all(judged.outcome is not Outcome.PASSED or judged.finding.observed == "passed" for judged in plain)
