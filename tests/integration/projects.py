"""A small project that a release can take all the way: a static web server on a base that Trivy knows, built in a second."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import docker

from tests import repositories
from tests.command import Answer, pipeline
from tests.repositories import Repo
from tests.servers import free_port
from tests.trivy_database import Advisory, write

DOCKERFILE = """FROM scratch AS base
COPY busybox /bin/busybox
COPY system/ /

FROM base AS build
COPY www /www
RUN ["/bin/busybox", "sh", "-c", "echo built >> /www/index.html"]

FROM base
COPY --from=build /www /www
USER 1000
STOPSIGNAL SIGKILL
EXPOSE 8080
ENTRYPOINT ["/bin/busybox", "httpd", "-f", "-p", "8080", "-h", "/www"]
"""
CONFIGURATION = """[project]
name = "rc-test-{name}"

[image]
repository = "{registry}/team/{name}"

[scan]
database = "{database}"

[environments.local]
backend = "docker"
probe = {{ http = "http://127.0.0.1:{port}/healthz", interval = "0.1s", successes = 2, timeout = "3s" }}

[environments.local.container]
name = "rc-test-{name}"
ports = ["127.0.0.1:{port}:8080"]
"""
STATUS = "Package: {name}\nStatus: install ok installed\nVersion: {version}\nArchitecture: amd64\n\n"
ADVISORIES = [Advisory("CVE-2022-0778", "openssl", fixed="3.0.2-1", title="an endless loop")]


@dataclass
class Project:
    """A repository, where its images go, and the environment in which `pipeline` runs."""

    repo: Repo
    registry: str
    name: str
    port: int
    env: dict[str, str] = field(default_factory=dict)

    @property
    def repository(self) -> str:
        return f"{self.registry}/team/{self.name}"

    @property
    def container(self) -> str:
        return f"rc-test-{self.name}"

    def run(self, *arguments: str, **environ: str) -> Answer:
        return pipeline(*arguments, cwd=self.repo.path, env=self.env | environ)

    def package(self, name: str, version: str) -> None:
        self.repo.file("system/var/lib/dpkg/status", STATUS.format(name=name, version=version))

    def release(self, tag: str, *arguments: str, **environ: str) -> Answer:
        """Commit what is there, tag it and release it."""
        self.repo.commit(tag)
        self.repo.tag(tag)
        return self.run("release", *arguments, **environ)


@contextlib.contextmanager
def project(tmp: Path, registry: str, name: str, *, host: str = "", path: str = "") -> Iterator[Project]:
    """The project, committed but not tagged; its containers and images are removed at the end. `host`: which engine."""
    database = write(tmp / "database", ADVISORIES)
    repo = repositories.new(tmp / "project")
    port = free_port()
    env = repositories.clean_environ(tmp / "home")
    env |= {"DOCKER_HOST": host} if host else {}
    env["PATH"] = path or os.environ["PATH"]
    made = Project(repo, registry, name, port, env)
    shutil.copy("/bin/busybox", repo.path / "busybox")
    repo.file("Dockerfile", DOCKERFILE)
    repo.file(".dockerignore", ".git\n")
    repo.file("system/etc/os-release", 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian 12"\n')
    repo.file("system/etc/debian_version", "12.5\n")
    repo.file("www/healthz", "ok\n")
    repo.file("www/index.html", "one\n")
    made.package("openssl", "3.0.9-1")
    repo.file("pipeline.toml", CONFIGURATION.format(name=name, registry=registry, database=database, port=port))
    repo.commit("start")
    try:
        yield made
    finally:
        _clean(made, host)


def containers(client: docker.DockerClient, made: Project) -> list[tuple[str, str, str]]:
    """Id, name and state of each container that the project has in the engine, its lock included."""
    listed = client.api.containers(all=True)
    rows = ((one["Id"], one["Names"][0].lstrip("/"), one["State"], one["Image"]) for one in listed)
    return [(id, name, state) for id, name, state, image in rows if name.startswith(made.container) or made.repository in image]


def remove_containers(client: docker.DockerClient, made: Project) -> None:
    for container, _, _ in containers(client, made):
        with contextlib.suppress(docker.errors.NotFound):
            client.api.remove_container(container, force=True, v=True)


def _clean(made: Project, host: str) -> None:
    client = docker.DockerClient(host) if host else docker.from_env()
    with contextlib.closing(client):
        remove_containers(client, made)
        for image in client.api.images():
            names = [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]
            for one in names:
                if one.startswith((made.repository, f"rc-test-{made.name}:")):
                    with contextlib.suppress(docker.errors.APIError):
                        client.api.remove_image(one, force=True)


def clone(made: Project, path: Path) -> Project:
    """The same project as a fresh clone elsewhere, tags and all, with nothing of `.pipeline/`."""
    env = made.env | {"PATH": os.environ["PATH"]}
    subprocess.run(["git", "clone", "--quiet", str(made.repo.path), str(path)], check=True, env=env, capture_output=True)
    return Project(Repo(path, made.repo.clock), made.registry, made.name, made.port, made.env)
