"""Disks that are full or may not be written: a clear error, exit 3, and nothing half-written or published."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import Answer
from tests.integration import projects
from tests.integration.outcomes import explains, half_written, version_tags
from tests.integration.projects import Project
from tests.integration.registries import registry_server


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def project(tmp_path: Path, registry: str, request: pytest.FixtureRequest) -> Iterator[Project]:
    with projects.project(tmp_path, registry, f"disk{abs(hash(request.node.name)) % 10**8}") as made:
        made.repo.tag("v1.0.0")
        yield made


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Something mounted on `folder`, which is made where it is missing; skips the test where that is not allowed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        yield folder


def stopped(project: Project, answer: Answer, *said: str) -> None:
    explains(answer, 3, *said)
    assert "Logging error" not in answer.err
    assert version_tags(project.repository) == []
    assert half_written(project.repo.path) == []


@pytest.mark.parametrize("pages", [0, 2, 6])
def test_a_full_disk_under_the_evidence(project: Project, pages: int) -> None:
    """However far it comes: with no room at all, or with room for the first files only."""
    with mounted(project.repo.path / ".pipeline", "-t", "tmpfs", "-o", "size=1m", "tmpfs") as folder:
        filler = folder / "filler"
        filler.write_bytes(b"x" * ((1 << 20) - pages * 4096))
        stopped(project, project.run("release"), "No space left on device", ".pipeline")
        filler.unlink()
        assert project.run("release").code == 0


@pytest.mark.parametrize("kib", [4, 64])
def test_a_full_disk_under_temporary_files(project: Project, tmp_path: Path, kib: int) -> None:
    with mounted(tmp_path / "tmp", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs") as folder:
        (folder / "filler").write_bytes(b"x" * (kib - 4) * 1024)
        answer = project.run("release", TMPDIR=str(folder))
        stopped(project, answer, "o space left on device")
        assert [path.name for path in folder.iterdir()] == ["filler"]
    assert project.run("release").code == 0


def test_a_project_that_may_not_be_written(project: Project) -> None:
    with read_only(project.repo.path):
        stopped(project, project.run("release"), "Read-only file system")
        assert project.run("version").code == 3
        assert not (project.repo.path / ".pipeline").exists()


def test_a_file_in_the_place_of_our_folder(project: Project) -> None:
    project.repo.file(".pipeline", "mine\n")
    explains(project.run("release", "--include-untracked"), 3, ".pipeline")
    assert (project.repo.path / ".pipeline").read_text() == "mine\n"
    assert version_tags(project.repository) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_init_on_a_full_disk_writes_whole_files_or_none(project: Project) -> None:
    with mounted(project.repo.path / "small", "-t", "tmpfs", "-o", "size=8k", "tmpfs") as folder:
        subprocess.run(["git", "init", "--quiet", str(folder)], env=project.env, check=False, capture_output=True)
        answer = project.run("init", "-C", str(folder))
        explains(answer, 3, "No space left on device")
        assert all(path.stat().st_size for path in folder.iterdir() if path.is_file())
