"""JUnit XML as CIs read it: what fails, what does not, and what may stand in it."""

from __future__ import annotations

from datetime import date
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from msgspec.structs import replace

from pipeline.core.finding import Finding, Judged, Outcome, Severity, Verdict
from pipeline.core.record import Evidence, ScanFacts, Subject, VersionFacts
from pipeline.core.waiver import Waiver
from pipeline.reports import junit

FLAW = Finding("CVE-1", "a flaw", Severity.HIGH, "vulnerability", package="openssl", installed="1", fixed="2", where="debian 12")
WAIVER = Waiver("CVE-1", "not reachable", "platform", date(2027, 1, 1))
# The rules of the schema that Jenkins' xUnit plugin checks with, and `file` and `line`, which GitLab's and GitHub's readers show.
SCHEMA = """
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:complexType name="outcome" mixed="true">
    <xs:attribute name="type" type="xs:string"/><xs:attribute name="message" type="xs:string"/>
  </xs:complexType>
  <xs:element name="testsuites"><xs:complexType>
    <xs:sequence><xs:element ref="testsuite" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
    <xs:attribute name="name"/><xs:attribute name="time" type="seconds"/>
    <xs:attribute name="tests"/><xs:attribute name="failures"/><xs:attribute name="errors"/>
  </xs:complexType></xs:element>
  <xs:simpleType name="seconds"><xs:restriction base="xs:string"><xs:pattern value="[0-9]+[.][0-9]+"/></xs:restriction></xs:simpleType>
  <xs:element name="testsuite"><xs:complexType>
    <xs:choice minOccurs="0" maxOccurs="unbounded">
      <xs:element name="properties"><xs:complexType><xs:sequence>
        <xs:element name="property" minOccurs="0" maxOccurs="unbounded"><xs:complexType>
          <xs:attribute name="name" use="required"/><xs:attribute name="value" use="required"/>
        </xs:complexType></xs:element>
      </xs:sequence></xs:complexType></xs:element>
      <xs:element ref="testcase"/>
    </xs:choice>
    <xs:attribute name="name" use="required"/><xs:attribute name="tests" type="xs:nonNegativeInteger" use="required"/>
    <xs:attribute name="failures" type="xs:nonNegativeInteger" use="required"/>
    <xs:attribute name="errors" type="xs:nonNegativeInteger" use="required"/>
    <xs:attribute name="skipped" type="xs:nonNegativeInteger"/><xs:attribute name="time" type="seconds"/>
  </xs:complexType></xs:element>
  <xs:element name="testcase"><xs:complexType>
    <xs:choice minOccurs="0" maxOccurs="unbounded">
      <xs:element name="skipped" type="outcome"/><xs:element name="error" type="outcome"/><xs:element name="failure" type="outcome"/>
      <xs:element name="system-out" type="xs:string"/>
    </xs:choice>
    <xs:attribute name="name" use="required"/><xs:attribute name="classname"/><xs:attribute name="time"/>
    <xs:attribute name="file"/><xs:attribute name="line" type="xs:positiveInteger"/>
  </xs:complexType></xs:element>
</xs:schema>
"""
VALID = etree.XMLSchema(etree.fromstring(SCHEMA))


def suites(*verdicts: Verdict, made_with: dict[str, str] | None = None) -> ElementTree.Element:
    document = junit.render(verdicts, made_with)
    VALID.assertValid(etree.fromstring(document))
    return ElementTree.fromstring(document)


def suite(*judged: Judged, error: str = "") -> ElementTree.Element:
    (found,) = suites(Verdict("scan", "sha256:1", judged, error, 1.25))
    return found


def counts(found: ElementTree.Element) -> tuple[int, ...]:
    return tuple(int(found.attrib[name]) for name in ("tests", "failures", "errors", "skipped"))


def test_only_what_failed_is_a_failure() -> None:
    found = suite(
        Judged(FLAW, Outcome.FAILED, note="its waiver expired"),
        Judged(FLAW, Outcome.WAIVED, WAIVER),
        Judged(replace(FLAW, fixed=""), Outcome.WARNED, note="would fail later"),
        Judged(replace(FLAW, observed="passed"), Outcome.PASSED),
    )
    assert counts(found) == (4, 1, 0, 1)
    failed, waived, warned, passed = found.findall("testcase")
    failure = failed.find("failure")
    assert failure is not None
    assert failure.attrib == {"type": "HIGH", "message": "HIGH: a flaw"}
    assert "fixed in: 2" in (failure.text or "")
    assert "its waiver expired" in (failure.text or "")
    skipped = waived.find("skipped")
    assert skipped is not None
    assert skipped.attrib["message"] == "waived by platform until 2027-01-01: not reachable"
    assert [child.tag for child in warned] == ["system-out"]
    assert (warned.findtext("system-out") or "").startswith("WARNING HIGH: a flaw")
    assert "no fix yet" in (warned.findtext("system-out") or "")
    assert not list(passed)


