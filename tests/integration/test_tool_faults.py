"""Tools that are missing, crash, hang or talk nonsense in a release: never a pass, exit 3, an `<error>` in JUnit, nothing published."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import Answer
from tests.integration import projects
from tests.integration.outcomes import cases, explains, half_written, version_tags
from tests.integration.projects import Project
from tests.integration.registries import registry_server

TRIVY = """#!/bin/sh
case "$1" in version) exec {trivy} "$@" ;; esac
{body}
"""
OPA = """#!/bin/sh
case "$1" in eval) ;; *) exec {opa} "$@" ;; esac
{body}
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def project(tmp_path: Path, registry: str, request: pytest.FixtureRequest) -> Iterator[Project]:
    with projects.project(tmp_path, registry, f"tool{abs(hash(request.node.name)) % 10**8}") as made:
        made.repo.tag("v1.0.0")
        yield made
        assert half_written(made.repo.path) == []


def real(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"needs {name}")
    return found


def before(project: Project, tmp_path: Path, **scripts: str) -> str:
    """The PATH with these scripts before everything else, each in the place of a program."""
    folder = tmp_path / "fakes"
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{project.env['PATH']}"


def only(tmp_path: Path, *names: str) -> str:
    """A PATH with these programs and no others."""
    folder = tmp_path / "only"
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(real(name))
    return str(folder)


def unjudged(project: Project, answer: Answer, gate: str, *said: str) -> None:
    explains(answer, 3, *said)
    assert cases(project.repo.path, gate, "error") == ["could not judge"]
    assert version_tags(project.repository) == []


@pytest.mark.parametrize(
    ("body", "trivy", "opa"),
    [
        ("echo 'panic: out of memory' >&2; exit 2", "trivy ended with exit code 2", "opa: ended with exit code 2"),
        ("kill -SEGV $$", "exit code -11", "exit code -11"),
        ("echo '<html>come back later</html>'", "Trivy's report cannot be understood", "opa: "),
        ('printf \'{"SchemaVersion": 2, "Results": [\'', "Trivy's report cannot be understood: Input data was truncated", "opa: "),
        ("echo '{}'", "Trivy's report cannot be understood", "opa: "),
        ("exit 0", "Trivy's report cannot be understood", "opa: "),
    ],
    ids=["crash", "signal", "another format", "cut off", "empty", "silent"],
)
def test_gates_whose_tools_do_not_judge(project: Project, tmp_path: Path, body: str, trivy: str, opa: str) -> None:
    scripts = {"trivy": TRIVY.format(trivy=real("trivy"), body=body), "opa": OPA.format(opa=real("opa"), body=body)}
    answer = project.run("release", PATH=before(project, tmp_path, **scripts))
    for gate, said in {"check": opa, "scan": trivy, "policy": opa}.items():
        unjudged(project, answer, gate, said)


def test_when_the_tools_are_well_again_it_finishes(project: Project, tmp_path: Path) -> None:
    broken = before(project, tmp_path, trivy="#!/bin/sh\nexit 1\n", opa="#!/bin/sh\nexit 1\n")
    assert project.run("release", PATH=broken).code == 3
    answer = project.run("release")
    assert answer.code == 0, answer.err
    assert [cases(project.repo.path, gate, "error") for gate in ("check", "scan", "policy")] == [[], [], []]
    assert version_tags(project.repository) == ["1.0.0"]


def test_gates_that_hang_are_stopped(project: Project, tmp_path: Path) -> None:
    """Trivy's own timeout is ours plus its grace; OPA answers `check` and hangs in `policy`."""
    mark = tmp_path / "asked"
    opa = OPA.format(opa=real("opa"), body=f'[ -e {mark} ] && exec sleep 300; touch {mark}; exec {real("opa")} "$@"')
    path = before(project, tmp_path, trivy=TRIVY.format(trivy=real("trivy"), body="exec sleep 300"), opa=opa)
    text = (project.repo.path / "pipeline.toml").read_text().replace("[scan]\n", '[policy]\ntimeout = "1s"\n\n[scan]\ntimeout = "1s"\n')
    project.repo.file("pipeline.toml", text)
    answer = project.release("v1.0.1", PATH=path)
    for gate in ("scan", "policy"):
        unjudged(project, answer, gate, "did not end in time")


@pytest.mark.parametrize(("missing", "gates"), [("trivy", ["scan"]), ("opa", ["check", "policy"])])
def test_a_gate_without_its_tool(project: Project, tmp_path: Path, missing: str, gates: list[str]) -> None:
    path = only(tmp_path, *({"git", "docker", "trivy", "opa"} - {missing}))
    answer = project.run("release", PATH=path)
    for gate in gates:
        unjudged(project, answer, gate, f"{missing} is not installed")
    assert "pipeline tools install" in answer.err


def test_a_snapshot_without_trivy_is_no_pass_either(project: Project, tmp_path: Path) -> None:
    unjudged(project, project.run("release", "--snapshot", PATH=only(tmp_path, "git", "docker", "opa")), "scan", "trivy is not installed")


@pytest.mark.parametrize("kind", ["no socket", "nobody behind it", "nothing listens", "nonsense"])
def test_an_engine_that_does_not_answer(project: Project, tmp_path: Path, kind: str) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
        host = {
            "no socket": f"unix://{tmp_path}/none.sock",
            "nobody behind it": f"unix://{tmp_path}/dead.sock",
            "nothing listens": "tcp://127.0.0.1:1",
            "nonsense": "what?",
        }[kind]
        answer = project.run("release", DOCKER_HOST=host)
    explains(answer, 3, f"no Docker engine answers at {host}")
    assert version_tags(project.repository) == []
    assert cases(project.repo.path, "check", "error") == []


@pytest.mark.parametrize("plugin", ["#!/bin/sh\nexit 1\n", "not a program"], ids=["broken", "not a program"])
def test_a_docker_without_buildx(project: Project, tmp_path: Path, plugin: str) -> None:
    """A plugin in the user's own folder comes before the system's: one that is broken hides it."""
    own = tmp_path / "docker-config" / "cli-plugins"
    own.mkdir(parents=True)
    (own / "docker-buildx").write_text(plugin)
    (own / "docker-buildx").chmod(0o755)
    answer = project.run("release", DOCKER_CONFIG=str(own.parent))
    explains(answer, 3, "no buildx that works", "docker-buildx")
    assert version_tags(project.repository) == []


def test_without_docker_or_git(project: Project, tmp_path: Path) -> None:
    path = only(tmp_path, "git", "trivy", "opa")
    explains(project.run("release", PATH=path), 3, "the docker command is not installed")
    explains(project.run("release", PATH="/nonexistent"), 3, "git is not installed")
    assert version_tags(project.repository) == []
