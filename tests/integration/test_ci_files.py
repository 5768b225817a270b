"""The CI files that we write and those that we use, run for real: gitlab-ci-local and act take a hosted CI's place.

What `.ci/run` alone can make is named to these tests by environment variables, and they are skipped without: `RC_TEST_WHEEL_PYTHON`,
the Python of a virtual environment with nothing but the built wheel in it; `RC_TEST_TOOLKIT_IMAGE`, the image of Dockerfile.multistage.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.integration import projects
from tests.integration.projects import Project
from tests.integration.registries import PASSWORD, USER, password_registry, registry_server

ROOT = Path(__file__).resolve().parents[2]
OWN = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TEMPLATES = ROOT / "pipeline" / "data" / "templates"
WHEEL_PYTHON = os.environ.get("RC_TEST_WHEEL_PYTHON", "")
IMAGE = os.environ.get("RC_TEST_TOOLKIT_IMAGE", "")
ANYONE = "12345"

needs_gitlab = pytest.mark.skipif(not shutil.which("gitlab-ci-local"), reason="needs gitlab-ci-local on PATH (npm)")
needs_act = pytest.mark.skipif(not shutil.which("act"), reason="needs act on PATH (go install github.com/nektos/act)")
needs_wheel = pytest.mark.skipif(not WHEEL_PYTHON, reason="needs RC_TEST_WHEEL_PYTHON: .ci/run makes it")
needs_image = pytest.mark.skipif(not IMAGE, reason="needs RC_TEST_TOOLKIT_IMAGE: .ci/run builds it")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    with registry_server(tmp_path / "registry") as address:
        yield address


def call(argv: list[str], cwd: Path, env: Mapping[str, str], timeout: float = 300) -> str:
    """What a program said, both streams together. It has to end with 0."""
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=timeout,
        check=False,
    )
    said = done.stdout.decode()
    assert done.returncode == 0, said
    return said


def in_a_job(made: Project) -> dict[str, str]:
    """The environment of a runner on this machine, on which `pipeline` is installed."""
    return made.env | {"PATH": f"{Path(sys.executable).parent}:{made.env['PATH']}"}


def start(made: Project, ci: str) -> None:
    """What `pipeline init` writes, with what a runner on this machine leaves kept out of git and of the build."""
    answer = made.run("init", "--ci", ci)
    assert answer.code == 0, answer.err
    made.repo.file(".dockerignore", ".git\n.gitlab-ci-local\n")
    made.repo.file(".gitignore", ".pipeline/\n.gitlab-ci-local/\n")


def change(path: Path, pattern: str, replacement: str) -> None:
    text, times = re.subn(pattern, replacement, path.read_text(), flags=re.MULTILINE)
    assert times, f"{pattern} is not in {path.name}"
    path.write_text(text)


@needs_gitlab
def test_the_gitlab_file_that_init_writes(tmp_path: Path) -> None:
    """A merge request goes through the gates; a tag is released with the job's own credentials; its digest is rolled out by a later job.

    The service that brings an engine is left out, as the file says for runners that have one.
    """
    with password_registry(tmp_path / "registry") as registry, projects.project(tmp_path, registry, "cigitlab") as made:
        change(made.repo.path / "pipeline.toml", r"^repository = .*\n", "")
        start(made, "gitlab")
        change(made.repo.path / ".gitlab-ci.yml", r"^  services:\n(?:    .*\n)+  variables:\n(?:    .*\n)+", "")
        made.repo.commit("init")
        made.repo.tag("v1.0.0")
        request = run_gitlab(made, {"CI_PIPELINE_SOURCE": "merge_request_event"}, "snapshot")
        assert "PASS" in request and "Publish" not in request
        given = {"CI_COMMIT_TAG": "v1.0.0", "CI_REGISTRY": registry, "CI_REGISTRY_IMAGE": made.repository}
        given |= {"CI_REGISTRY_USER": USER, "CI_REGISTRY_PASSWORD": PASSWORD}
        released = run_gitlab(made, given, "release", "deploy-local")
        assert PASSWORD not in released
        dotenv = (made.repo.path / ".gitlab-ci-local/artifacts/release/.gitlab-ci-reports/dotenv/.pipeline/pipeline.env").read_text()
        require_dotenv(dotenv)
        image = re.search(r"^PIPELINE_IMAGE=(.*)$", dotenv, re.MULTILINE)
        assert image and image[1].startswith(f"{made.repository}@sha256:")
        running = call(["docker", "inspect", "--format", "{{.Config.Image}}", made.container], made.repo.path, made.env)
        assert running.strip() == image[1]


def run_gitlab(made: Project, variables: Mapping[str, str], *jobs: str) -> str:
    given = [part for name, value in {"GITLAB_CI": "true", **variables}.items() for part in ("--variable", f"{name}={value}")]
    argv = ["gitlab-ci-local", "--force-shell-executor", "--unset-variable", "CI_COMMIT_BRANCH", *given, *jobs]
    return call(argv, made.repo.path, in_a_job(made))


def require_dotenv(text: str) -> None:
    """GitLab takes few keys and little text; ours are told from the job's own by their prefix."""
    lines = text.splitlines()
    assert 0 < len(lines) <= 10
    assert len(text.encode()) < 4096
    assert all(re.fullmatch(r"PIPELINE_[A-Z_]+=\S+", one) for one in lines), text


