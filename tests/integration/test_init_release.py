"""`pipeline init`, a tag, `pipeline release`: a stranger's ordinary project works without a second look at the configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.integration.outcomes import cases, digest
from tests.integration.registries import registry_server
from tests.integration.strangers import FILES, LEFT_BEHIND, UNFIXED, Stranger, debian_base, stranger
from tests.trivy_database import Advisory

FIXABLE = Advisory("CVE-2024-5535", "openssl", fixed="99:3.0.14-1", severity="HIGH", title="buffer overread in SSL_select_next_proto")
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(scope="module", autouse=True)
def base() -> Iterator[str]:
    with debian_base() as name:
        yield name


@pytest.fixture(scope="module", params=FILES)
def released(request: pytest.FixtureRequest, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    """A project of each language after `init`, tag and release; its history goes on in the tests."""
    language: str = request.param
    repository = f"{registry}/team/rc-test-{language}"
    with stranger(tmp_path_factory.mktemp(language), FILES[language], repository) as project:
        _leave_behind(project, LEFT_BEHIND[language])
        started = project.run("init", "--repository", repository)
        assert started.code == 0, started.err
        answer = project.release("v0.1.0")
        assert answer.code == 0, answer.err
        assert answer.out == f"{repository}@{digest(repository, '0.1.0')}\n"
        project.said = answer.err
        yield project


def _leave_behind(project: Stranger, paths: Sequence[str]) -> None:
    """What work on a laptop leaves in the folder, and no build should see."""
    project.repo.file(".gitignore", "".join(f"{path.partition('/')[0]}\n" for path in paths) + ".env\n")
    project.repo.file(".env", "DB_PASSWORD=correct-horse-battery\n")
    for path in paths:
        project.repo.file(path, "left over\n")


def test_what_has_no_fix_and_what_is_merely_strict_warns(released: Stranger) -> None:
    for gate in ("check", "scan", "policy"):
        assert cases(released.repo.path, gate, "failure") == []
        assert cases(released.repo.path, gate, "system-out") != []
    unfixed = cases(released.repo.path, "scan", "system-out")
    assert {one.id for one in UNFIXED} <= {name.split()[0] for name in unfixed}
    assert any("DF020" in name for name in cases(released.repo.path, "check", "system-out")), "it runs as root"
    assert "no fix yet" in released.said


def test_what_work_leaves_behind_is_not_in_the_image(released: Stranger) -> None:
    check = json.loads((released.repo.path / ".pipeline/evidence/default/check.json").read_text())
    tracked = set(released.repo.git("ls-tree", "-r", "--name-only", "v0.1.0").splitlines())
    ours = {"pipeline.toml", "waivers.toml", ".gitlab-ci.yml", ".dockerignore"}
    assert check["facts"]["context_files"] == len(tracked - ours)


def test_a_rerun_changes_nothing(released: Stranger) -> None:
    published = digest(released.repository, "0.1.0")
    answer = released.run("release")
    assert answer.code == 0, answer.err
    assert "nothing was changed" in answer.err
    assert digest(released.repository, "0.1.0") == published


def test_a_second_init_changes_nothing(released: Stranger) -> None:
    answer = released.run("init", "--repository", "registry.example.com/other/place")
    assert answer.code == 0, answer.err
    assert "written" not in answer.out
    assert released.repo.git("status", "--porcelain", "--untracked-files=all") == ""


only_go = pytest.mark.parametrize("released", ["go"], indirect=True)


@only_go
def test_what_can_be_fixed_stops_the_next_release(released: Stranger) -> None:
    released.repo.file("README.md", "# hello\n")
    released.know(*UNFIXED, FIXABLE)
    answer = released.release("v0.2.0")
    released.know(*UNFIXED)
    assert answer.code == 10, answer.err
    assert {name.split()[0] for name in cases(released.repo.path, "scan", "failure")} == {FIXABLE.id}
    assert "upgrade" in (released.repo.path / ".pipeline/reports/scan.xml").read_text()
    assert digest(released.repository, "0.2.0") == ""


@only_go
def test_a_key_that_would_be_baked_in_stops_the_next_release(released: Stranger) -> None:
    released.repo.file("id_ed25519", KEY)
    dockerfile = released.repo.path / "Dockerfile"
    before = dockerfile.read_text()
    dockerfile.write_text(before.replace("\nCMD", "\nCOPY id_ed25519 /root/.ssh/\nCMD"))
    answer = released.release("v0.3.0")
    dockerfile.write_text(before)
    assert answer.code == 10, answer.err
    assert cases(released.repo.path, "check", "failure")
    assert digest(released.repository, "0.3.0") == ""


def test_init_keeps_what_is_there(tmp_path: Path) -> None:
    mine = {"pipeline.toml": '[project]\nname = "mine"\n', ".gitlab-ci.yml": "stages: [mine]\n"}
    with stranger(tmp_path, FILES["node"] | mine, "127.0.0.1:1/team/rc-test-kept") as project:
        answer = project.run("init", "--repository", "127.0.0.1:2/team/other")
        assert answer.code == 0, answer.err
        assert {name: (project.repo.path / name).read_text() for name in mine} == mine
        assert project.repo.git("status", "--porcelain").split() == ["??", ".dockerignore", "??", "waivers.toml"]
