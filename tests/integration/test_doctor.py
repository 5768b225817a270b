"""`pipeline doctor` on this machine, whole and with parts missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import projects
from tests.integration.projects import Project
from tests.integration.registries import password_registry, registry_server


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with registry_server(tmp_path / "registry") as address, projects.project(tmp_path, address, "doctor") as made:
        yield made


def states(project: Project, **environ: str) -> tuple[int, dict[str, str], str]:
    answer = project.run("doctor", "--json", **environ)
    return answer.code, {look["name"]: look["state"] for look in json.loads(answer.out)}, answer.err


def without(program: str, tmp: Path) -> str:
    """A PATH on which `program` is not."""
    folder = tmp / f"without-{program}"
    folder.mkdir()
    for name in ("git", "docker", "trivy", "opa", "sh"):
        found = shutil.which(name)
        if found and name != program:
            (folder / name).symlink_to(found)
    return str(folder)


def test_a_machine_that_is_ready(project: Project) -> None:
    code, looks, _ = states(project)
    assert code == 0
    assert {"git", "docker", "buildx", "trivy", "opa", "registry push", "disk", "memory"} <= set(looks)
    assert set(looks.values()) <= {"good", "absent"}


@pytest.mark.parametrize(
    ("program", "mend"), [("opa", "pipeline tools install"), ("trivy", "pipeline tools install"), ("git", "git is not installed")]
)
def test_a_missing_program_is_red_with_its_mend(project: Project, tmp_path: Path, program: str, mend: str) -> None:
    code, looks, said = states(project, PATH=without(program, tmp_path))
    assert code == 3
    assert [name for name, state in looks.items() if state == "bad"] == [program]
    assert mend in said


def test_an_engine_that_does_not_answer(project: Project) -> None:
    code, looks, said = states(project, DOCKER_HOST="unix:///nonexistent.sock")
    assert (code, looks["docker"]) == (3, "bad")
    assert "nonexistent.sock" in said


def test_a_registry_that_wants_a_password(project: Project, tmp_path: Path) -> None:
    with password_registry(tmp_path / "closed") as address:
        text = (project.repo.path / "pipeline.toml").read_text().replace(project.registry, address)
        project.repo.file("pipeline.toml", text)
        code, looks, _ = states(project)
    assert code == 3
    assert "bad" in {state for name, state in looks.items() if name.startswith("registry")}


def test_nothing_is_left_in_the_registry(project: Project) -> None:
    assert states(project)[0] == 0
    assert not list(Path(project.repo.path.parent, "registry").rglob("_manifests"))
