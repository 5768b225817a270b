from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import urllib.request
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
import pytest
from msgspec import structs

from pipeline.config.load import load
from pipeline.console import Console
from pipeline.context import Context, Options
from pipeline.core.cancel import Cancel
from pipeline.core.credential import Credential
from pipeline.core.image import digest_of
from pipeline.core.job import Job
from pipeline.core.record import AdoptFacts, BuildFacts, BuildInputs, Evidence, Subject
from pipeline.errors import RefusedError, ToolError, UsageError
from pipeline.evidence import Store
from pipeline.steps import build, version
from pipeline.tools.docker import images
from tests.command import Answer, pipeline
from tests.integration.registries import PASSWORD, USER, password_registry, registry_server
from tests.repositories import Repo, clean_environ, new

BUSYBOX = Path("/bin/busybox")
CONTAINERD = os.environ.get("RC_TEST_CONTAINERD_HOST", "")
STORES = [
    pytest.param(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"), id="engine"),
    pytest.param(
        CONTAINERD, id="containerd-store", marks=pytest.mark.skipif(not CONTAINERD, reason="needs RC_TEST_CONTAINERD_HOST: a second engine")
    ),
]
pytestmark = pytest.mark.skipif(not BUSYBOX.exists(), reason="needs busybox-static")

BASE = "FROM scratch AS tools\nCOPY busybox /bin/busybox\n"


def shell(command: str, *flags: str) -> str:
    return f"RUN {' '.join(flags)} {json.dumps(['/bin/busybox', 'sh', '-c', command])}\n"


class Project:
    """A repository with a Dockerfile, and the engine that builds it."""

    def __init__(self, repo: Repo, client: docker.DockerClient, env: dict[str, str], name: str) -> None:
        self.repo, self.client, self.env, self.name = repo, client, env, name

    def build(self, *options: str, **values: str) -> Answer:
        return pipeline("build", *options, cwd=self.repo.path, env=self.env | values)

    def configure(self, text: str) -> None:
        self.repo.file("pipeline.toml", f'[project]\nname = "{self.name}"\nlicenses = "MIT"\nsource = "https://example.com/x"\n{text}')

    def evidence(self) -> dict[str, Any]:
        found = json.loads((self.repo.path / ".pipeline/evidence/default/build.json").read_text())
        assert isinstance(found, dict)
        return found

    def facts(self) -> dict[str, Any]:
        facts = self.evidence()["facts"]
        assert isinstance(facts, dict)
        return facts

    def saved(self) -> tarfile.TarFile:
        return tarfile.open(fileobj=io.BytesIO(b"".join(self.client.images.get(self.facts()["engine_id"]).save())))

    def context(self, job: Job | None = None, **options: Any) -> Context:
        root = self.repo.path
        settings = load(root, self.env, {})
        job = job or Job()
        store = Store(root / ".pipeline", job.id)
        console = Console(io.StringIO())
        return Context(root, settings, job, store, console, Cancel(), self.env, datetime.now(UTC), Options(**options))


def engine(host: str) -> docker.DockerClient:
    client = docker.DockerClient(host, timeout=60)
    try:
        client.ping()
    except (docker.errors.DockerException, OSError) as error:
        client.close()
        pytest.skip(f"needs a Docker engine: {error}")
    return client


@pytest.fixture(params=STORES)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    client = engine(request.param)
    repo = new(tmp_path / "project")
    shutil.copy(BUSYBOX, repo.path / "busybox")
    repo.file("Dockerfile", BASE)
    repo.file(".dockerignore", ".git\n")
    made = Project(repo, client, clean_environ(tmp_path / "home", DOCKER_HOST=request.param), f"rc-test-{uuid.uuid4().hex[:8]}")
    made.configure("")
    before = images.ids(client)
    yield made
    for reference in (f"{made.name}:built", *(images.ids(client) - before)):
        if images.find(client, reference) and made.name in str(client.images.get(reference).attrs):
            client.images.remove(reference, force=True)
    client.close()


def begin(context: Context) -> None:
    context.evidence.write(structs.replace(version.run(context), job=context.job.id))


def commit(project: Project, tag: str = "v1.2.3") -> str:
    digest = project.repo.commit()
    project.repo.tag(tag)
    return digest


def test_what_went_in_and_what_came_out(project: Project) -> None:
    project.repo.file("Dockerfile", f"{BASE}FROM tools\nARG WHO\n{shell('echo $WHO > /who')}USER 1000\n")
    project.configure('[image.args]\nWHO = "${GREETED}"\nPLAIN = "x"\n[image.labels]\nteam = "a"\n')
    head = commit(project)
    answer = project.build(GREETED="world")
    assert answer.code == 0, answer.err
    facts = project.facts()
    found = images.inspect(project.client, facts["engine_id"])
    assert tuple(facts["diff_ids"]) == found.diff_ids
    assert [layer["diff_id"] for layer in facts["layers"]] == list(found.diff_ids)
    assert facts["layers"][0]["created_by"].startswith("COPY busybox")
    assert facts["layers"][0]["size"] >= BUSYBOX.stat().st_size
    assert found.repo_tags == (f"{project.name}:built",)
    assert found.created == "2023-11-14T22:13:21Z"
    oci = {name.removeprefix("org.opencontainers.image."): value for name, value in found.labels.items()}
    assert oci == {
        "version": "1.2.3",
        "revision": head,
        "created": "2023-11-14T22:13:21Z",
        "title": project.name,
        "source": "https://example.com/x",
        "licenses": "MIT",
        "team": "a",
        "dev.release-chain.inputs": facts["inputs_digest"],
    }
    inputs = facts["inputs"]
    assert inputs["dockerfile"] == digest_of((project.repo.path / "Dockerfile").read_bytes())
    assert inputs["dockerignore"] == digest_of(b".git\n")
    assert inputs["args"] == {"PLAIN": "x", "WHO": digest_of(b"world")}
    assert project.evidence()["subject"] == {"kind": "config", "digest": facts["config"]}


def test_the_config_digest_is_that_of_the_saved_configuration(project: Project) -> None:
    commit(project)
    assert project.build().code == 0
    with project.saved() as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest
        config = archive.extractfile(json.load(manifest)[0]["Config"])
        assert config
        assert digest_of(config.read()) == project.facts()["config"]
    classic = project.facts()["engine_id"] == project.facts()["config"]
    assert classic == ("io.containerd.snapshotter.v1" not in str(project.client.info()["DriverStatus"]))


def test_our_own_folder_never_enters_the_build(project: Project) -> None:
    project.repo.file(
        "Dockerfile", f"{BASE}COPY . /all\n{shell('test -e /all/busybox && ! test -e /all/.pipeline && ! test -e /all/secret')}"
    )
    project.repo.file("Dockerfile.dockerignore", "!.pipeline\nsecret\n")
    project.repo.file("secret", "x")
    commit(project)
    project.repo.file(".pipeline/x", "y")
    answer = project.build()
    assert answer.code == 0, answer.err
    assert project.facts()["inputs"]["dockerignore"] == digest_of(b"!.pipeline\nsecret\n")


def test_secrets_reach_the_build_and_stay_out_of_the_image(project: Project) -> None:
    commands = shell("test $(/bin/busybox wc -c < /run/secrets/npm) = 12", "--mount=type=secret,id=npm")
    commands += shell(
        "test $(/bin/busybox wc -c < /key) = 11 && test -s /run/secrets/ca-bundle",
        "--mount=type=secret,id=key,target=/key",
        "--mount=type=secret,id=ca-bundle",
    )
    project.repo.file("Dockerfile", BASE + commands)
    project.repo.file("key.txt", "file-value\n")
    project.repo.file("ca.pem", "-----BEGIN CERTIFICATE-----\n")
    project.repo.file(".dockerignore", ".git\nkey.txt\n")
    project.configure('[image.secrets]\nnpm = { env = "NPM" }\nkey = { file = "key.txt" }\n[network]\nca-bundle = "ca.pem"\n')
    commit(project)
    answer = project.build("-v", NPM="s3cret-value")
    assert answer.code == 0, answer.err
    assert "none of 3 layers holds a build secret" in answer.err
    assert project.facts()["inputs"]["secrets"] == ["key", "npm"]
    assert "s3cret-value" not in answer.err + json.dumps(project.evidence())


@pytest.mark.parametrize(
    "leak",
    ["/bin/busybox cat /run/secrets/npm > /leak", "(echo -n user:; /bin/busybox cat /run/secrets/npm) | /bin/busybox base64 > /leak"],
    ids=["raw", "base64"],
)
def test_a_secret_in_a_layer_is_refused(project: Project, leak: str) -> None:
    # A secret's value is no part of BuildKit's cache key: the command has to be one that was never run.
    commands = shell(f"{leak}; echo {project.name}", "--mount=type=secret,id=npm") + shell("/bin/busybox rm /leak")
    project.repo.file("Dockerfile", BASE + commands)
    project.configure('[image.secrets]\nnpm = { env = "NPM" }\n')
    commit(project)
    answer = project.build(NPM="s3cret-value")
    assert answer.code == 10, answer.err
    assert "npm is in layer 1 (RUN" in answer.err
    assert "s3cret-value" not in answer.err
    assert not (project.repo.path / ".pipeline/evidence/default/build.json").exists()


def test_a_secret_in_a_label_is_refused(project: Project) -> None:
    project.repo.file("Dockerfile", f'{BASE}LABEL note="the s3cret-value"\n')
    project.configure('[image.secrets]\nnpm = { env = "NPM" }\n')
    commit(project)
    answer = project.build(NPM="s3cret-value")
    assert answer.code == 10, answer.err
    assert "npm is in the image's configuration (config.Labels)" in answer.err


@pytest.mark.parametrize(
    ("configured", "value", "said"),
    [('env = "NPM"', "", "NPM is not set"), ('env = "NPM"', "abc", "shorter than 4"), ('file = "no"', "", "no")],
)
def test_a_secret_that_is_missing_or_too_short_is_wrong_usage(project: Project, configured: str, value: str, said: str) -> None:
    project.configure(f"[image.secrets]\nnpm = {{ {configured} }}\n")
    commit(project)
    answer = project.build(NPM=value)
    assert answer.code == 2, answer.err
    assert said in answer.err


def test_a_target_is_built_as_the_final_stage(project: Project) -> None:
    project.repo.file("Dockerfile", f"{BASE}FROM tools AS broken\n{shell('exit 1')}")
    project.configure('[image]\ntarget = "tools"\n')
    commit(project)
    assert project.build().code == 0
    assert project.facts()["inputs"]["target"] == "tools"
    assert len(project.facts()["diff_ids"]) == 1


def test_the_size_of_earlier_stages_is_measured_only_when_asked(project: Project) -> None:
    size = BUSYBOX.stat().st_size
    make = f"FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/twice\n{shell('echo 12345678 > /app; echo 123 > /junk')}"
    project.repo.file("Dockerfile", f"FROM scratch AS unused\nCOPY busybox /x\n{make}FROM scratch\nCOPY --from=1 /app /bin/busybox /bin/\n")
    commit(project)
    assert project.build().code == 0
    assert "stages" not in project.facts() or project.facts()["stages"] == []
    before = images.ids(project.client)
    answer = project.build("--explain-size")
    assert answer.code == 0, answer.err
    left = images.ids(project.client) - before  # whoever else builds on this engine leaves images too
    assert not [one for one in left if images.find(project.client, one) and "/junk" in str(project.client.api.history(one))]
    assert project.facts()["stages"] == [{"name": "1", "size": 2 * size + 13, "left_behind": size + 4}]


def test_a_base_from_the_engine_is_recorded_by_its_digest(project: Project) -> None:
    commit(project)
    assert project.build().code == 0
    base = project.facts()["engine_id"]
    images.tag(project.client, base, f"{project.name}-base", "1")
    try:
        project.repo.file(
            "Dockerfile",
            f"FROM {project.name}-base:1\nCOPY --from=tools /bin/busybox /b\n".replace("--from=tools", f"--from={project.name}-base:1"),
        )
        answer = project.build()
        assert answer.code == 0, answer.err
        assert project.facts()["inputs"]["bases"] == {f"{project.name}-base:1": base}
    finally:
        images.untag(project.client, f"{project.name}-base:1")


def test_a_build_that_fails_is_a_tools_failure_and_prints_nothing_raw(project: Project) -> None:
    evil = r"printf '\033[2J::set-output name=a::b\nsection_start:1:x\r\n'; exit 7"
    project.repo.file("Dockerfile", BASE + shell(evil))
    commit(project)
    answer = project.build("-v")
    assert answer.code == 3, answer.err
    assert "exit code: 7" in answer.err
    assert "\x1b" not in answer.err
    assert "\r" not in answer.err
    assert not [line for line in answer.err.splitlines() if line.lstrip().startswith(("::", "section_start:"))]


def test_more_than_one_platform_is_not_built_yet(project: Project) -> None:
    project.configure('[image]\nplatforms = ["linux/amd64", "linux/arm64"]\n')
    commit(project)
    answer = project.build()
    assert answer.code == 2
    assert "one platform" in answer.err


def test_without_an_engine_the_error_says_so(project: Project, tmp_path: Path) -> None:
    commit(project)
    answer = project.build(DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert answer.code == 3, answer.err
    assert "no Docker engine answers" in answer.err


@pytest.mark.parametrize(("script", "said"), [("", "docker command is not installed"), ("echo nope >&2; exit 1", "no buildx that works")])
def test_without_docker_or_buildx_it_says_what_to_install(project: Project, tmp_path: Path, script: str, said: str) -> None:
    commit(project)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").symlink_to(str(shutil.which("git")))
    if script:
        (tools / "docker").write_text(f"#!/bin/sh\n{script}\n")
        (tools / "docker").chmod(0o755)
    answer = project.build(PATH=str(tools))
    assert answer.code == 3, answer.err
    assert said in answer.err
    assert "docker-buildx" in answer.err


def test_untracked_files_are_refused_in_a_release_and_named_before(project: Project) -> None:
    commit(project)
    project.repo.file(".dockerignore", ".git\nignored\n")
    project.repo.git("add", "-A")
    project.repo.commit()
    for name in ("loose.txt", "folder/deep.txt", "ignored/x", "allowed/y"):
        project.repo.file(name, "")
    project.configure('[image]\ninclude-untracked = ["allowed"]\n')
    answer = project.build()
    assert answer.code == 0, answer.err
    assert "not tracked by git, and in the build: folder/deep.txt, loose.txt" in answer.err
    context = project.context(release=True, snapshot=True)
    begin(context)
    with pytest.raises(UsageError, match=r"would enter the build: folder/deep\.txt, loose\.txt$"):
        build.run(context)
    allowed = project.context(release=True, snapshot=True, include_untracked=True)
    assert build.run(allowed).facts


def test_a_cache_is_written_on_protected_refs_only(project: Project, tmp_path: Path) -> None:
    recorder = tmp_path / "bin" / "docker"
    recorder.parent.mkdir()
    recorder.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nexec {shutil.which("docker")} "$@"\n')
    recorder.chmod(0o755)
    project.env["PATH"] = f"{recorder.parent}:{project.env['PATH']}"
    project.configure('[image]\ncache-to = ["type=inline"]\n')
    commit(project)
    for protected in (False, True):
        context = project.context(Job(id="local", protected=protected))
        begin(context)
        (tmp_path / "calls").unlink(missing_ok=True)
        build.run(context)
        assert ("--cache-to=type=inline" in (tmp_path / "calls").read_text()) == protected


def recorded_docker(project: Project, tmp_path: Path, before: str = "") -> Path:
    """A `docker` before the real one that notes each build and then does `before`; it drops `--cache-to=type=local`, which the
    classic store cannot do. Returns the file with the notes."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    kept = 'for one do shift; case "$one" in --cache-to=type=local*) ;; *) set -- "$@" "$one";; esac; done'
    note = f'[ "$2" = build ] && {{ echo "$@" >> {tmp_path}/calls; {before or ":"}; }}'
    program.write_text(f'#!/bin/sh\n{note}\n{kept}\nexec {shutil.which("docker")} "$@"\n')
    program.chmod(0o755)
    project.env["PATH"] = f"{program.parent}:{project.env['PATH']}"
    return tmp_path / "calls"


def cached_build(project: Project, tmp_path: Path, command: str) -> tuple[Context, Path]:
    calls = recorded_docker(project, tmp_path)
    project.repo.file("Dockerfile", f"{BASE}FROM tools\n{shell(command, '--mount=type=secret,id=key')}")
    project.configure('[image]\ncache-to = ["type=local,dest=/none"]\n[image.secrets]\nkey = { env = "KEY" }\n')
    project.env["KEY"] = "long-enough-value"
    commit(project)
    context = project.context(Job(id="local", protected=True), no_cache=True)
    begin(context)
    return context, calls


def test_a_cache_is_written_once_the_layers_were_searched(project: Project, tmp_path: Path) -> None:
    context, calls = cached_build(project, tmp_path, "echo no > /x")
    build.run(context)
    first, second = calls.read_text().splitlines()
    assert "--cache-to" not in first
    assert (
        second.replace(" --cache-to=type=local,dest=/none", "").split("--metadata-file")[0]
        == first.replace(" --no-cache", "").split("--metadata-file")[0]
    )
    assert "--cache-to=type=local,dest=/none" in second


def test_a_secret_in_a_layer_reaches_no_cache(project: Project, tmp_path: Path) -> None:
    context, calls = cached_build(project, tmp_path, "cp /run/secrets/key /x")
    with pytest.raises(RefusedError, match="build secret"):
        build.run(context)
    assert "--cache-to" not in calls.read_text()


def test_a_cache_of_every_stage_is_refused_beside_build_secrets(project: Project) -> None:
    project.configure('[image]\ncache-to = ["type=registry,ref=a.example/x:c,mode=max"]\n[image.secrets]\nkey = { env = "KEY" }\n')
    commit(project)
    answer = project.build(KEY="long-enough-value")
    assert answer.code == 2
    assert "mode=min" in answer.err


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("echo changed > {root}/Dockerfile", "Dockerfile"),
        ("echo new > {root}/new", "new"),
        ("git -C {root} -c user.name=a -c user.email=a@b commit --quiet --allow-empty -m x", "HEAD is"),
    ],
)
def test_a_tree_that_changes_while_it_is_built_is_refused(project: Project, tmp_path: Path, change: str, named: str) -> None:
    recorded_docker(project, tmp_path, change.format(root=project.repo.path))
    project.repo.file("Dockerfile", f"{BASE}COPY . /all\n")
    commit(project)
    answer = project.build()
    assert answer.code == 2
    assert f"changed while it was built: {named}" in answer.err
    assert not (project.repo.path / ".pipeline/evidence/default/build.json").exists()


def test_a_private_argument_with_a_name_of_the_systems_is_refused(project: Project) -> None:
    project.configure('[image.args]\nBASH_ENV = "${GIVEN}"\n')
    commit(project)
    answer = project.build(GIVEN="evil.sh")
    assert answer.code == 2
    assert "BASH_ENV" in answer.err
    project.configure('[image.args]\nBASH_ENV = "evil.sh"\n')
    assert project.build().code == 0


def test_an_image_that_the_registry_has_is_taken_over(project: Project) -> None:
    commit(project)
    context = project.context(release=True)
    begin(context)
    known = BuildFacts("sha256:c", "", ("sha256:d",), BuildInputs("sha256:f"), "sha256:i", manifest="sha256:m", repository="r")
    found = Evidence("adopt", Subject("commit", "c"), "k", facts=AdoptFacts(known), job="local")
    context.evidence.write(found)
    assert build.run(context).facts == known
    assert build.run(project.context()).facts != known


def test_the_last_name_of_an_image_stays(project: Project) -> None:
    commit(project)
    assert project.build().code == 0
    image = project.facts()["engine_id"]
    images.tag(project.client, image, f"{project.name}/x", "staging")
    images.untag(project.client, f"{project.name}/x:staging")
    images.untag(project.client, f"{project.name}:built")
    images.untag(project.client, f"{project.name}/x:staging")
    assert images.inspect(project.client, image).repo_tags == (f"{project.name}:built",)


def test_a_push_by_name_gives_the_manifests_digest(project: Project, tmp_path: Path) -> None:
    commit(project)
    assert project.build().code == 0
    said: list[str] = []
    with registry_server(tmp_path) as address:
        repository = f"{address}/{project.name}"
        images.tag(project.client, project.facts()["engine_id"], repository, "staging")
        digest = images.push(project.client, repository, "staging", None, on_line=said.append)
        images.untag(project.client, f"{repository}:staging")
        media = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
        asked = urllib.request.Request(f"http://{address}/v2/{project.name}/manifests/staging", headers={"Accept": media})
        with urllib.request.urlopen(asked) as answer:
            assert answer.headers["Docker-Content-Digest"] == digest
    assert any("Pushed" in line for line in said)


def test_a_push_that_is_refused_says_what_the_registry_said(project: Project, tmp_path: Path) -> None:
    commit(project)
    assert project.build().code == 0
    with password_registry(tmp_path) as address:
        repository = f"{address}/{project.name}"
        images.tag(project.client, project.facts()["engine_id"], repository, "staging")
        with pytest.raises(ToolError, match=r"the push failed: .*(no basic auth|authentication|authorization)"):
            images.push(project.client, repository, "staging", None)
        assert images.push(project.client, repository, "staging", Credential(USER, PASSWORD)).startswith("sha256:")
        images.untag(project.client, f"{repository}:staging")
