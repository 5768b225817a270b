"""The built-in policies, by the real OPA: their own tests, and what they make of an ordinary project."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline import resources
from pipeline.core.dockerfile.document import document
from pipeline.core.dockerfile.parser import parse
from pipeline.core.finding import Severity
from pipeline.core.manifests import split
from pipeline.core.policy import Document
from tests.judging import IMAGE, ORDINARY, POD, asked, broken

OPA = shutil.which("opa")
pytestmark = pytest.mark.skipif(not OPA, reason="opa is not on PATH")


def test_the_librarys_own_tests_cover_it() -> None:
    assert OPA
    done = subprocess.run(
        [OPA, "test", resources.policies(), "--coverage", "--threshold", "100"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert json.loads(done.stdout)["coverage"] == 100


def test_the_library_is_well_formed() -> None:
    assert OPA
    for arguments in (["check", "--strict"], ["fmt", "--list", "--fail"]):
        done = subprocess.run([OPA, *arguments, resources.policies()], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_built_in_rule_says_what_it_is(tmp_path: Path) -> None:
    every = [
        Document("dockerfile", "Dockerfile", document(parse(ORDINARY))),
        Document("image", "image", IMAGE),
        *split("pod.yaml", (POD % 1).encode()),
        Document("release", "release", {}),
    ]
    found = {finding.rule: finding for finding in asked(tmp_path, *every).findings}
    assert len(found) > 35
    for finding in found.values():
        assert finding.title != finding.rule, f"{finding.rule} has no title"
        assert finding.rule[:2] in {"DF", "IM", "KU", "RE"}
        assert finding.severity is not Severity.UNKNOWN


def test_an_ordinary_dockerfile_is_warned_about_and_passes(tmp_path: Path) -> None:
    judgement = asked(tmp_path, Document("dockerfile", "Dockerfile", document(parse(ORDINARY))))
    assert not judgement.errors
    assert broken(judgement) == {
        "DF011": Severity.MEDIUM,
        "DF020": Severity.HIGH,
        "DF021": Severity.MEDIUM,
        "DF022": Severity.LOW,
        "DF023": Severity.LOW,
        "DF030": Severity.LOW,
    }


@pytest.mark.parametrize(
    ("line", "rule"), [(b"ADD https://example.com/x /x\n", "DF010"), (b"ENV DB_PASSWORD=v3ry-pr1vate\n", "DF001")], ids=["remote", "secret"]
)
def test_what_fails_by_default(line: bytes, rule: str, tmp_path: Path) -> None:
    judgement = asked(tmp_path, Document("dockerfile", "Dockerfile", document(parse(ORDINARY + line))))
    assert broken(judgement)[rule] is Severity.CRITICAL
    assert {one.line for one in judgement.findings if one.rule == rule} == {9}
    assert "v3ry-pr1vate" not in str(judgement)
