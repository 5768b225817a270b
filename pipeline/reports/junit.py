"""JUnit XML: what every CI can show. One suite for each gate, one case for each finding, and never a suite without a case."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from pipeline.core import text
from pipeline.core.finding import Finding, Judged, Outcome, Verdict
from pipeline.core.record import Evidence, ScanFacts

# What XML 1.0 cannot hold and `core.text` lets through.
_NOT_XML: Final = re.compile("[\ufffe\uffff]")
# Kinds whose `where` is a file of the repository, which CIs link to; in an image's paths they would find nothing.
_IN_REPOSITORY: Final = frozenset({"dockerfile", "policy", "preflight"})


def render(verdicts: Sequence[Verdict], made_with: Mapping[str, str] | None = None) -> bytes:
    """A whole document; `made_with` becomes properties of each suite, beside the subject.

    Only what failed is a failure: warnings and waivers are not.
    """
    root = Element("testsuites")
    for verdict in verdicts:
        root.append(_suite(verdict, made_with or {}))
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'.encode()


def properties(evidence: Evidence) -> dict[str, str]:
    """What a verdict was made with: tool versions and, for a scan, the database and the image's name."""
    made = {f"tool.{name}": version for name, version in evidence.tools.items()}
    if isinstance(evidence.facts, ScanFacts):
        facts = evidence.facts
        database = {"database.updated": facts.database_updated, "database.digest": facts.database_digest}
        made |= database | {"database.demo": str(facts.demo).lower(), "os": facts.os, "packages": str(facts.packages)}
    return {name: value for name, value in made.items() if value}


def _suite(verdict: Verdict, made_with: Mapping[str, str]) -> Element:
    suite = Element("testsuite", name=_one_line(verdict.gate), time=f"{verdict.seconds:.3f}")
    about = SubElement(suite, "properties")
    for name, value in {"subject": verdict.subject, **made_with}.items():
        SubElement(about, "property", name=_one_line(name), value=_one_line(value))
    if verdict.error:
        _unjudged(suite, verdict)
    for judged in verdict.findings:
        _case(suite, verdict.gate, judged)
    if len(suite) == 1:
        SubElement(suite, "testcase", name="nothing found", classname=_one_line(verdict.gate))
    counts = {"tests": "testcase", "failures": "testcase/failure", "errors": "testcase/error", "skipped": "testcase/skipped"}
    for name, path in counts.items():
        suite.set(name, str(len(suite.findall(path))))
    return suite


def _unjudged(suite: Element, verdict: Verdict) -> None:
    case = SubElement(suite, "testcase", name="could not judge", classname=_one_line(verdict.gate))
    error = SubElement(case, "error", type="error", message=_one_line(verdict.error))
    error.text = _lines(verdict.error)


def _case(suite: Element, gate: str, judged: Judged) -> None:
    finding = judged.finding
    case = SubElement(suite, "testcase", name=_name(finding), classname=_one_line(f"{gate}.{finding.kind}"))
    if finding.where and finding.kind in _IN_REPOSITORY:
        case.set("file", _one_line(finding.where))
        if finding.line:
            case.set("line", str(finding.line))
    message = _one_line(f"{finding.severity}: {finding.title}")
    if judged.outcome is Outcome.FAILED:
        SubElement(case, "failure", type=finding.severity.value, message=message).text = _details(judged)
    elif judged.outcome is Outcome.WAIVED and judged.waiver:
        waiver = judged.waiver
        SubElement(case, "skipped", message=_one_line(f"waived by {waiver.owner} until {waiver.expires}: {waiver.reason}"))
    elif judged.outcome is Outcome.WARNED:
        SubElement(case, "system-out").text = f"WARNING {message}\n{_details(judged)}"


def _name(finding: Finding) -> str:
    """The same from run to run, and as a rule unique: CIs compare and merge by class and name."""
    place = f"{finding.where}:{finding.line}" if finding.line else finding.where
    parts = (finding.rule, f"{finding.package} {finding.installed}".strip(), f"in {place}" if place else "")
    return _one_line(" ".join(part for part in parts if part))


def _details(judged: Judged) -> str:
    finding = judged.finding
    said = {
        "": finding.title,
        "where": f"{finding.where}:{finding.line}" if finding.line else finding.where,
        "package": finding.package,
        "installed": finding.installed,
        "fixed in": finding.fixed or ("no fix yet" if finding.kind == "vulnerability" else ""),
        "detail": finding.message,
        "mend": finding.mend,
        "note": judged.note,
        "see": " ".join(finding.references),
    }
    return _lines("\n".join(f"{name}: {value}" if name else value for name, value in said.items() if value))


def _one_line(value: str) -> str:
    return _NOT_XML.sub("\ufffd", text.line(value, 1000))


def _lines(value: str) -> str:
    return _NOT_XML.sub("\ufffd", text.block(value))
