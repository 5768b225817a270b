"""The real OPA: what a policy may do, and how each way of not answering becomes an error."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from pipeline.core.cancel import Cancel
from pipeline.core.finding import Severity
from pipeline.core.manifests import split
from pipeline.core.policy import Document
from pipeline.errors import ToolError, UsageError
from pipeline.tools.opa.call import Opa
from pipeline.tools.opa.judge import judge
from pipeline.tools.opa.library import Library
from tests.judging import IMAGE, POD, asked, broken, library, opa

OPA = shutil.which("opa")
pytestmark = pytest.mark.skipif(not OPA, reason="opa is not on PATH")


def test_a_rule_is_added_by_adding_a_file(tmp_path: Path) -> None:
    judgement = asked(tmp_path, own='package acme.image\ndeny contains "no app" if input.user == "app"\n')
    assert not judgement.errors
    assert broken(judgement)["acme.image"] is Severity.HIGH
    assert judgement.judged == {"image": ("acme.image", "pipeline.image")}


def test_a_rule_of_the_project_with_metadata(tmp_path: Path) -> None:
    source = """package acme.image
import data.acme.lib.names
# METADATA
# title: No app
# related_resources:
# - https://example.com/rules
# custom:
#  id: ACME-1
#  severity: LOW
#  remediation: call it otherwise
deny contains {"rule": "ACME-1", "msg": "its user is app"} if names.bad(input.user)
# METADATA
# custom: {id: ACME-2, severity: MEDIUM}
warn contains {"rule": "ACME-2", "msg": "never"} if input.user == "nobody"
"""
    judgement = asked(tmp_path, own=source, lib='package acme.lib.names\nbad(name) if name == "app"\n')
    assert not judgement.errors
    (own,) = [one for one in judgement.findings if one.rule == "ACME-1"]
    assert (own.title, own.severity, own.mend) == ("No app", Severity.LOW, "call it otherwise")
    assert own.references == ("https://example.com/rules",)
    assert [one.observed for one in judgement.findings if one.rule == "ACME-2"] == ["passed"]


@pytest.mark.parametrize(
    "call", ['http.send({"method": "get", "url": "http://127.0.0.1"})', "opa.runtime()", 'net.lookup_ip_addr("localhost")', "time.now_ns()"]
)
def test_a_policy_reads_nothing_of_the_world(call: str, tmp_path: Path) -> None:
    judgement = asked(tmp_path, own=f"package acme.image\ndeny contains json.marshal(x) if x := {call}\n")
    (error,) = judgement.errors
    assert f"undefined function {call.split('(', maxsplit=1)[0]}" in error
    assert "project/own.rego:2" in error
    assert judgement.judged == {"image": ("pipeline.image",)}


def test_a_job_s_secrets_reach_no_policy(tmp_path: Path) -> None:
    files = library(tmp_path, own="package acme.image\ndeny contains json.marshal(input) if true\n")
    environ = {"CI_JOB_TOKEN": "v3ry-pr1vate", "OPA_EVAL_DATA": "/etc", "HOME": str(tmp_path)}
    judgement = judge(opa(environ=environ), files, [Document("image", "image", IMAGE)])
    assert "v3ry-pr1vate" not in str(judgement)


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ("deny := x if x := input.nothing", "`deny` of acme.image is undefined for image"),
        ("deny if input.user", "`deny` of acme.image is boolean instead of a set for image"),
        ('deny := ["x"]', "`deny` of acme.image is array instead of a set for image"),
        ('deny[x] := "y" if x := input.user', "`deny` of acme.image is object instead of a set for image"),
        ("deny contains 7", "`deny` of acme.image answered what cannot be read"),
        ('deny contains {"rule": "x"}', "`deny` of acme.image answered without a message"),
        ('deny contains "x" if to_number("x") > 1', "acme.image could not judge: opa: project/own.rego:2: eval_builtin_error"),
        ('deny contains "x" if undefined_function(1)', "acme.image could not judge: opa: project/own.rego:2: rego_type_error"),
        ('deny := {"x"} if input.user\ndeny := {"y"} if input.size', "acme.image could not judge: opa: project/own.rego:3: eval_conflict"),
    ],
)
def test_a_rule_that_does_not_answer_is_an_error_and_others_keep_theirs(rule: str, error: str, tmp_path: Path) -> None:
    judgement = asked(tmp_path, own=f"package acme.image\n{rule}\n")
    assert len(judgement.errors) == 1
    assert error in judgement.errors[0]
    assert "IM003" in broken(judgement)


def test_a_policy_that_does_not_parse_is_an_error_and_ours_keep_their_answers(tmp_path: Path) -> None:
    judgement = asked(tmp_path, own="package acme.image\ndeny[msg] { msg := 1 }\n")
    assert len(judgement.errors) == 1
    assert "project/own.rego:2: rego_parse_error" in judgement.errors[0]
    assert "IM003" in broken(judgement)


def test_without_a_policy_of_ours_that_compiles_nothing_is_judged() -> None:
    with pytest.raises(ToolError, match="rego_parse_error"):
        judge(opa(), Library({"builtin/image.rego": "package pipeline.image\ndeny contains\n"}), [Document("image", "image", IMAGE)])


def test_a_slow_policy_is_stopped(tmp_path: Path) -> None:
    source = "package acme.image\ndeny contains x if { some x in numbers.range(1, 100000000); x < 0 }\n"
    started = time.monotonic()
    with pytest.raises(ToolError, match="in time"):
        asked(tmp_path, timeout=0.5, own=source)
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("package", ["pipeline.image", "pipeline", "pipeline.lib.secrets", "pipeline.entry"])
def test_a_package_of_ours_cannot_be_changed(package: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one of ours"):
        asked(tmp_path, own=f'package {package}\nwarn contains "x" if true\n')


def test_a_package_that_judges_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"acme\.images has rules, but nothing is judged by it"):
        asked(tmp_path, own='package acme.images\ndeny contains "x" if true\n')


def test_a_severity_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="SEVERE is no severity"):
        asked(tmp_path, own='package acme.image\n# METADATA\n# custom: {id: A, severity: SEVERE}\ndeny contains "x" if input.x\n')


def test_a_document_that_no_package_judges_is_an_error(tmp_path: Path) -> None:
    mine = Library({"builtin/lib.rego": "package pipeline.lib\nx := 1\n"})
    assert judge(opa(), mine, [Document("image", "image", IMAGE)]).errors == ("no policy judged image",)


def test_a_package_that_is_not_loaded_is_an_error() -> None:
    with pytest.raises(ToolError, match="did not load the policies as they are"):
        judge(opa(), Library({"builtin/image.rego": "package pipeline.image\n", "builtin/image.txt": "x"}), [Document("image", "i", IMAGE)])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a: [", "bad.yaml:1: is not valid YAML"),
        ("replicas: 3\n", "bad.yaml:1: is not a Kubernetes object"),
        ("just words\n", "bad.yaml:1: is not a Kubernetes object"),
        ("apiVersion: v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: []}]\n", "bad.yaml:1: is not a Kubernetes object"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_an_error(text: str, error: str, tmp_path: Path) -> None:
    judgement = asked(tmp_path, *split("bad.yaml", text.encode()), *split("good.yaml", (POD % 1).encode()))
    assert len(judgement.errors) == 1
    assert judgement.errors[0].startswith(error)
    assert {finding.where for finding in judgement.findings if finding.observed == "violation"} == {"good.yaml"}


def test_a_list_is_taken_apart(tmp_path: Path) -> None:
    pods = [json.loads(json.dumps({"apiVersion": "v1", "kind": "Pod", "spec": {"hostPID": True, "containers": []}}))] * 2
    judgement = asked(tmp_path, *split("list.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}).encode()))
    assert not judgement.errors
    assert broken(judgement) == {"KU004": Severity.HIGH}


def test_a_thousand_manifests_are_one_process(tmp_path: Path) -> None:
    assert OPA
    (tmp_path / "bin").mkdir()
    wrapper = tmp_path / "bin" / "opa"
    wrapper.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/calls\nexec {OPA} "$@"\n')
    wrapper.chmod(0o755)
    documents = split("all.yaml", "---\n".join(POD % number for number in range(1000)).encode())
    judgement = judge(Opa({"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}, Cancel(), 60), library(tmp_path), documents)
    assert not judgement.errors
    assert sum(finding.rule == "KU010" for finding in judgement.findings) == 1000
    assert sum(finding.observed == "passed" for finding in judgement.findings) < 20
    assert (tmp_path / "calls").read_text().split() == ["capabilities", "inspect", "eval"]
