"""The scan gate with the real Trivy and a real engine: what is found, and what it means."""

from __future__ import annotations

import os
import shutil
import threading
from datetime import date, timedelta

import msgspec
import pytest

from pipeline.context import Context, Options
from pipeline.core.finding import Finding, Outcome, Verdict, judge
from pipeline.core.record import Evidence, ScanFacts, Subject
from pipeline.core.waiver import Waiver
from pipeline.errors import RefusedError, ToolError
from pipeline.steps import scan
from tests.integration.images import Image, engine, loaded
from tests.integration.scanning import DEBIAN, DPKG, FIXABLE, KEY, PYTHON, SECRET, SYSTEM, Bench, bench, image, needs_trivy, said
from tests.trivy_database import write

__all__ = ["bench", "image"]  # fixtures: pytest finds them by name
pytestmark = needs_trivy

# Every way in which a checkout or a job could ask Trivy to look away.
BLINDFOLDS = {
    ".trivyignore": "CVE-2022-0778\nCVE-2023-32681\naws-access-key-id\n",
    ".trivyignore.yaml": "vulnerabilities:\n  - id: CVE-2022-0778\n",
    "trivy.yaml": "severity: [LOW]\nscan:\n  scanners: [vuln]\nvulnerability:\n  ignore-unfixed: true\n",
    "trivy-secret.yaml": "disable-rules: [aws-access-key-id]\n",
}
JOB = {
    "TRIVY_SEVERITY": "LOW",
    "TRIVY_IGNORE_UNFIXED": "true",
    "TRIVY_IGNOREFILE": "/nonexistent",
    "TRIVY_SCANNERS": "secret",
    "TRIVY_SKIP_FILES": "**/*",
    "TRIVY_SKIP_DIRS": "/app,/opt,/var",
    "TRIVY_PKG_TYPES": "os",
    "TRIVY_FORMAT": "table",
}


def judged(context: Context, evidence: Evidence, *waivers: Waiver) -> Verdict:
    found = judge(evidence.findings, scan.threshold(context), waivers, context.now.date())
    return Verdict("scan", evidence.subject.digest, found)


def outcomes(verdict: Verdict) -> dict[str, Outcome]:
    return {one.finding.rule: one.outcome for one in verdict.findings}


def test_what_is_in_the_image_is_found_and_judged(bench: Bench, image: Image) -> None:
    context = bench.context(image)
    evidence = scan.run(context)
    assert outcomes(judged(context, evidence)) == {
        "CVE-2022-0778": Outcome.FAILED,
        "CVE-2023-45853": Outcome.WARNED,
        "CVE-2023-32681": Outcome.FAILED,
        "aws-access-key-id": Outcome.FAILED,
    }
    assert evidence.subject == Subject("config", image.config)
    facts = evidence.facts
    assert isinstance(facts, ScanFacts)
    assert (facts.os, facts.packages, facts.diff_ids, facts.demo) == ("debian 12.5", 3, image.diff_ids, False)
    by_rule = {finding.rule: finding for finding in evidence.findings}
    assert by_rule["CVE-2022-0778"] == Finding(
        "CVE-2022-0778",
        "an endless loop",
        by_rule["CVE-2022-0778"].severity,
        "vulnerability",
        where="debian 12.5",
        package="openssl",
        installed="3.0.1-1",
        fixed="3.0.2-1",
        mend="upgrade openssl to 3.0.2-1",
        references=by_rule["CVE-2022-0778"].references,
    )
    assert by_rule["CVE-2023-32681"].where == "/app/requests-2.30.0.dist-info/METADATA"
    secret = by_rule["aws-access-key-id"]
    assert (secret.where, secret.line, secret.certain) == ("/opt/cloud.conf", 2, True)
    assert KEY.encode() not in msgspec.json.encode(evidence)
    assert KEY not in said(context)


def test_unfixed_fails_where_the_project_says_so(bench: Bench, image: Image) -> None:
    bench.config = 'unfixed = "fail"\n'
    context = bench.context(image)
    assert outcomes(judged(context, scan.run(context)))["CVE-2023-45853"] is Outcome.FAILED


def test_a_waiver_holds_until_its_day_and_then_names_its_owner(bench: Bench, image: Image) -> None:
    context = bench.context(image)
    evidence = scan.run(context)
    today = context.now.date()
    valid = Waiver("CVE-2022-0778", "not reachable", "platform", today, package="openssl")
    assert outcomes(judged(context, evidence, valid))["CVE-2022-0778"] is Outcome.WAIVED
    expired = Waiver("CVE-2022-0778", "not reachable", "platform", today - timedelta(days=1))
    failed = next(one for one in judged(context, evidence, expired).findings if one.finding.rule == "CVE-2022-0778")
    assert failed.outcome is Outcome.FAILED
    assert "platform" in failed.note


