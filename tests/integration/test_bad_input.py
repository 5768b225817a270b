"""Wrong repositories, files and command lines: each a clear error with its exit code, and nothing published or half-written."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import repositories
from tests.command import Answer, pipeline
from tests.integration import projects
from tests.integration.outcomes import digest, explains, half_written, version_tags
from tests.integration.projects import Project
from tests.integration.registries import registry_server
from tests.repositories import Repo


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def project(tmp_path: Path, registry: str, request: pytest.FixtureRequest) -> Iterator[Project]:
    with projects.project(tmp_path, registry, f"bad{abs(hash(request.node.name)) % 10**8}") as made:
        yield made
        assert half_written(made.repo.path) == []


def refused(project: Project, answer: Answer, *said: str, code: int = 2) -> None:
    explains(answer, code, *said)
    assert version_tags(project.repository) == []


@pytest.mark.parametrize("command", [("version",), ("release",), ("release", "--snapshot"), ("push",)])
def test_no_repository(tmp_path: Path, command: tuple[str, ...]) -> None:
    explains(pipeline(*command, cwd=tmp_path, env=repositories.clean_environ(tmp_path / "home")), 2, "no git repository", "git init")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_no_commit(project: Project) -> None:
    project.repo.git("switch", "--quiet", "--orphan", "unborn")
    project.repo.file("pipeline.toml", f'[image]\nrepository = "{project.repository}"\n')
    refused(project, project.run("release"), "there is no commit yet")


def test_no_tag(project: Project) -> None:
    refused(project, project.run("release"), "no version tag", "git tag v0.1.0")


def test_a_shallow_clone(project: Project, tmp_path: Path) -> None:
    project.repo.tag("v1.0.0")
    project.repo.commit("after the tag")
    shallow = Repo(tmp_path / "shallow")
    project.repo.git("clone", "--quiet", "--depth=1", f"file://{project.repo.path}", str(shallow.path))
    answer = pipeline("release", cwd=shallow.path, env=project.env)
    refused(project, answer, "shallow clone", "GIT_DEPTH: 0", "fetch-depth: 0")


def test_changed_files(project: Project) -> None:
    project.repo.tag("v1.0.0")
    project.repo.file("www/index.html", "changed\n")
    refused(project, project.run("release"), "changed", "commit")


@pytest.mark.parametrize("tag", ["nightly", "v1.2", "v1.2.3.4", "1.2.3-", "v01.2.3"])
def test_a_pushed_tag_that_is_no_version(project: Project, tag: str) -> None:
    project.repo.tag(tag)
    for environ in (
        {"GITLAB_CI": "true", "CI_COMMIT_TAG": tag},
        {"GITHUB_ACTIONS": "true", "GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": tag},
    ):
        answer = project.run("release", **environ)
        refused(project, answer, f"the pushed tag {tag} is not a semantic version", "v1.2.3")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "there is no Dockerfile or Dockerfile.multistage"),
        (lambda path: path.write_text("FROM scratch\nCOPPY a /b\n"), "Dockerfile:2"),
        (lambda path: path.write_text("FROM scratch\nCOPY <<EOF /a\nnever ends\n"), "Dockerfile:2"),
        (lambda path: path.write_bytes(b"FROM scratch\nLABEL a=\xff\xfe\n"), "Dockerfile:2"),
        (lambda path: path.write_text(""), "Dockerfile"),
        (lambda path: path.write_text('FROM scratch\nLABEL a="open\n'), "Dockerfile:2"),
        (lambda path: (path.unlink(), path.mkdir()), "there is no Dockerfile"),
    ],
    ids=["missing", "unknown instruction", "open heredoc", "not utf-8", "empty", "open quote", "a folder"],
)
def test_a_dockerfile_that_cannot_be_built(project: Project, spoil: Callable[[Path], object], said: str) -> None:
    spoil(project.repo.path / "Dockerfile")
    refused(project, project.release("v1.0.0"), said)


@pytest.mark.parametrize(
    ("added", "said"),
    [
        ("[scan]\nfail_on = []\n", "pipeline.toml:2: unknown key `fail_on` in [scan]"),
        ("[scan]\ntimeout = '5m'\n[policy]\ntimeouts = '5m'\n", "pipeline.toml:4: unknown key `timeouts` in [policy]"),
        ("[scan]\npaths = []\n[policy]\npaths = []\n", "pipeline.toml:2: unknown key `paths` in [scan]"),
        (
            "[environments.x]\nprobe = { http = 'http://127.0.0.1/', intervall = '1s' }\n",
            "pipeline.toml:2: unknown key `intervall` in [environments.x.probe]",
        ),
        ("[image\n", "pipeline.toml:1"),
    ],
    ids=["underscore", "second of two tables", "first of two tables", "inline table", "not TOML"],
)
def test_an_unknown_key_is_named_with_its_line(project: Project, added: str, said: str) -> None:
    project.repo.file("pipeline.toml", added)
    answer = project.release("v1.0.0")
    assert answer.code == 2
    assert said in answer.err
    assert version_tags(project.repository) == []


def test_the_second_of_two_waivers_is_named(project: Project) -> None:
    whole = 'id = "CVE-2022-0778"\nreason = "not reachable"\nowner = "team"\nexpires = 2999-01-01\n'
    project.repo.file("waivers.toml", f"[[waiver]]\n{whole}\n[[waiver]]\n{whole}pakage = 'openssl'\n")
    refused(project, project.release("v1.0.0"), "waivers.toml:12: unknown key `pakage` in [waiver[1]]", "did you mean `package`?")


@pytest.mark.parametrize("command", [("release", "--to", "stagging"), ("deploy", "stagging")])
def test_an_environment_that_does_not_exist_is_refused_before_anything_is_done(project: Project, command: tuple[str, ...]) -> None:
    project.repo.tag("v1.0.0")
    answer = project.run(*command)
    refused(project, answer, "there is no environment 'stagging'", "local")
    assert "Build" not in answer.err


def test_evidence_that_was_spoilt_counts_as_absent(project: Project) -> None:
    """Between two steps that need each other it is missed; a release finds everything out anew."""
    project.repo.tag("v1.0.0")
    assert project.run("build").code == 0
    evidence = project.repo.path / ".pipeline/evidence/default"
    whole = (evidence / "build.json").read_text()
    for spoilt in ("", "{", '{"step": "build"}', "\0" * 100, whole[: len(whole) // 2], whole.replace("/v1", "/v2")):
        (evidence / "build.json").write_text(spoilt)
        refused(project, project.run("push"), "build")
    first = project.run("release")
    assert first.code == 0, first.err
    for number, path in enumerate(sorted(evidence.iterdir())):
        content = path.read_text()
        path.write_text(content[: len(content) * number // 10])
    again = project.run("release")
    assert (again.code, again.out) == (0, first.out), again.err


def test_evidence_of_another_job_is_not_trusted(project: Project) -> None:
    project.repo.tag("v1.0.0")
    first, second = ({"GITLAB_CI": "true", "CI_PROJECT_ID": "1", "CI_JOB_ID": job, "CI_COMMIT_TAG": "v1.0.0"} for job in ("1", "2"))
    assert project.run("build", **first).code == 0
    refused(project, project.run("push", **second), "build")
    assert project.run("push", **first).code == 0


def test_two_releases_of_one_tag_at_once(project: Project, tmp_path: Path) -> None:
    """Two jobs for the same tag: both end well, and the version has one digest."""
    project.repo.tag("v1.0.0")
    clones = [projects.clone(project, tmp_path / f"clone-{number}") for number in (1, 2)]
    for places in (clones, [project, project]):
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda where: where.run("release"), places))
        assert [answer.code for answer in answers] == [0, 0], "".join(answer.err for answer in answers)
        assert {answer.out.strip() for answer in answers} == {f"{project.repository}@{digest(project.repository, '1.0.0')}"}


def test_file_names_that_are_not_text(project: Project) -> None:
    """Untracked and in the build: named in a replacement's form, not a crash."""
    project.repo.tag("v1.0.0")
    folder = project.repo.path / "www" / "new"
    folder.mkdir()
    (Path(os.fsdecode(bytes(folder) + b"/caf\xe9.txt"))).write_text("x")
    refused(project, project.run("release"), "www/new/caf")
    built = project.run("build")
    assert built.code == 0, built.err
    assert "www/new/caf" in built.err


