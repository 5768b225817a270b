from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.command import Answer, pipeline
from tests.repositories import Repo, clean_environ, new

ROOT = Path(__file__).resolve().parents[2]
PLAIN = 'FROM scratch\nCOPY app /app\nUSER 1000\nHEALTHCHECK CMD ["/app"]\nENTRYPOINT ["/app"]\n'
needs_opa = pytest.mark.skipif(not shutil.which("opa"), reason="needs OPA on PATH")
needs_hadolint = pytest.mark.skipif(not shutil.which("hadolint"), reason="needs hadolint on PATH")


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = new(tmp_path / "project")
    made.file("app", "#!/bin/app\n")
    made.file("Dockerfile", PLAIN)
    made.file(".dockerignore", ".git\n")
    made.commit()
    return made


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """No engine answers: a check needs none."""
    return clean_environ(tmp_path / "home", DOCKER_HOST=f"unix://{tmp_path}/none.sock")


def check(repo: Repo, env: Mapping[str, str]) -> Answer:
    return pipeline("build", "--check", cwd=repo.path, env=env)


def evidence(repo: Repo) -> dict[str, Any]:
    found = json.loads((repo.path / ".pipeline/evidence/default/check.json").read_text())
    assert isinstance(found, dict)
    return found


def rules(repo: Repo, observed: str = "violation") -> set[str]:
    return {one["rule"] for one in evidence(repo)["findings"] if one.get("observed", "violation") == observed}


def only(tools: Path, env: Mapping[str, str], *names: str) -> dict[str, str]:
    """The environment with nothing on PATH but the system's programs, without hadolint and OPA, and those named."""
    tools.mkdir(exist_ok=True)
    for name in names:
        (tools / name).symlink_to(str(shutil.which(name)))
    system = [folder for folder in ("/usr/bin", "/bin") if not any((Path(folder) / name).exists() for name in ("opa", "hadolint"))]
    return dict(env) | {"PATH": os.pathsep.join([str(tools), *system])}


@needs_opa
def test_a_tidy_project_passes_without_an_engine(repo: Repo, env: dict[str, str]) -> None:
    answer = check(repo, env)
    assert answer.code == 0, answer.err
    assert "one stage" in answer.err
    assert "app from the context → /app" in answer.err
    found = evidence(repo)
    assert found["facts"]["final_stage"] == "0"
    assert found["facts"]["context_files"] == 3
    assert "opa" in found["tools"]
    assert {"baked-secret", "context-size", "configuration", "dockerignore"} <= rules(repo, "passed")
    assert "<testsuite" in (repo.path / ".pipeline/reports/check.xml").read_text()


@needs_opa
def test_it_says_what_ends_up_in_the_final_stage(repo: Repo, env: dict[str, str]) -> None:
    repo.file(
        "Dockerfile",
        "FROM alpine@sha256:" + "a" * 64 + " AS make\nCOPY app /src/app\nFROM scratch AS final\nCOPY --from=make /src/app /app\n",
    )
    answer = check(repo, env)
    assert answer.code == 0, answer.err
    assert "multi-stage, 2 stages; the final one is final, from scratch" in answer.err
    assert "/src/app from stage make → /app" in answer.err
    assert evidence(repo)["facts"]["stages"] == ["make", "final"]


@pytest.mark.parametrize(
    ("dockerfile", "said"),
    [
        ("FORM scratch\n", "Dockerfile:1"),
        ("FROM scratch\nRUN <<EOF\nx\n", "Dockerfile:2"),
        ("", "Dockerfile"),
        ("# syntax=example.com/own/frontend:1\nFROM scratch\n", "not pinned by digest"),
        ("# syntax=example.com/own/frontend@sha256:" + "a" * 64 + "\nFROM scratch\n", "trusted-frontends"),
    ],
)
def test_a_dockerfile_that_is_not_understood_is_an_error(repo: Repo, env: dict[str, str], dockerfile: str, said: str) -> None:
    repo.file("Dockerfile", dockerfile)
    answer = check(repo, env)
    assert answer.code == 2, answer.err
    assert said in answer.err
    assert "<error" in (repo.path / ".pipeline/reports/check.xml").read_text()


def test_no_dockerfile_is_wrong_usage(repo: Repo, env: dict[str, str]) -> None:
    (repo.path / "Dockerfile").unlink()
    answer = check(repo, env)
    assert answer.code == 2
    assert "there is no Dockerfile or Dockerfile.multistage" in answer.err