def test_nothing_in_the_repository_or_the_job_hides_anything(bench: Bench, image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = scan.run(bench.context(image)).findings
    shutil.rmtree(bench.tmp / "project" / ".pipeline")
    for folder in (bench.tmp, bench.tmp / "project"):
        for name, text in BLINDFOLDS.items():
            (folder / name).write_text(text)
    monkeypatch.chdir(bench.tmp / "project")
    assert scan.run(bench.context(image, environ=JOB)).findings == seen


def test_a_secret_in_the_configuration_is_found_and_not_repeated(bench: Bench) -> None:
    with engine() as client, loaded(client, "rc-test-scan-env", SYSTEM, env=(f"AWS_KEY_ID={KEY}",)) as made:
        context = bench.context(made)
        found = [finding for finding in scan.run(context).findings if finding.kind == "secret"]
    assert [(finding.where, finding.line) for finding in found] == [("image configuration", 0)]


@pytest.mark.skipif("RC_TEST_CONTAINERD_HOST" not in os.environ, reason="needs RC_TEST_CONTAINERD_HOST, an engine's address")
def test_the_containerd_store_names_images_by_their_manifest(bench: Bench) -> None:
    host = os.environ["RC_TEST_CONTAINERD_HOST"]
    with engine(host) as client, loaded(client, "rc-test-scan-store", SYSTEM, PYTHON) as made:
        evidence = scan.run(bench.context(made, environ={"DOCKER_HOST": host}))
    assert made.id != made.config == evidence.subject.digest
    assert {"CVE-2022-0778", "CVE-2023-32681"} <= {finding.rule for finding in evidence.findings}


def test_a_secret_that_a_later_layer_removes_is_found(bench: Bench) -> None:
    with engine() as client, loaded(client, "rc-test-scan-gone", SYSTEM, SECRET, {"opt/.wh.cloud.conf": ""}) as made:
        assert "aws-access-key-id" in {finding.rule for finding in scan.run(bench.context(made)).findings}


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"hello": "hello"}, "recognised nothing"),
        ({"etc/os-release": "ID=arch\n"}, "recognised nothing"),
        ({"etc/os-release": "ID=fedora\nVERSION_ID=40\n"} | PYTHON, "knows no advisories .*fedora 40"),
        ({"etc/os-release": 'ID=debian\nVERSION_ID="99"\n', "etc/debian_version": "99.0\n", "var/lib/dpkg/status": DPKG}, r"debian 99\.0"),
        (DEBIAN | PYTHON, "no list of its packages"),
        ({"etc/os-release": "ID=other\n", "var/lib/dpkg/status": DPKG} | PYTHON, "knows no advisories .*unknown"),
    ],
)
def test_what_trivy_does_not_know_is_not_judged(bench: Bench, files: dict[str, str], reason: str) -> None:
    with engine() as client, loaded(client, "rc-test-scan-odd", files) as made:
        with pytest.raises(ToolError, match=reason):
            scan.run(bench.context(made))
        bench.config = "allow-empty = true\n"
        assert "not-recognised" in {finding.rule for finding in scan.run(bench.context(made)).findings}


def test_a_list_of_packages_that_a_later_layer_removes_is_missed(bench: Bench) -> None:
    removed = {"var/lib/.wh.dpkg": ""} | PYTHON
    with (
        engine() as client,
        loaded(client, "rc-test-scan-removed", SYSTEM, removed) as made,
        pytest.raises(ToolError, match="may have been removed") as caught,
    ):
        scan.run(bench.context(made))
    assert "allow-empty" in caught.value.mend


def test_an_old_distribution_is_remarked(bench: Bench) -> None:
    old = {"etc/os-release": 'ID=debian\nVERSION_ID="8"\n', "etc/debian_version": "8.1\n", "var/lib/dpkg/status": DPKG}
    with engine() as client, loaded(client, "rc-test-scan-old", old | PYTHON) as made:
        context = bench.context(made)
        rules = outcomes(judged(context, scan.run(context)))
    assert rules["os-end-of-life"] is Outcome.WARNED


def test_equal_findings_are_taken_over_and_a_new_database_is_not(bench: Bench, image: Image) -> None:
    context = bench.context(image)
    first = scan.run(context)
    context.evidence.write(msgspec.structs.replace(first, job="local"))
    never = bench.program("exit 9")
    again = bench.context(image, environ=never)
    assert scan.run(again).findings == first.findings
    assert "are there already" in said(again)
    shutil.rmtree(bench.tmp / "database")
    write(bench.tmp / "database", [FIXABLE])
    with pytest.raises(ToolError, match="exit code 9"):
        scan.run(bench.context(image, environ=never))


def test_a_demonstration_is_marked_and_judges_no_real_release(bench: Bench, image: Image) -> None:
    shutil.rmtree(bench.tmp / "database")
    write(bench.tmp / "database", [FIXABLE], demo=True)
    bench.config = '[image]\nrepository = "127.0.0.1:5000/agent"\n'
    evidence = scan.run(bench.context(image))
    assert isinstance(evidence.facts, ScanFacts)
    assert evidence.facts.demo
    assert "demo-database" in {finding.rule for finding in evidence.findings}
    bench.config = '[image]\nrepository = "registry.example.com/agent"\n'
    with pytest.raises(RefusedError, match="demonstration"):
        scan.run(bench.context(image))
    assert scan.run(bench.context(image, options=Options(snapshot=True)))


def test_several_scans_at_once_do_not_wait_for_each_other(bench: Bench, image: Image) -> None:
    found: list[int] = []
    context = bench.context(image)
    threads = [threading.Thread(target=lambda: found.append(len(scan.run(context).findings))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [4, 4, 4]
    assert not list(bench.tmp.glob("release-chain-trivy-*"))


def test_the_day_is_the_contexts(bench: Bench, image: Image) -> None:
    bench.config = "enforce-from = 2999-01-01\n"
    context = bench.context(image)
    verdict = judged(context, scan.run(context))
    assert outcomes(verdict)["CVE-2022-0778"] is Outcome.WARNED
    assert outcomes(verdict)["aws-access-key-id"] is Outcome.FAILED
    assert scan.threshold(context).enforce_from == date(2999, 1, 1)