def test_an_error_is_an_error_and_hides_no_finding() -> None:
    found = suite(Judged(FLAW, Outcome.FAILED), error="no database\nat all")
    assert counts(found) == (2, 1, 1, 0)
    error = found.find("testcase/error")
    assert error is not None
    assert (error.attrib["message"], error.text) == ("no database at all", "no database\nat all")


def test_a_suite_without_findings_has_a_case() -> None:
    found = suite()
    assert counts(found) == (1, 0, 0, 0)
    assert found.find("testcase") is not None


def test_what_the_verdict_was_made_with_is_in_it() -> None:
    facts = ScanFacts("sha256:1", (), 3, "debian 12", "2026-11-23T00:00:00Z", "sha256:d", demo=True)
    evidence = Evidence("scan", Subject("config", "sha256:1"), "k", {"trivy": "0.76.0"}, facts)
    (found,) = suites(Verdict("scan", "sha256:1", ()), made_with=junit.properties(evidence))
    told = {one.attrib["name"]: one.attrib["value"] for one in found.iter("property")}
    assert told == {
        "subject": "sha256:1",
        "tool.trivy": "0.76.0",
        "database.updated": "2026-11-23T00:00:00Z",
        "database.digest": "sha256:d",
        "database.demo": "true",
        "os": "debian 12",
        "packages": "3",
    }
    plain = Evidence("version", Subject("commit", "c"), "k", {"git": "2"}, VersionFacts("1", "c", "t", ""))
    assert junit.properties(plain) == {"tool.git": "2"}


def test_several_gates_are_summed() -> None:
    judged = (Judged(FLAW, Outcome.FAILED),)
    root = suites(Verdict("scan", "", judged), Verdict("policy", "", judged), Verdict("check", "", (), error="broken"))
    assert [found.attrib["name"] for found in root] == ["scan", "policy", "check"]
    assert (root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]) == ("3", "2", "1")


@pytest.mark.parametrize(
    ("finding", "name", "file", "line"),
    [
        (FLAW, "CVE-1 openssl 1 in debian 12", None, None),
        (Finding("DF001", "t", kind="dockerfile", where="Dockerfile", line=3), "DF001 in Dockerfile:3", "Dockerfile", "3"),
        (Finding("P1", "t", where="k8s/a.yaml"), "P1 in k8s/a.yaml", "k8s/a.yaml", None),
        (Finding("key", "t", kind="secret", where="/opt/key", line=2), "key in /opt/key:2", None, None),
        (Finding("P2", "t"), "P2", None, None),
    ],
)
def test_a_case_names_what_and_where(finding: Finding, name: str, file: str | None, line: str | None) -> None:
    case = suite(Judged(finding, Outcome.FAILED)).find("testcase")
    assert case is not None
    assert (case.attrib["name"], case.get("file"), case.get("line")) == (name, file, line)
    assert case.attrib["classname"] == f"scan.{finding.kind}"


foreign = st.text(st.characters(codec=None), max_size=40)


@given(foreign, foreign, foreign, foreign, foreign)
def test_text_from_outside_is_always_xml(rule: str, title: str, where: str, message: str, error: str) -> None:
    finding = Finding(rule, title, Severity.LOW, "dockerfile", where=where, line=1, message=message, references=(title,))
    judged = tuple(Judged(finding, outcome, WAIVER) for outcome in Outcome)
    suites(Verdict("scan", title, judged, error), made_with={rule: message})


def test_no_command_of_a_ci_or_a_terminal_survives() -> None:
    nasty = "\x1b[31m::set-output name=a::b\r\n::error::x\nsection_start:1:a\r\x1b[0K\ufffe]]>"
    document = junit.render([Verdict("scan", "", (Judged(replace(FLAW, title=nasty, message=nasty), Outcome.FAILED),), nasty)])
    shown = document.decode()
    assert not {"\x1b", "\r", "\ufffe"} & set(shown)
    assert "section_start:" not in shown
    assert not [row for row in shown.splitlines() if row.strip().startswith("::")]