@needs_act
def test_the_github_file_that_init_writes(tmp_path: Path, registry: str) -> None:
    """The jobs' container is left out, as act runs them on this machine; uploading the reports is an action that does nothing here."""
    with projects.project(tmp_path, registry, "cigithub") as made:
        change(made.repo.path / "pipeline.toml", r"\n\[environments(.|\n)*", "\n")
        start(made, "github")
        change(made.repo.path / ".github/workflows/release.yml", r"^ +container:\n +image: .*\n +options: .*\n", "")
        made.repo.commit("init")
        made.repo.tag("v1.0.0")
        upload = tmp_path / "upload"
        upload.mkdir()
        (upload / "action.yml").write_text(
            "name: upload\ndescription: nothing\nruns: {using: composite, steps: [{run: 'true', shell: bash}]}\n"
        )
        request = run_act(made, "pull_request", {"pull_request": {"number": 1}, "ref": "refs/pull/1/merge"}, upload)
        assert "Job succeeded" in request and "Publish" not in request
        pushed = run_act(made, "push", {"ref": "refs/tags/v1.0.0"}, upload)
        assert re.search(rf"set-output:: image={re.escape(made.repository)}@sha256:[0-9a-f]{{64}}\s", pushed)
        assert "not-a-token" not in pushed


def run_act(made: Project, event: str, facts: Mapping[str, object], upload: Path) -> str:
    path = upload.with_name("event.json")
    path.write_text(json.dumps({**facts, "repository": {"default_branch": "main", "full_name": "example/project"}}))
    used = re.search(r"uses: (actions/upload-artifact@\S+)", (made.repo.path / ".github/workflows/release.yml").read_text())
    assert used
    here = ["--platform=ubuntu-latest=-self-hosted", "--no-cache-server", f"--action-cache-path={upload.with_name('act')}"]
    argv = ["act", event, f"--eventpath={path}", *here, f"--local-repository={used[1]}={upload}", "--secret=GITHUB_TOKEN=not-a-token"]
    return call(argv, made.repo.path, in_a_job(made))


@pytest.mark.parametrize("path", [*OWN, TEMPLATES / "github-release.yml"], ids=lambda path: path.name)
def test_a_strangers_change_never_meets_a_right_to_write(path: Path) -> None:
    """Nothing is granted to a whole workflow, and a job that may write does not run for pull requests."""
    text = path.read_text()
    assert "pull_request_target" not in text
    assert "workflow_run" not in text
    head, jobs = text.split("\njobs:\n")
    assert "\npermissions: {}\n" in head
    by_itself = [
        job for job in re.split(r"\n(?=  [\w-]+:\n)", jobs) if "pull_request" not in head or "github.event_name == 'push'" not in job
    ]
    assert "pull_request" not in head or not [job for job in by_itself if re.search(r": write\b", job)]


@needs_wheel
def test_the_wheel_releases_a_project(tmp_path: Path, registry: str) -> None:
    with projects.project(tmp_path, registry, "ciwheel") as made:
        made.repo.tag("v1.0.0")
        code = "from pipeline import resources; print(resources.policies())"
        policies = call([WHEEL_PYTHON, "-c", code], tmp_path, made.env).strip()
        assert Path(policies).is_relative_to(Path(WHEEL_PYTHON).parents[1]), "the policies are not the wheel's"
        said = call([str(Path(WHEEL_PYTHON).with_name("pipeline")), "release", "--to", "local"], made.repo.path, made.env)
        assert f"{made.repository}:1.0.0 is sha256:" in said
        assert "Policy    passed" in said


@needs_image
def test_the_image_runs_as_anyone(tmp_path: Path, registry: str) -> None:
    """Any user, a checkout of another one, and the engine's socket: what a job on a shared runner has."""
    with projects.project(tmp_path, registry, "ciimage") as made:
        made.repo.tag("v1.0.0")
        tmp_path.chmod(0o755)
        (made.repo.path / ".pipeline").mkdir()
        (made.repo.path / ".pipeline").chmod(0o777)
        assert call(in_image(made, "pipeline", "--version"), tmp_path, made.env).startswith("pipeline ")
        assert "1.0.0" in call(in_image(made, "pipeline", "version"), tmp_path, made.env).splitlines()
        looked = call(in_image(made, "pipeline", "doctor"), tmp_path, made.env)
        assert "✗" not in looked, looked
        said = call(in_image(made, "pipeline", "release", "--snapshot"), tmp_path, made.env)
        assert "Scan      passed" in said
        assert "Publish" not in said


def in_image(made: Project, *argv: str) -> list[str]:
    """The command line of a container with the project at its own path, and the engine of this machine."""
    tmp = made.repo.path.parent
    socket = Path("/var/run/docker.sock")
    mounts = [f"--volume={socket}:{socket}", f"--volume={tmp}:{tmp}"]
    who = [f"--user={ANYONE}:{ANYONE}", f"--group-add={socket.stat().st_gid}"]
    return ["docker", "run", "--rm", "--network=host", *who, *mounts, f"--workdir={made.repo.path}", IMAGE, *argv]
