"""In a job no `docker login` is needed, and the job's secrets stay where they are: in no output, log, evidence, argument list or file."""

from __future__ import annotations

import json
import os
import shutil
import stat
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.calls import PROGRAMS
from tests.integration import projects
from tests.integration.projects import DOCKERFILE, Project
from tests.integration.registries import PASSWORD, USER, password_registry

SECRET, ARGUMENT, TOKEN = "correct-horse-battery-staple", "argument-of-this-job-5150", "glpat-fLy9Xw3Kq7Vd"
# Tells every argument, and the environment that the program was given, one line of JSON a call.
WRAPPER = """#!{python} -IS
import json, os, sys
with open({log!r}, "a") as log:
    log.write(json.dumps({{"program": {name!r}, "argv": sys.argv, "environ": dict(os.environ)}}) + "\\n")
os.execv({program!r}, [{program!r}, *sys.argv[1:]])
"""
LOUD = """ARG WHERE
RUN --mount=type=secret,id=token ["/bin/busybox", "sh", "-c", "echo the secret is $(/bin/busybox cat /run/secrets/token), from $WHERE"]
"""


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with password_registry(tmp_path_factory.mktemp("locked")) as address:
        yield address


@pytest.fixture
def project(tmp_path: Path, locked: str, request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project in a GitLab job with an empty HOME and a folder of its own for temporary files."""
    with projects.project(tmp_path, locked, f"ci{abs(hash(request.node.name)) % 10**8}") as made:
        text = (made.repo.path / "pipeline.toml").read_text().replace(f'repository = "{made.repository}"\n', "")
        made.repo.file("pipeline.toml", text)
        made.repo.commit("the registry is the job's")
        made.repo.tag("v1.0.0")
        (tmp_path / "tmp").mkdir()
        made.env |= {
            "GITLAB_CI": "true",
            "CI_PROJECT_ID": "7",
            "CI_JOB_ID": "8",
            "CI_COMMIT_TAG": "v1.0.0",
            "CI_REGISTRY": locked,
            "CI_REGISTRY_IMAGE": made.repository,
            "CI_REGISTRY_USER": USER,
            "CI_REGISTRY_PASSWORD": PASSWORD,
            "CI_JOB_TOKEN": TOKEN,
            "TMPDIR": str(tmp_path / "tmp"),
        }
        yield made
        assert list((tmp_path / "tmp").iterdir()) == [], "private files are gone"
        assert not (tmp_path / "home" / ".docker").exists()


def test_a_release_without_docker_login(project: Project, tmp_path: Path) -> None:
    first = project.run("release", "--to", "local")
    assert first.code == 0, first.err
    image = first.out.strip()
    assert image.startswith(f"{project.repository}@sha256:")
    again = project.run("release", "--to", "local")
    assert (again.code, again.out) == (0, first.out), again.err
    assert "nothing was changed" in again.err


def test_another_job_adopts_and_judges_it_where_it_is(project: Project, tmp_path: Path) -> None:
    """A fresh clone has no evidence: layers are hashed and Trivy scans in the registry, all with the job's credentials."""
    first = project.run("release")
    assert first.code == 0, first.err
    other = projects.clone(project, tmp_path / "clone").run("release", "--to", "local", CI_JOB_ID="9")
    assert (other.code, other.out) == (0, first.out), other.err
    scan = json.loads((tmp_path / "clone/.pipeline/evidence/default/scan.json").read_text())
    assert scan["facts"]["reference"] == first.out.strip()


def test_a_later_job_deploys_with_its_own_login(project: Project, tmp_path: Path) -> None:
    image = project.run("release").out.strip()
    deployed = projects.clone(project, tmp_path / "clone").run("deploy", "local", CI_JOB_ID="9", PIPELINE_IMAGE=image)
    assert deployed.code == 0, deployed.err


def test_the_users_own_docker_configuration_still_counts(project: Project, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "config.json").write_text(json.dumps({"HttpHeaders": {"X-Mine": "1"}, "currentContext": "mine"}))
    answer = project.run("release", DOCKER_CONFIG=str(own))
    assert answer.code == 2, answer.err
    assert "the docker context mine does not exist" in answer.err
    (own / "config.json").write_text(json.dumps({"auths": {"registry.example.com": {"auth": "YTpi"}}}))
    assert project.run("release", DOCKER_CONFIG=str(own)).code == 0
    assert json.loads((own / "config.json").read_text()) == {"auths": {"registry.example.com": {"auth": "YTpi"}}}


@pytest.fixture
def calls(project: Project, tmp_path: Path) -> Path:
    """A log of every program that the project's runs start."""
    folder, log = tmp_path / "programs", tmp_path / "calls"
    folder.mkdir()
    for name in PROGRAMS:
        program = shutil.which(name, path=project.env["PATH"])
        if program:
            (folder / name).write_text(WRAPPER.format(python=shutil.which("python3"), log=str(log), name=name, program=program))
            (folder / name).chmod(0o755)
    project.env["PATH"] = f"{folder}{os.pathsep}{project.env['PATH']}"
    return log


@pytest.mark.parametrize("system", ["gitlab", "github"])
@pytest.mark.parametrize("ends", ["well", "badly"])
def test_no_secret_is_anywhere(project: Project, calls: Path, tmp_path: Path, system: str, ends: str) -> None:
    loud = LOUD + ('RUN ["/bin/busybox", "false"]\n' if ends == "badly" else "")
    project.repo.file("Dockerfile", DOCKERFILE.replace("\nFROM base\n", f"\n{loud}\nFROM base\n"))
    text = (project.repo.path / "pipeline.toml").read_text()
    image = f'repository = "{project.repository}"\nargs = {{ WHERE = "${{WHERE}}" }}\nsecrets = {{ token = {{ env = "BUILD_TOKEN" }} }}\n'
    project.repo.file("pipeline.toml", text.replace("[image]\n", f"[image]\n{image}"))
    project.repo.git("tag", "-d", "v1.0.0")
    environ = {"BUILD_TOKEN": SECRET, "WHERE": ARGUMENT}
    if system == "github":
        environ |= {"GITLAB_CI": "", "GITHUB_ACTIONS": "true", "GITHUB_TOKEN": TOKEN, "GITHUB_OUTPUT": str(tmp_path / "output")}
        environ |= {"GITHUB_ACTOR": USER, "DOCKER_CONFIG": str(_logged_in(project, tmp_path))}
    answer = project.release("v1.0.0", "--debug", "--no-cache", **environ)
    assert answer.code == (0 if ends == "well" else 3), answer.err
    assert "the secret is ***, from ***" in answer.err
    assert calls.exists()
    _nowhere(answer.out + _without_masks(answer.err), "output")
    for call in map(json.loads, calls.read_text().splitlines()):
        _nowhere(json.dumps(call["argv"]), f"the arguments of {call['program']}")
        if call["program"] in {"trivy", "opa", "hadolint"}:
            _nowhere(json.dumps(call["environ"]), f"the environment of {call['program']}")
    for folder in (project.repo.path / ".pipeline", tmp_path / "tmp", tmp_path / "home"):
        for path in (path for path in folder.rglob("*") if path.is_file()):
            _nowhere(path.read_text(errors="replace"), str(path))
    log = project.repo.path / ".pipeline" / "debug.jsonl"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert (project.repo.path / ".pipeline/evidence/default/publish.json").exists() == (ends == "well")


def _logged_in(project: Project, tmp_path: Path) -> Path:
    """What `docker login` leaves: GitHub's own token is for its own registry."""
    folder = tmp_path / "logged-in"
    folder.mkdir()
    auth = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {project.registry: {"auth": auth}}}))
    return folder


def _without_masks(log: str) -> str:
    """GitHub is told what to hide by a command that it does not show."""
    return "\n".join(line for line in log.split("\n") if not line.startswith("::add-mask::"))


def _nowhere(text: str, where: str) -> None:
    for secret in (SECRET, ARGUMENT, TOKEN, PASSWORD):
        assert secret not in text, f"{secret} is in {where}"
