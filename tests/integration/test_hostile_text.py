"""Text from outside is data: whatever a tag, a build, a database, a policy, a registry or a container says, the job obeys none of it."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import projects
from tests.integration.hostile import JOBS, NASTY, NASTY_LINE, harmless, read
from tests.integration.outcomes import cases, version_tags
from tests.integration.projects import ADVISORIES, Project
from tests.integration.registries import registry_server
from tests.servers import Reply, serve
from tests.trivy_database import Advisory, write

KEY = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\n"
POLICY = """package project.image.nasty

# METADATA
# title: {title}
# custom:
#  id: NASTY1
#  severity: HIGH
deny contains {{"message": {message}}} if input.user == "1000"
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def project(tmp_path: Path, registry: str, request: pytest.FixtureRequest) -> Iterator[Project]:
    with projects.project(tmp_path, registry, f"text{abs(hash(request.node.name)) % 10**8}") as made:
        yield made


def ci_files(tmp_path: Path, system: str) -> dict[str, str]:
    """The job's environment, with files for GitHub's outputs and summary."""
    names = {"GITHUB_OUTPUT": "output", "GITHUB_STEP_SUMMARY": "summary"} if system == "github" else {}
    return JOBS[system] | {variable: str(tmp_path / name) for variable, name in names.items()}


def nasty_build() -> str:
    """A build step that says it all: whole, in pieces, without a last newline, to both of its streams."""
    octal = "".join(f"\\\\{byte:03o}" for byte in NASTY.encode())
    pieces = "; ".join(f"printf '%b' '{octal[start : start + 75]}'" for start in range(0, len(octal), 75))
    split = "printf '\\\\n::set-'; printf 'output name=image::evil'"
    return f"""RUN ["/bin/busybox", "sh", "-c", "printf '%b\\\\n' '{octal}'; ({pieces}) >&2; {split}"]\n"""


def make_nasty(project: Project) -> None:
    """Everything that a repository can say."""
    repo = project.repo
    dockerfile = (repo.path / "Dockerfile").read_text()
    label = f'LABEL evil="{NASTY_LINE}" org.opencontainers.image.title="::error::evil"\n'
    repo.file("Dockerfile", dockerfile.replace("\nFROM base\n", f"\n{nasty_build()}FROM base\n{label}"))
    for name in ("::set-output name=a::evil", "##[error]evil", "\x1b[31mevil", "a\rb evil", "new\n::error::evil"):
        repo.file(f"www/{name}.pem", KEY)
    repo.file("policies/nasty.rego", POLICY.format(title="::error::evil ##[error]evil", message=json.dumps(NASTY)))
    text = (repo.path / "pipeline.toml").read_text().replace("[scan]\n", '[policy]\npaths = ["policies"]\n\n[scan]\n')
    repo.file("pipeline.toml", text)
    repo.file(".dockerignore", ".git\npolicies\n")
    for tag in ("a\u009b31mevil", "evil##x", "set-output;evil"):
        repo.tag(tag)


def database(project: Project, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "database")
    write(tmp_path / "database", [*ADVISORIES, Advisory("CVE-2022-0001", "openssl", title=NASTY, severity="HIGH")])


def reports_are_harmless(project: Project, tmp_path: Path) -> None:
    folder = project.repo.path / ".pipeline"
    for report in (folder / "reports").glob("*.xml"):
        harmless(report.read_text())
        for element in ET.parse(report).iter():
            harmless("\n".join([*element.attrib.values(), element.text or ""]).replace("\t", " "))
    assert re.fullmatch(r"(PIPELINE_[A-Z]+=[!-~]+\n)+", (folder / "pipeline.env").read_text())
    for line in (folder / "debug.jsonl").read_text().splitlines():
        harmless(json.loads(line)["message"].replace("\t", " "))
    for name, form in {"output": r"([a-z]+=[!-~]+\n)+", "summary": r"([ -~]*\n)+"}.items():
        if (tmp_path / name).exists():
            text = (tmp_path / name).read_text()
            harmless(text)
            assert re.fullmatch(form, text), text


