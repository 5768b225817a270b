"""`pipeline init`: what it writes for which project, that it is valid, and that it never overwrites."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.commands import init
from pipeline.config.load import load, load_waivers
from pipeline.errors import ToolError
from tests import repositories

PROJECTS = {
    "go": {"go.mod": "// the agent\nmodule example.com/team/agent/v2\n\ngo 1.24\n"},
    "node": {"package.json": '{"name": "@team/agent"}'},
    "python": {"pyproject.toml": '[project]\nname = "agent"\n'},
    "rust": {"Cargo.toml": '[package]\nname = "agent"\n'},
}


def project(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in {"Dockerfile": "FROM scratch\n", **files}.items():
        (folder / name).write_text(content)
    return folder


def states(started: init.Started) -> dict[str, str]:
    return {entry.path: entry.state for entry in started.files}


@pytest.mark.parametrize("language", PROJECTS)
def test_a_project_of_each_language(tmp_path: Path, language: str) -> None:
    root = project(tmp_path, **PROJECTS[language])
    started = init.start(root)
    assert (started.name, started.languages, started.dockerfile) == ("agent", (language,), "Dockerfile")
    assert set(states(started).values()) == {"written"}
    settings = load(root, {}, {})
    assert settings.file.project.name == "agent"
    assert settings.origins["project.name"] == "pipeline.toml"
    assert load_waivers(root) == ()


def test_a_project_of_no_known_language(tmp_path: Path) -> None:
    started = init.start(tmp_path)
    assert (started.name, started.languages, started.dockerfile) == (tmp_path.name, (), "")
    assert "write a Dockerfile" in init.as_text(started)
    assert load(tmp_path, {}, {}).file.project.name == tmp_path.name


@pytest.mark.parametrize("content", ["", "{", "[]", '{"name": 3}', '{"name": "a\\u001b[31m"}', '{"name": ""}', "[" * 9000])
def test_files_that_give_no_name(tmp_path: Path, content: str) -> None:
    root = project(tmp_path, **{"package.json": content})
    assert init.start(root).name == tmp_path.name


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    root = project(tmp_path, **{"waivers.toml": "# mine\n"})
    (root / ".dockerignore").symlink_to("nowhere")
    first = init.start(root)
    before = {entry.path: (root / entry.path).read_bytes() for entry in first.files if (root / entry.path).exists()}
    assert states(first) == {"pipeline.toml": "written", "waivers.toml": "kept", ".dockerignore": "kept", ".gitlab-ci.yml": "written"}
    assert set(states(init.start(root)).values()) == {"kept"}
    assert {path: (root / path).read_bytes() for path in before} == before
    assert before["waivers.toml"] == b"# mine\n"
    assert not (root / "nowhere").exists()
    assert sorted(path.name for path in root.iterdir()) == [
        ".dockerignore",
        ".gitlab-ci.yml",
        "Dockerfile",
        "pipeline.toml",
        "waivers.toml",
    ]


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    root = project(tmp_path)
    (root / ".github").write_text("a file, not a folder")
    with pytest.raises(ToolError, match="cannot be written"):
        init.start(root, ci=("github",))


@pytest.mark.parametrize(
    ("remote", "file"),
    [
        ("git@github.com:Acme/Agent.git", ".github/workflows/release.yml"),
        ("https://github.example.com/acme/agent", ".github/workflows/release.yml"),
        ("https://user:secret@gitlab.com/acme/agent.git", ".gitlab-ci.yml"),
        ("", ".gitlab-ci.yml"),
    ],
)
def test_the_ci_file_fits_the_remote(tmp_path: Path, remote: str, file: str) -> None:
    repo = repositories.new(tmp_path / "project")
    if remote:
        repo.git("remote", "add", "origin", remote)
    started = init.start(project(repo.path))
    assert [path for path in states(started) if path.endswith(".yml")] == [file]
    assert "secret" not in (repo.path / "pipeline.toml").read_text().replace("secrets", "").replace("type=secret", "")


def test_the_ci_file_fits_what_is_there(tmp_path: Path) -> None:
    (tmp_path / ".github").mkdir()
    assert ".github/workflows/release.yml" in states(init.start(tmp_path))
    assert {".gitlab-ci.yml", ".github/workflows/release.yml"} <= set(states(init.start(tmp_path, ci=("gitlab", "github"))))


def test_the_repository_is_suggested_or_written(tmp_path: Path) -> None:
    repo = repositories.new(tmp_path / "project")
    repo.git("remote", "add", "origin", "git@github.com:Acme/Agent.git")
    init.start(project(repo.path))
    assert '# repository = "ghcr.io/acme/agent"' in (repo.path / "pipeline.toml").read_text()
    other = project(tmp_path / "other")
    init.start(other, repository="127.0.0.1:5000/agent")
    assert load(other, {}, {}).image.repository == "127.0.0.1:5000/agent"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["Dockerfile", "Dockerfile.multistage"], "Dockerfile"),
        (["Dockerfile.multistage"], "Dockerfile.multistage"),
        (["Containerfile"], "Containerfile"),
        (["docker/Dockerfile"], "docker/Dockerfile"),
        (["Dockerfile.dockerignore"], ""),
    ],
)
def test_the_dockerfile_is_found(tmp_path: Path, files: list[str], found: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    started = init.start(tmp_path)
    assert started.dockerfile == found
    assert load(tmp_path, {}, {}).image.dockerfile == (found if found not in init.DOCKERFILES else "")


def test_the_hints_are_true_configuration(tmp_path: Path) -> None:
    """Every commented line, made a real one, is taken."""
    init.start(project(tmp_path))
    written = (tmp_path / "pipeline.toml").read_text()
    (tmp_path / "pipeline.toml").write_text(re.sub(r"^# (?=\[|[a-z-]+ = )", "", written, flags=re.M))
    settings = load(tmp_path, {"BASE_IMAGE": "debian:13"}, {})
    assert settings.image.args == {"BASE": "debian:13"}
    assert settings.file.environments["production"].container
    waivers = tmp_path / "waivers.toml"
    waivers.write_text(re.sub(r"^# (?=\[|[a-z-]+ = )", "", waivers.read_text(), flags=re.M))
    assert load_waivers(tmp_path)[0].id == "CVE-2022-0778"


def test_hints_that_name_a_default_name_the_real_one(tmp_path: Path) -> None:
    init.start(project(tmp_path))
    written = (tmp_path / "pipeline.toml").read_text()
    plain = load(project(tmp_path / "plain"), {}, {}).file
    assert f'# fail-on = ["{plain.scan.fail_on[0]}", "{plain.scan.fail_on[1]}"] # the default' in written
    assert f'# unfixed = "{plain.scan.unfixed}"               # the default' in written
    assert plain.version.tags == ("{version}",)


def test_the_dockerignore_keeps_secrets_out_and_sources_in(tmp_path: Path) -> None:
    every = {name: content for files in PROJECTS.values() for name, content in files.items()}
    init.start(project(tmp_path, **every))
    rows = [row for row in (tmp_path / ".dockerignore").read_text().splitlines() if row and not row.startswith("#")]
    assert {".git", ".pipeline", "**/.env", "**/*.pem", "**/node_modules", "**/__pycache__", "target"} <= set(rows)
    needed = {
        *every,
        "Dockerfile",
        "README.md",
        "LICENSE",
        "go.sum",
        "package-lock.json",
        "requirements.txt",
        "src",
        "vendor",
        "dist",
        ".npmrc",
    }
    assert not {row.removeprefix("**/") for row in rows} & needed


def test_deployment_is_a_job_of_its_own(tmp_path: Path) -> None:
    root = project(tmp_path)
    toml = '[release]\ndeploy = ["staging"]\n[environments.staging]\nprobe.tcp = "a:1"\n[environments.live]\nprobe.tcp = "a:1"\n'
    (root / "pipeline.toml").write_text(toml + '[environments."a: b"]\nprobe.tcp = "a:1"\n')
    init.start(root, ci=("gitlab", "github"))
    for file in init.CI_FILES.values():
        jobs = re.findall(r"^(?:  )?deploy-(\w+):$", (root / file).read_text(), re.M)
        assert jobs == ["live"]


@pytest.mark.parametrize("system", ["gitlab", "github"])
def test_what_the_ci_files_promise(tmp_path: Path, system: init.Ci) -> None:
    init.start(project(tmp_path), ci=(system,))
    written = (tmp_path / init.CI_FILES[system]).read_text()
    assert "pipeline release --snapshot\n" in written
    assert "pipeline release\n" in written
    assert re.search(r"^#.*pipeline deploy production$", written, re.M)
    assert "@" not in re.sub(r"@[0-9a-f]{40} # v\d", "", written)
    active = "\n".join(line for line in written.splitlines() if not line.startswith("#"))
    if system == "gitlab":
        assert 'GIT_DEPTH: "0"' in active
        assert "junit: .pipeline/reports/*.xml" in active
        assert "dotenv: .pipeline/pipeline.env" in active
    else:
        snapshot, release = active.split("\n  release:\n")
        assert "write" not in snapshot
        assert active.count("fetch-depth: 0") == active.count("persist-credentials: false") == 2
        assert "permissions: {}" in snapshot
        assert release.count("write") == 1
        assert "packages: write" in release
