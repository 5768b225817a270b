"""`pipeline version` on real repositories."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.core.cancel import Cancel
from pipeline.errors import ToolError
from pipeline.tools.git import Git
from tests import repositories
from tests.command import Answer, pipeline
from tests.repositories import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return repositories.new(tmp_path / "project")


def version(repo: Repo, *arguments: str, **environ: str) -> Answer:
    return pipeline("version", *arguments, cwd=repo.path, env=repositories.clean_environ(repo.path.parent / "home", **environ))


def test_the_version_is_all_of_stdout(repo: Repo) -> None:
    repo.commit()
    repo.tag("v1.2.3", annotated=True)
    answer = version(repo)
    assert (answer.code, answer.out) == (0, "1.2.3\n")


def test_json(repo: Repo) -> None:
    commit = repo.commit()
    repo.tag("v1.2.3")
    document = json.loads(version(repo, "--json").out)
    assert document["schema"] == "release-chain/result/v1"
    assert (document["version"], document["tag"], document["commit"]) == ("1.2.3", "v1.2.3", commit)


def test_the_highest_of_several_tags_on_one_commit(repo: Repo) -> None:
    repo.commit()
    for tag in ("v1.2.0-rc.2", "v1.2.0-rc.10", "nightly", "v1.2", "v01.9.0", "release-9.9.9"):
        repo.tag(tag)
    assert version(repo).out == "1.2.0-rc.10\n"
    repo.tag("v1.2.0", annotated=True)
    assert version(repo).out == "1.2.0\n"


def test_between_tags_the_highest_reachable_counts(repo: Repo) -> None:
    repo.commit()
    repo.tag("v1.4.2")
    repo.git("checkout", "-q", "-b", "elsewhere")
    repo.commit()
    repo.tag("v9.0.0")
    repo.git("checkout", "-q", "main")
    commits = [repo.commit() for _ in range(3)]
    assert version(repo).out == f"1.4.3-0.dev.3+g{commits[-1][:12]}\n"


def test_without_tags(repo: Repo) -> None:
    commit = repo.commit()
    assert version(repo).out == f"0.0.0-0.dev.1+g{commit[:12]}\n"


def test_changed_files_are_never_the_tagged_version(repo: Repo) -> None:
    repo.write(a="1")
    commit = repo.commit()
    repo.tag("v1.0.0")
    repo.write(a="2")
    assert version(repo).out == f"1.0.1-0.dev.0+g{commit[:12]}.dirty\n"
    repo.git("checkout", "-q", "a")
    repo.write(untracked="x")
    assert version(repo).out == "1.0.0\n"


def test_the_pushed_tag_decides(repo: Repo) -> None:
    repo.commit()
    repo.tag("v1.2.0-rc.1")
    repo.tag("v1.2.0")
    answer = version(repo, GITLAB_CI="true", CI_COMMIT_TAG="v1.2.0-rc.1")
    assert (answer.code, answer.out) == (0, "1.2.0-rc.1\n")


def test_a_pushed_tag_of_another_commit_is_refused(repo: Repo) -> None:
    first = repo.commit()
    repo.tag("v1.0.0")
    head = repo.commit()
    answer = version(repo, GITHUB_ACTIONS="true", GITHUB_REF_TYPE="tag", GITHUB_REF_NAME="v1.0.0")
    assert answer.code == 2
    assert first[:12] in answer.err
    assert head[:12] in answer.err


def test_a_pushed_tag_that_is_no_version_is_refused(repo: Repo) -> None:
    repo.commit()
    repo.tag("nightly")
    answer = version(repo, GITLAB_CI="true", CI_COMMIT_TAG="nightly")
    assert answer.code == 2
    assert "not a semantic version" in answer.err


def test_no_repository(tmp_path: Path) -> None:
    answer = pipeline("version", cwd=tmp_path, env=repositories.clean_environ(tmp_path / "home"))
    assert answer.code == 2
    assert "no git repository" in answer.err
    assert not (tmp_path / ".pipeline").exists()


def test_no_commit_yet(repo: Repo) -> None:
    answer = version(repo)
    assert answer.code == 2
    assert "no commit yet" in answer.err


def test_a_shallow_clone(repo: Repo, tmp_path: Path) -> None:
    repo.commit()
    repo.tag("v1.0.0")
    repo.commit()
    shallow = repositories.Repo(tmp_path / "shallow")
    repo.git("clone", "--quiet", "--depth=1", f"file://{repo.path}", str(shallow.path))
    answer = version(shallow)
    assert answer.code == 2
    assert "GIT_DEPTH: 0" in answer.err
    assert "fetch-depth: 0" in answer.err


def test_a_shallow_clone_of_a_tag_is_that_version(repo: Repo, tmp_path: Path) -> None:
    repo.commit()
    repo.commit()
    repo.tag("v1.0.0", annotated=True)
    shallow = repositories.Repo(tmp_path / "shallow")
    repo.git("clone", "--quiet", "--depth=1", "--branch=v1.0.0", f"file://{repo.path}", str(shallow.path))
    assert version(shallow).out == "1.0.0\n"


def test_git_missing(repo: Repo) -> None:
    repo.commit()
    answer = version(repo, PATH="/nonexistent")
    assert answer.code == 3
    assert "git is not installed" in answer.err


def test_a_file_called_as_a_revision(repo: Repo) -> None:
    repo.file("HEAD", "x")
    repo.file("refs/tags/v1.0.0..HEAD", "x")
    repo.commit()
    repo.tag("v1.0.0")
    commit = repo.commit()
    assert version(repo).out == f"1.0.1-0.dev.1+g{commit[:12]}\n"


def with_submodules(repo: Repo, tmp_path: Path) -> Path:
    """A submodule in a submodule, both with `ignore = all`; the path of the inner one's checkout."""
    inner, outer = (repositories.new(tmp_path / name) for name in ("inner", "outer"))
    inner.write(a="1")
    inner.commit()
    for holder, held in ((outer, inner), (repo, outer)):
        holder.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(held.path), "lib")
        modules = holder.path / ".gitmodules"
        modules.write_text(modules.read_text() + "\tignore = all\n")
        holder.commit()
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--recursive")
    return repo.path / "lib" / "lib"