@pytest.mark.parametrize("system", JOBS)
def test_a_release_of_nasty_things(project: Project, tmp_path: Path, system: str) -> None:
    make_nasty(project)
    database(project, tmp_path)
    project.repo.commit(f"{NASTY}\n\n{NASTY}")
    project.repo.git("branch", "-m", "evil##branch;set-output")
    project.repo.tag("v1.0.0")
    environ = ci_files(tmp_path, system)
    answer = project.run("release", "--verbose", "--no-cache", **environ)
    assert answer.code == 0, answer.err
    said = read(answer.err, system)
    assert "evil" in answer.err
    assert len(said.children) > 5, "the build's output is shown"
    assert (system == "local") == (not said.commands)
    assert re.fullmatch(rf"{re.escape(project.repository)}@sha256:[0-9a-f]{{64}}\n", answer.out)
    assert any("CVE-2022-0001" in name for name in cases(project.repo.path, "scan", "system-out"))
    assert any("project.image.nasty" in name for name in cases(project.repo.path, "policy", "system-out"))
    reports_are_harmless(project, tmp_path)
    for command in (("build", "--check"), ("scan",), ("policy",)):
        asked = project.run(*command, "--json", **environ)
        harmless(asked.out)
        read(asked.err, system)
        assert "evil" in json.dumps(json.loads(asked.out))


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_a_build_that_fails_nastily_with_everything_shown(project: Project, system: str) -> None:
    text = (project.repo.path / "Dockerfile").read_text()
    project.repo.file("Dockerfile", text.replace("\nFROM base\n", f'\n{nasty_build()}RUN ["/bin/busybox", "false"]\nFROM base\n'))
    answer = project.release("v1.0.0", "--debug", "--no-cache", **JOBS[system])
    assert answer.code == 3, answer.err
    said = read(answer.err, system)
    assert len(said.children) > 5
    assert "evil" in answer.err.rpartition("pipeline: ")[2], "the error quotes the build"


@pytest.mark.parametrize("system", ["github", "gitlab"])
def test_untracked_files_with_nasty_names(project: Project, system: str) -> None:
    project.repo.tag("v1.0.0")
    for name in ("::set-output name=a::evil", "##[error]evil", "\x1b[31mevil", "a\rb evil", "new\n::error::evil"):
        project.repo.file(f"www/{name}", "x")
    answer = project.run("release", **JOBS[system])
    assert answer.code == 2, answer.err
    read(answer.err, system)
    assert "evil" in answer.err


@pytest.mark.parametrize("system", ["github", "gitlab"])
@pytest.mark.parametrize("status", [400, 401, 403, 500])
def test_a_registry_with_nasty_errors(project: Project, system: str, status: int) -> None:
    body = json.dumps({"errors": [{"code": f"EVIL{NASTY}", "message": NASTY}]}).encode()
    headers = {"WWW-Authenticate": f'Evil realm="{NASTY_LINE}"'.encode("ascii", "replace").decode(), "Content-Type": "application/json"}
    with serve(lambda asked: Reply(status, body, headers)) as server:
        text = (project.repo.path / "pipeline.toml").read_text().replace(project.registry, server.address)
        project.repo.file("pipeline.toml", text)
        answer = project.release("v1.0.0", "--debug", **JOBS[system])
    assert answer.code == 3, answer.err
    read(answer.err, system)
    assert str(status) in answer.err or "login" in answer.err


@pytest.mark.parametrize("system", JOBS)
def test_a_container_that_fails_with_nasty_last_words(project: Project, system: str) -> None:
    octal = "".join(f"\\{byte:03o}" for byte in NASTY.encode())
    project.repo.file("words", octal)
    text = (project.repo.path / "Dockerfile").read_text()
    start = text.index("ENTRYPOINT")
    speak = 'ENTRYPOINT ["/bin/busybox", "sh", "-c", "/bin/busybox printf \\"$(/bin/busybox cat /words)\\"; exit 3"]\n'
    project.repo.file("Dockerfile", f"{text[:start]}COPY words /words\n{speak}")
    answer = project.release("v1.0.0", "--to", "local", **JOBS[system])
    assert answer.code == 4, answer.err
    assert version_tags(project.repository) == ["1.0.0"]
    for line in answer.err.split("\n"):
        if "│" in line and "evil" in line:
            harmless(line)
    assert "evil" in answer.err
    evidence = json.loads((project.repo.path / ".pipeline/evidence/default/deploy.json").read_text())
    harmless("\n".join(evidence["facts"]["log"]))
