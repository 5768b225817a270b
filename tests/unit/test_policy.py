"""Answers as findings, Kubernetes files as documents, and what the step takes from others."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from pipeline import resources
from pipeline.core.finding import Finding, Outcome, Severity, Threshold, judge
from pipeline.core.manifests import split
from pipeline.core.policy import Answer, Document, Rule, findings, kind_of, parts_of
from pipeline.errors import ToolError, UsageError

IMAGE = Document("image", "image")
RULE = Rule("A1", "acme.image", "No shell", Severity.LOW, "remove it", ("https://example.com",))


def said(*values: object, verb: str = "deny", package: str = "acme.image", document: Document = IMAGE) -> Answer:
    return Answer(document, package, verb, values)


@pytest.mark.parametrize(
    ("package", "kind"),
    [
        ("dockerfile", "dockerfile"),
        ("acme.image", "image"),
        ('acme["my-image"].release', "release"),
        ("kubernetes.pods", "kubernetes"),
        ("image.release", "release"),
        ("acme.images", ""),
        ('acme["my-image"]', ""),
        ("lib", ""),
    ],
)
def test_what_a_package_judges(package: str, kind: str) -> None:
    assert kind_of(package) == kind


def test_the_parts_of_a_name() -> None:
    assert parts_of('acme["my-image"].image') == ["acme", "my-image", "image"]


def test_a_plain_string() -> None:
    (finding,) = findings([said("no shell please")], [])
    assert finding == Finding("acme.image", "no shell please", Severity.HIGH, where="image", message="no shell please")


def test_an_object_with_its_rules_metadata() -> None:
    (finding,) = findings([said({"rule": "A1", "msg": "there is a shell", "line": 3, "author": {"any": "thing"}})], [RULE])
    assert finding.title == "No shell"
    assert (finding.severity, finding.message, finding.mend, finding.line) == (Severity.LOW, "there is a shell", "remove it", 3)
    assert finding.references == ("https://example.com",)


def test_an_object_says_it_better_than_the_metadata() -> None:
    value = {"rule": "A1", "message": "m", "severity": "CRITICAL", "title": "t", "mend": "x", "where": "w", "references": ["r"]}
    (finding,) = findings([said(value)], [RULE])
    assert finding == Finding("A1", "t", Severity.CRITICAL, where="w", message="m", mend="x", references=("r",))


def test_the_metadata_of_another_package_do_not_count() -> None:
    broken = [one for one in findings([said({"rule": "A1", "msg": "m"}, package="other.image")], [RULE]) if one.observed == "violation"]
    assert [one.severity for one in broken] == [Severity.HIGH]


@pytest.mark.parametrize("threshold", [Threshold(frozenset()), Threshold(frozenset(Severity), enforce_from=date(2999, 1, 1))])
def test_a_certain_rule_cannot_be_switched_off(threshold: Threshold) -> None:
    rule = replace(RULE, certain=True)

    def outcome(verb: str, **more: object) -> Outcome:
        (found,) = findings([said({"rule": "A1", "message": "a shell", **more}, verb=verb)], [rule])
        return judge([found], threshold, (), date(2026, 11, 23))[0].outcome

    assert outcome("deny") is Outcome.FAILED
    assert outcome("deny", certain=False) is Outcome.WARNED
    assert outcome("warn") is Outcome.WARNED


def test_warnings_only_warn() -> None:
    assert findings([said("m", verb="warn")], [])[0].observed == "warning"
    assert findings([said("m", verb="violation")], [])[0].observed == "violation"


def test_a_dockerfiles_findings_are_of_their_kind() -> None:
    assert findings([said("m", package="dockerfile", document=Document("dockerfile", "Dockerfile"))], [])[0].kind == "dockerfile"


def test_where_a_manifest_begins_is_where_its_findings_are() -> None:
    document = Document("kubernetes", "app.yaml", yaml="x", line=12)
    assert findings([said("m", package="kubernetes", document=document)], [])[0].line == 12


def test_rules_that_nobody_broke_passed() -> None:
    other = Rule("A2", "acme.image", "No root", Severity.HIGH)
    found = findings([said({"rule": "A1", "msg": "m"})], [RULE, other])
    assert [(one.rule, one.observed) for one in found] == [("A1", "violation"), ("A2", "passed")]


def test_a_package_without_ids_passes_as_one_rule() -> None:
    (finding,) = findings([said(), said(verb="warn")], [])
    assert (finding.rule, finding.observed, finding.where) == ("acme.image", "passed", "image")


def test_a_rule_passes_once_for_many_documents() -> None:
    documents = [Document("kubernetes", f"{number}.yaml") for number in range(3)]
    (finding,) = findings([said(package="kubernetes", document=one) for one in documents], [])
    assert finding.where == "3 documents"


@pytest.mark.parametrize("value", [7, None, ["x"], {}, {"rule": "A1"}, "", {"msg": 7}, {"msg": "m", "severity": "BAD"}])
def test_an_answer_that_cannot_be_read_is_an_error(value: object) -> None:
    with pytest.raises(ToolError, match=r"acme\.image"):
        findings([said(value)], [])


def test_one_document() -> None:
    assert split("a.yaml", b"kind: Pod\n") == (Document("kubernetes", "a.yaml", yaml="kind: Pod\n", line=1),)


def test_several_documents_with_their_lines() -> None:
    data = b"# licence\n---\nkind: A\n---\n\n# about b\nkind: B\n...\n%YAML 1.2\n--- # c\nkind: C\n---\n# nothing\n"
    assert [(one.line, one.yaml.strip().splitlines()[-1]) for one in split("a.yaml", data)] == [
        (3, "kind: A"),
        (6, "kind: B"),
        (10, "kind: C"),
    ]


@pytest.mark.parametrize("newline", ["\r\n", "\r", "\u2028", "\x85"])
def test_every_line_break_of_yaml_counts(newline: str) -> None:
    assert len(split("a.yaml", f"kind: A{newline}---{newline}kind: B{newline}".encode())) == 2


def test_a_marker_is_one_at_the_start_of_a_line_only() -> None:
    assert len(split("a.yaml", b"text: |\n  ---\n  more\nx: ---\n---y: 1\n")) == 1
    assert len(split("a.yaml", b"--- {kind: A}\n---\t{kind: B}\n")) == 2


def test_a_byte_order_mark_hides_no_marker() -> None:
    assert [one.yaml for one in split("a.yaml", b"\xef\xbb\xbf---\nkind: A\n")] == ["\nkind: A\n"]


@pytest.mark.parametrize("data", [b"", b"# only a comment\n---\n", b"\xff\xfek\x00"])
def test_a_file_without_a_manifest_is_an_error(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"a\.yaml"):
        split("a.yaml", data)


def test_the_built_in_rules_are_as_documented() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "policies.md").read_text()
    documented = set(re.findall(r"^\| `([A-Z]{2}\d{3})` \| (\w+) \| (.+) \|$", page, re.M))
    blocks = [block for file in resources.policies().rglob("*.rego") for block in re.findall(r"# METADATA\n((?:#.*\n)+)", file.read_text())]
    written = {tuple(re.search(rf"{key}: (.+)", block)[1] for key in ("id", "severity", "title")) for block in blocks}  # type: ignore[index]
    assert written == documented
    assert len(written) == len(blocks)
    certain = {re.search(r"id: (\w+)", block)[1] for block in blocks if "certain: true" in block}  # type: ignore[index]
    sentence = re.search(r"Those that are certain(?:.|\n)+?\n\n", page)
    assert sentence
    assert set(re.findall(r"`([A-Z]{2}\d{3})`", sentence[0])) == certain == {"DF001", "IM001", "RE001", "RE002"}