def test_a_changed_submodule_is_a_changed_tree(repo: Repo, tmp_path: Path) -> None:
    inner = with_submodules(repo, tmp_path)
    repo.tag("v1.0.0")
    git = Git(repo.path, repositories.clean_environ(tmp_path / "home"), Cancel())
    assert (git.changed(), git.untracked()) == ((), ())
    (inner / "a").write_text("2")
    (inner / "b").write_text("new")
    assert (git.changed(), git.untracked()) == (("lib/lib/a",), ("lib/lib/b",))
    assert version(repo).out.endswith(".dirty\n")


def test_another_commit_of_a_submodule_is_a_changed_tree(repo: Repo, tmp_path: Path) -> None:
    inner = with_submodules(repo, tmp_path)
    Repo(inner.parent).commit()
    assert Git(repo.path, repositories.clean_environ(tmp_path / "home"), Cancel()).changed() == ("lib",)


def test_files_where_a_submodule_is_not_checked_out_are_untracked(repo: Repo, tmp_path: Path) -> None:
    inner = with_submodules(repo, tmp_path)
    git = Git(repo.path, repositories.clean_environ(tmp_path / "home"), Cancel())
    (inner / ".git").unlink()
    assert (git.changed(), git.untracked()) == ((), ("lib/lib/",))
    (inner / ".git").mkdir()
    with pytest.raises(ToolError, match="not a git repository"):
        git.changed()


def test_a_bare_repository_in_the_checkout_has_no_say(repo: Repo, tmp_path: Path) -> None:
    bare = repo.path / "service"
    repo.git("init", "--quiet", "--bare", str(bare))
    repo.git(f"--git-dir={bare}", "config", "core.bare", "false")
    repo.git(f"--git-dir={bare}", "config", "core.worktree", ".")
    here = (f"--git-dir={bare}", f"--work-tree={bare}")
    (bare / ".gitattributes").write_text("x filter=evil\n")
    (bare / "x").write_text("1")
    repo.git(*here, "add", str(bare / "x"), str(bare / ".gitattributes"))
    repo.git(*here, "commit", "--quiet", "-m", "x")
    repo.git(f"--git-dir={bare}", "config", "filter.evil.clean", f"touch {tmp_path}/ran; cat")
    (bare / "x").write_text("2")
    (bare / "pipeline.toml").touch()
    answer = pipeline("version", cwd=bare, env=repositories.clean_environ(tmp_path / "home"))
    assert not (tmp_path / "ran").exists()
    assert answer.code == 2
    assert "bare repository" in answer.err


def test_evidence_that_git_tracks_is_refused(repo: Repo) -> None:
    repo.file(".pipeline/evidence/default/build.json", "{}")
    repo.git("add", "-f", ".pipeline")
    repo.commit()
    answer = version(repo)
    assert answer.code == 2
    assert "git rm" in answer.err


@pytest.mark.parametrize("system", ["local", "gitlab", "github"])
def test_a_tag_full_of_commands_changes_nothing_in_the_job(repo: Repo, system: str) -> None:
    repo.commit("::set-output name=a::b\r\x1b[2J")
    repo.git("tag", "nightly-\u202egnp.exe")
    repo.tag("v1.0.0")
    environ = {"gitlab": {"GITLAB_CI": "true"}, "github": {"GITHUB_ACTIONS": "true"}, "local": {}}[system]
    pushed = {
        "gitlab": {"CI_COMMIT_TAG": "::set-output;section_start:1:x"},
        "github": {"GITHUB_REF_TYPE": "tag", "GITHUB_REF_NAME": "::error::x"},
    }
    for extra in ({}, pushed.get(system, {})):
        answer = version(repo, **environ, **extra)
        shown = [line for line in (answer.out + answer.err).splitlines() if "section_start" in line or line.lstrip().startswith("::")]
        assert not shown
        assert "\x1b" not in answer.err