WRONG = {
    "release": (["now"], ["--to"], ["--snapshot", "--to", "local"], ["--tag", "v1"], ["-C", "/nonexistent"]),
    "version": (["1.0"], ["--set", "1"], ["--jsno"], ["-C", "Dockerfile"], ["--json=yes"]),
    "build": (["."], ["--target"], ["--check", "--no-cache"], ["--push"], ["--target", "no-such-stage"]),
    "scan": (["image:latest"], ["--severity", "HIGH"], ["-q"], ["--json", "--jsn"], ["-C"]),
    "policy": (["policies"], ["--fail"], ["-C", "www/index.html"], ["--verbos", "x"], ["--", "x"]),
    "push": (["tag"], ["--force"], ["--to", "local"], ["--snapshot"], ["-x"]),
    "deploy": ([], ["local", "more"], ["local", "--image"], ["local", "--image", "registry.example.com/x:1"], [""]),
    "doctor": (["all"], ["--fix"], ["--json", "x"], ["-C", "nowhere"], ["--check"]),
    "tools": ([], ["instal"], ["install", "trivy"], ["install", "--mirror"], ["remove"]),
    "config": (["image.repository"], ["--shema"], ["--schema", "x"], ["get"], ["-C", "nowhere"]),
    "init": (["here"], ["--ci", "jenkins"], ["--ci"], ["--repository"], ["--force"]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    repo = repositories.new(tmp_path_factory.mktemp("usage") / "project")
    repo.write(Dockerfile="FROM scratch\nCOPY www /\n")
    repo.file("www/index.html", "one\n")
    repo.commit()
    repo.tag("v1.0.0")
    return repo


@pytest.mark.parametrize("command", WRONG)
def test_a_wrong_command_line_is_wrong_usage(folder: Repo, command: str, tmp_path: Path) -> None:
    env = repositories.clean_environ(tmp_path / "home")
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda wrong: pipeline(command, *wrong, cwd=folder.path, env=env), WRONG[command]))
    for wrong, answer in zip(WRONG[command], answers, strict=True):
        assert answer.code == 2, (wrong, answer.out, answer.err)
        assert answer.out == "", wrong
        assert len(answer.err.splitlines()) <= 9, (wrong, answer.err)
        assert "pipeline: " in answer.err or answer.err.startswith("Usage: "), (wrong, answer.err)


def test_no_command_and_an_unknown_one(folder: Repo, tmp_path: Path) -> None:
    env = repositories.clean_environ(tmp_path / "home")
    unknown = pipeline("relase", cwd=folder.path, env=env)
    assert (unknown.code, unknown.out) == (2, "")
    assert "did you mean `release`?" in unknown.err
    done = subprocess.run([sys.executable, "-m", "pipeline"], cwd=folder.path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ")