def test_an_unknown_target_is_wrong_usage(repo: Repo, env: dict[str, str]) -> None:
    repo.file("pipeline.toml", '[image]\ntarget = "prod"\n')
    answer = check(repo, env)
    assert answer.code == 2
    assert "prod" in answer.err


@needs_opa
def test_a_frontend_that_a_person_vouched_for_by_digest_is_judged(repo: Repo, env: dict[str, str]) -> None:
    frontend = "example.com/own/frontend@sha256:" + "a" * 64
    repo.file("Dockerfile", f"# syntax={frontend}\n{PLAIN}")
    repo.file("pipeline.toml", f'[image]\ntrusted-frontends = ["{frontend}"]\n')
    assert check(repo, env).code == 0


@needs_opa
def test_a_secret_that_would_be_baked_in_fails(repo: Repo, env: dict[str, str]) -> None:
    repo.file("Dockerfile", PLAIN.replace("COPY app /app", "COPY . /srv"))
    repo.file(".env", "DB_PASSWORD=hunter22\n")
    answer = check(repo, env)
    assert answer.code == 10, answer.err
    assert "hunter22" not in answer.err
    assert "baked-secret" in rules(repo)
    repo.file(".dockerignore", ".git\n.env\n")
    assert check(repo, env).code == 0


@needs_opa
def test_what_is_large_or_loose_is_a_finding(repo: Repo, env: dict[str, str]) -> None:
    (repo.path / ".dockerignore").unlink()
    repo.file("id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\n")
    repo.file("pipeline.toml", '[image]\ncontext-limit = "10B"\nallow = ["network.host"]\n[image.args]\nNPM_TOKEN = "x"\n')
    answer = check(repo, env)
    assert answer.code == 0, answer.err
    assert {"dockerignore", "git-in-context", "context-size", "secret-argument", "entitlement"} <= rules(repo)
    assert "secret-in-context" in rules(repo, "warning")
    repo.file("pipeline.toml", '[image]\ncontext-limit = "10B"\n[check]\nfail-on = ["MEDIUM"]\n')
    assert check(repo, env).code == 10


@needs_hadolint
def test_without_opa_nothing_is_judged(repo: Repo, env: dict[str, str], tmp_path: Path) -> None:
    answer = check(repo, only(tmp_path / "tools", env, "hadolint", "git"))
    assert answer.code == 3, answer.err
    assert "opa is not installed" in answer.err
    assert "<error" in (repo.path / ".pipeline/reports/check.xml").read_text()


@needs_opa
def test_without_hadolint_it_says_so_and_judges(repo: Repo, env: dict[str, str], tmp_path: Path) -> None:
    answer = check(repo, only(tmp_path / "tools", env, "opa", "git"))
    assert answer.code == 0, answer.err
    assert "hadolint is not installed" in answer.err


@needs_opa
@pytest.mark.parametrize("script", ["exit 139", "echo no json", "kill -9 $$"])
def test_a_broken_hadolint_is_an_error(repo: Repo, env: dict[str, str], tmp_path: Path, script: str) -> None:
    tools = tmp_path / "tools"
    broken = only(tools, env, "opa", "git")
    (tools / "hadolint").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "hadolint").chmod(0o755)
    answer = check(repo, broken)
    assert answer.code == 3, answer.err


@needs_opa
@needs_hadolint
def test_the_repository_cannot_switch_hadolint_off(repo: Repo, env: dict[str, str], tmp_path: Path) -> None:
    repo.file("Dockerfile", "# hadolint global ignore=DL3007\n# hadolint ignore=DL3007\n" + PLAIN.replace("scratch", "debian:latest"))
    hidden = "ignored:\n  - DL3007\n"
    repo.file(".hadolint.yaml", hidden)
    (tmp_path / "home" / ".hadolint.yaml").write_text(hidden)
    answer = check(repo, env | {"HADOLINT_IGNORE": "DL3007", "XDG_CONFIG_HOME": str(tmp_path / "home")})
    assert answer.code == 0, answer.err
    assert "DL3007" in rules(repo)


@needs_opa
def test_under_one_second_on_the_example(env: dict[str, str], tmp_path: Path) -> None:
    project = tmp_path / "agent"
    shutil.copytree(ROOT / "examples" / "agent", project, ignore=shutil.ignore_patterns(".pipeline"))
    took = []
    for _ in range(4):
        started = time.monotonic()
        answer = pipeline("build", "--check", cwd=project, env=env)
        took.append(time.monotonic() - started)
        assert answer.code == 0, answer.err
    assert min(took) < 1.0, took
