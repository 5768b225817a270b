"""The step: from the configuration and the job's credentials to a rollout and its evidence."""

from __future__ import annotations

import io
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from pipeline.config.load import load
from pipeline.console import Console
from pipeline.context import Context, Options
from pipeline.core.cancel import Cancel
from pipeline.core.job import Job
from pipeline.core.record import DeployFacts, Evidence, PublishFacts, Subject
from pipeline.errors import RolledBackError, ToolError, UsageError
from pipeline.evidence import Store
from pipeline.steps import deploy
from tests.integration.registries import PASSWORD, USER, password_registry
from tests.integration.rollouts import Bench, bench, build, engine, forget, images

__all__ = ["bench", "engine", "images"]


def _context(bench: Bench, image: str, job: Job) -> Context:
    (bench.folder / "pipeline.toml").write_text(f"""
[environments.test]
probe = {{ http = "http://127.0.0.1:{bench.port}/healthz", interval = "50ms", successes = 2, timeout = "3s" }}
[environments.test.container]
name = "{bench.name}"
ports = ["127.0.0.1:{bench.port}:8080"]
secrets = {{ API_KEY = {{ env = "API_KEY" }} }}
""")
    environ = {"HOME": str(bench.folder), "API_KEY": "s3cret-value"}
    environ |= {name: os.environ[name] for name in ("PATH", "DOCKER_HOST") if name in os.environ}
    store = Store(bench.folder / ".pipeline", job.id)
    repository, at, digest = image.partition("@")
    if at:
        facts = PublishFacts(repository=repository, manifest=digest, config="", version="1.0.0", commit="")
        store.write(Evidence("publish", Subject("manifest", digest), "", facts=facts, job=job.id))
    return Context(
        root=bench.folder,
        settings=load(bench.folder, environ, {}),
        job=job,
        evidence=store,
        console=Console(io.StringIO()),
        cancel=Cancel(),
        environ=environ,
        now=datetime.now(UTC),
        options=Options(to=("test",), image="" if at else image),
    )


def test_the_step_pulls_with_the_jobs_credentials_and_leaves_evidence(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with password_registry(tmp_path / "registry") as address:
        auth = {"username": USER, "password": PASSWORD}
        one, sick = (build(bench.client, tmp_path / "images", address, kind, auth) for kind in ("one", "sick"))
        for image in (one, sick):
            forget(bench.client, image)
        anonymous = _context(bench, one, Job())
        with pytest.raises(ToolError, match="cannot be pulled"):
            deploy.run(anonymous)
        job = Job(registry=address, registry_user=USER, registry_password=PASSWORD)
        evidence = deploy.run(_context(bench, one, job))
        assert isinstance(evidence.facts, DeployFacts)
        assert (evidence.facts.outcome, evidence.subject.digest) == ("succeeded", one.partition("@")[2])
        failing = _context(bench, sick, job)
        with pytest.raises(RolledBackError):
            deploy.run(failing)
        facts = failing.evidence.facts("deploy", DeployFacts)
        assert (facts.outcome, facts.previous, facts.log[:2]) == ("rolled-back", one, ("starting", "key=***"))
        printed = cast(io.StringIO, failing.console.stream).getvalue()
        assert "  │ key=***" in printed
        assert "\x1b" not in printed
        assert "s3cret-value" not in printed
        assert [path.name for path in (bench.folder / ".pipeline" / "rollout").iterdir()]
        bench.clear()
        for image in (one, sick):
            forget(bench.client, image)


@pytest.mark.parametrize("image", ["127.0.0.1:5000/agent:1.0.0", "127.0.0.1:5000/agent", ""])
def test_without_a_digest_nothing_is_deployed(bench: Bench, image: str) -> None:
    with pytest.raises(UsageError, match=r"names no digest|nothing was published"):
        deploy.run(_context(bench, image, Job()))
