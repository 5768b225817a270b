"""The step, by the real OPA over an image of the real engine."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.config.load import Settings
from pipeline.config.load import load as load_settings
from pipeline.console import Console
from pipeline.context import Context, Options
from pipeline.core.cancel import Cancel
from pipeline.core.finding import Finding, Outcome, Severity
from pipeline.core.finding import judge as verdict
from pipeline.core.image import digest_of
from pipeline.core.job import Job
from pipeline.core.record import BuildFacts, BuildInputs, CheckFacts, Evidence, PolicyFacts, Subject, VersionFacts
from pipeline.errors import UsageError
from pipeline.evidence import Store
from pipeline.steps import policy as step
from tests.judging import ORDINARY, POD

OPA = shutil.which("opa")
pytestmark = pytest.mark.skipif(not OPA, reason="opa is not on PATH")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The ID of a small image with the labels that a build gives it."""
    folder = tmp_path_factory.mktemp("image")
    if not shutil.which("docker") or subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers")
    labels = {
        "version": "1.0.0",
        "revision": "0123abcd",
        "created": "2024-01-01T00:00:00Z",
        "source": "https://example.com",
        "title": "agent",
    }
    lines = ["FROM scratch", "COPY Dockerfile /", "USER 1000", "EXPOSE 8080", 'ENTRYPOINT ["/agent"]']
    (folder / "Dockerfile").write_text(
        "\n".join([*lines, *(f"LABEL org.opencontainers.image.{name}={value}" for name, value in labels.items())])
    )
    argv = ["docker", "buildx", "build", "--quiet", "--provenance=false", "--load", "--tag", "rc-test-policy:1", str(folder)]
    subprocess.run(argv, check=True, capture_output=True)
    inspected = subprocess.run(["docker", "image", "inspect", "--format", "{{.Id}}", "rc-test-policy:1"], check=True, capture_output=True)
    yield inspected.stdout.decode().strip()
    subprocess.run(["docker", "image", "rm", "rc-test-policy:1"], check=True, capture_output=True)


@pytest.fixture
def context(tmp_path: Path, image: str) -> Context:
    """A project whose image was just built."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "pipeline.toml").write_text('[project]\nname = "agent"\n')
    (root / "Dockerfile").write_bytes(ORDINARY)
    settings = load_settings(root, {}, {})
    made = Context(
        root,
        settings,
        Job(),
        Store(root / ".pipeline", "local"),
        Console(io.StringIO()),
        Cancel(),
        dict(os.environ),
        datetime.now(UTC),
        Options(),
    )
    inspected = subprocess.run(["docker", "image", "inspect", image], check=True, capture_output=True)
    diff_ids = tuple(json.loads(inspected.stdout)[0]["RootFS"]["Layers"])
    built = BuildFacts(image, image, diff_ids, BuildInputs(digest_of(ORDINARY)), "sha256:0", size=1000)
    made.evidence.write(Evidence("build", Subject("config", image), "k", facts=built, job="local"))
    version = VersionFacts("1.0.0", "0123abcd", "t", "2024-01-01T00:00:00Z", tag="v1.0.0")
    made.evidence.write(Evidence("version", Subject("commit", "0123abcd"), "k", facts=version, job="local"))
    return made


def configured(context: Context, text: str) -> Context:
    (context.root / "pipeline.toml").write_text(text)
    return replace(context, settings=settings_of(context.root))


def settings_of(root: Path) -> Settings:
    return load_settings(root, {}, {})


def failed(evidence: Evidence, context: Context) -> set[str]:
    judged = verdict(evidence.findings, step.threshold(context), [], context.now.date())
    return {one.finding.rule for one in judged if one.outcome is Outcome.FAILED}


def test_the_step_judges_what_was_built(context: Context) -> None:
    evidence = step.run(context)
    assert not evidence.error
    assert isinstance(evidence.facts, PolicyFacts)
    assert evidence.facts.judged == {
        "Dockerfile": ("pipeline.dockerfile",),
        "image": ("pipeline.image",),
        "release": ("pipeline.release",),
    }
    assert failed(evidence, context) == set()
    assert {one.rule for one in evidence.findings if one.observed == "violation"} >= {"DF020", "DF011"}
    assert not {one.rule for one in evidence.findings if one.observed == "violation" and one.rule[:2] in {"IM", "RE"}}


def test_equal_inputs_are_not_judged_again(context: Context) -> None:
    first = replace_job(step.run(context))
    context.evidence.write(first)
    assert step.run(context) == first
    (context.root / "own.rego").write_text('package acme.image\ndeny contains "x" if true\n')
    changed = configured(context, '[policy]\npaths = ["own.rego"]\n')
    assert step.run(changed).key != first.key


def replace_job(evidence: Evidence) -> Evidence:
    from msgspec.structs import replace as renew

    return renew(evidence, job="local")


def test_a_dockerfile_that_was_changed_since_is_an_error(context: Context) -> None:
    (context.root / "Dockerfile").write_bytes(ORDINARY + b"USER app\n")
    with pytest.raises(UsageError, match="changed since"):
        step.run(context)


def test_in_a_release_the_dockerfiles_findings_are_those_of_check(context: Context) -> None:
    finding = Finding("DF999", "from check", Severity.CRITICAL, "dockerfile", where="Dockerfile", line=3)
    facts = CheckFacts(digest_of(ORDINARY))
    context.evidence.write(Evidence("check", Subject("commit", "c"), "k", facts=facts, findings=(finding,), job="local"))
    released = replace(context, options=Options(release=True))
    evidence = step.run(released)
    assert {one.rule for one in evidence.findings if one.rule.startswith("DF")} == {"DF999"}
    assert failed(evidence, released) == {"DF999"}
    assert "DF999" not in {one.rule for one in step.run(context).findings}


def test_another_image_or_a_dirty_tree_fails_a_release(context: Context) -> None:
    dirty = VersionFacts("1.0.1", "4567", "t", "2024-01-01T00:00:00Z", clean=False)
    context.evidence.write(Evidence("version", Subject("commit", "4567"), "k", facts=dirty, job="local"))
    released = replace(context, options=Options(release=True))
    evidence = step.run(released)
    assert failed(evidence, released) == {"RE001", "RE002"}


def test_manifests_are_judged_by_their_patterns(context: Context) -> None:
    (context.root / "k8s").mkdir()
    (context.root / "k8s" / "a.yaml").write_text("---\n".join(POD % number for number in (1, 2)))
    found = configured(context, '[policy]\nmanifests = ["k8s/*.yaml", "**/a.yaml"]\n')
    evidence = step.run(found)
    assert [one.line for one in evidence.findings if one.rule == "KU010"] == [1, 6]
    with pytest.raises(UsageError, match="names no file"):
        step.run(configured(context, '[policy]\nmanifests = ["k9s/*.yaml"]\n'))


def test_what_could_not_be_judged_is_the_steps_error(context: Context) -> None:
    (context.root / "own.rego").write_text('package acme.image\ndeny contains "x" if to_number(input.user) > to_number("many")\n')
    evidence = step.run(configured(context, '[policy]\npaths = ["own.rego"]\n'))
    assert "acme.image could not judge" in evidence.error
    assert evidence.findings
