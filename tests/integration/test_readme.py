"""The README followed word for word: what it shows is what happens, but for digests, times, sizes and addresses."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import documents
from tests.documents import ROOT, Block
from tests.integration import projects
from tests.integration.projects import Project
from tests.integration.registries import registry_server

README = ROOT / "README.md"
# hadolint is left out, as on the machine that the transcripts are from: its remarks would be among them.
PROGRAMS = ("git", "docker", "trivy", "opa")
# One pattern for each thing that differs from run to run, and what stands for it.
DIFFERENT = (
    (r"sha256:[0-9a-f]+(?:…[0-9a-f]+)?", "sha256:DIGEST"),
    (r"\bcommit [0-9a-f]{12}\b", "commit COMMIT"),
    (r"\d+\.\d+ s\b", "TIME"),
    (r"\d+\.\d+ MB\b", "SIZE"),
    (r"\b\d+ files\b", "FILES"),
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """The small web server of the README, in a repository with an address."""
    path = tmp_path / "bin"
    path.mkdir()
    for name in PROGRAMS:
        program = shutil.which(name)
        if not program:
            pytest.skip(f"{name} is not installed")
        (path / name).symlink_to(program)
    (path / "pipeline").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pipeline "$@"\n')
    (path / "pipeline").chmod(0o755)
    with registry_server(tmp_path / "registry") as address, projects.project(tmp_path, address, "readme", path=str(path)) as made:
        made.repo.git("remote", "add", "origin", "https://git.example.com/team/hello.git")
        made.env |= {f"GIT_{role}_{what}": "ada@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        made.env["PYTHONPATH"] = str(ROOT)
        yield made


def local(project: Project, text: str) -> str:
    """What the README says, with the addresses and names of this test."""
    text = text.replace("registry.example.com/team/hello", project.repository).replace('name = "hello"', f'name = "{project.container}"')
    return text.replace("127.0.0.1:8080", f"127.0.0.1:{project.port}")


def run(project: Project, call: str) -> tuple[int, str]:
    """One line of a block, without a shell: its exit code, and what it printed, in order."""
    argv = shlex.split(local(project, call), comments=True)
    program = shutil.which(argv[0], path=project.env["PATH"])
    assert program, f"the README calls {argv[0]}"
    both = subprocess.Popen(
        [program, *argv[1:]], cwd=project.repo.path, env=project.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    printed, _ = both.communicate(timeout=300)
    return both.returncode, printed


def paragraphs(text: str) -> list[str]:
    """What a step printed belongs together; steps side by side end in any order."""
    for pattern, stand_in in DIFFERENT:
        text = re.sub(pattern, stand_in, text)
    return sorted(one.strip("\n") for one in re.split(r"^(?=[✓✗·]|pipeline:|\S+@sha256)", text, flags=re.MULTILINE) if one.strip())


def shown(block: Block) -> list[tuple[str, str]]:
    """The calls of a transcript, each with what it prints."""
    parts = re.split(r"^\$ (.*)\n", block.text, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def play(project: Project, block: Block, code: int) -> None:
    """Run a transcript: the last call ends with `code`. After a line with `…`, what is shown is a part of what was printed."""
    calls = shown(block)
    for number, (call, expected) in enumerate(calls, 1):
        ended, printed = run(project, call)
        assert ended == (code if number == len(calls) else 0), printed
        here, there = paragraphs(local(project, expected).removeprefix("…\n")), paragraphs(printed)
        missing = [one for one in here if one not in there]
        assert not missing, f"{call}: the README shows\n{missing[0]}\nand it printed\n{printed}"
        if not expected.startswith("…"):
            assert here == there


def test_the_transcripts(project: Project) -> None:
    first, vulnerable, sick = documents.blocks(README, "console")
    project.repo.commit("a first version")
    play(project, first, 0)
    project.package("openssl", "3.0.1-1")
    project.repo.commit("a vulnerable package")
    play(project, vulnerable, 10)
    project.package("openssl", "3.0.9-1")
    (project.repo.path / "www" / "healthz").unlink()
    project.repo.commit("a sick version")
    play(project, sick, 4)


def test_the_five_minutes(project: Project) -> None:
    """From a repository with a Dockerfile and nothing of ours; only the database, which is not to be had everywhere, is put in."""
    for name in ("pipeline.toml", ".dockerignore"):
        (project.repo.path / name).unlink()
    project.repo.commit("as a stranger has it")
    text = documents.section(README, "Five minutes, on your own project")
    for kind, content in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if kind == "toml":
            with (project.repo.path / "pipeline.toml").open("a") as out:
                out.write(local(project, content))
            continue
        for call in content.splitlines():
            code, printed = run(project, call)
            assert code == 0, f"{call}\n{printed}"
            if call.startswith("pipeline init"):
                complete(project)
    assert project.run("version").out == "1.0.1\n"
    listed = subprocess.run(["docker", "ps", "--format={{.Names}}"], env=os.environ, capture_output=True, text=True, check=True).stdout
    assert project.container in listed.split()


def complete(project: Project) -> None:
    """A database that is there, and a name by which this test's images are found again."""
    path = project.repo.path / "pipeline.toml"
    named = re.sub(r'^name = ".*"$', f'name = "{project.container}"', path.read_text(), count=1, flags=re.MULTILINE)
    path.write_text(f'{named}\n[scan]\ndatabase = "{project.repo.path.parent / "database"}"\n')
