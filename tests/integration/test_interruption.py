"""Killed at every call and run again: it finishes, and nothing that was not judged is ever under a version's tag.

The calls are enumerated by what really happens (`tests/calls.py`): the start and end of each program, each HTTP request to the registry
and to the engine, and its answer. Each of them is a place to die, with SIGKILL. After each death the release is run again: in turn with
`.pipeline/` as it was left, and from a fresh clone without it and without build cache.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from tests.calls import Recorder, engine_proxy, registry_proxy, wrappers
from tests.integration import projects
from tests.integration.projects import Project
from tests.integration.registries import registry_server

CLASSIC = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
CONTAINERD = os.environ.get("RC_TEST_CONTAINERD_HOST", "")
# Every how many calls one is the place to die. All of them, RC_TEST_KILL_STRIDE=1, take twenty minutes for each image store.
STRIDE = int(os.environ.get("RC_TEST_KILL_STRIDE", "10"))
ACCEPT = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"


@dataclass
class Bench:
    project: Project
    recorder: Recorder
    direct: str

    def watched(self, where: Project, *arguments: str, kill_at: int = 0) -> int:
        """Run a release through the recorder, and die at call `kill_at`."""
        self.recorder.begin(kill_at)
        argv = [sys.executable, "-m", "pipeline", "release", "--to", "local", *arguments]
        child = subprocess.Popen(argv, cwd=where.repo.path, env=self.project.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.recorder.pid = child.pid
        _, self.said = child.communicate(timeout=120)
        return child.returncode

    def manifest(self, tag: str) -> tuple[str, str]:
        """The digest and the config digest under a tag, asked of the registry itself; empty where there is none."""
        request = urllib.request.Request(f"http://{self.direct}/v2/team/{self.project.name}/manifests/{tag}", headers={"Accept": ACCEPT})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                data = answer.read()
                return answer.headers["Docker-Content-Digest"], json.loads(data)["config"]["digest"]
        except urllib.error.HTTPError:
            return "", ""

    def forget(self, tag: str) -> None:
        """Back to before the release: no tag, no container, no image of it in the engine."""
        digest, _ = self.manifest(tag)
        if digest:
            url = f"http://{self.direct}/v2/team/{self.project.name}/manifests/{digest}"
            urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=10).close()
        shutil.rmtree(self.project.repo.path / ".pipeline", ignore_errors=True)


@pytest.fixture(params=[CLASSIC, CONTAINERD], ids=["classic store", "containerd store"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    host = request.param
    if not host:
        pytest.skip("needs RC_TEST_CONTAINERD_HOST, the address of an engine with the containerd image store")
    if not host.startswith("unix://"):
        pytest.skip("needs an engine on a unix socket, to put a proxy before it")
    recorder = Recorder()
    with contextlib.ExitStack() as stack:
        direct = stack.enter_context(registry_server(tmp_path / "registry"))
        proxied = stack.enter_context(registry_proxy(direct, recorder))
        engine = stack.enter_context(engine_proxy(tmp_path / "engine.sock", host.removeprefix("unix://"), recorder))
        path = stack.enter_context(wrappers(tmp_path / "programs", recorder, os.environ["PATH"]))
        name = "kill-classic" if host == CLASSIC else "kill-containerd"
        project = stack.enter_context(projects.project(tmp_path, proxied, name, host=host, path=path))
        project.env["DOCKER_HOST"] = engine
        yield Bench(project, recorder, direct)


def test_killed_at_every_call_a_rerun_finishes(bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = bench.project
    project.repo.commit()
    project.repo.tag("v1.0.0")
    assert bench.watched(project) == 0, bench.said.decode()
    calls = list(bench.recorder.events)
    _remove(project)
    bench.forget("1.0.0")
    deaths = finished = 0
    for number in range(1, len(calls) + 1, STRIDE):
        fresh = (number // STRIDE) % 2 == 0
        code = bench.watched(project, kill_at=number)
        died_at = bench.recorder.killed
        before = bench.manifest("1.0.0")
        if not died_at:
            assert code == 0, bench.said.decode()
            finished += 1
        else:
            assert code == -9
            deaths += 1
            _judged_before(bench, calls, died_at, before)
        where = projects.clone(project, tmp_path / f"clone-{number}") if fresh else project
        assert bench.watched(where, *(["--no-cache"] if fresh else [])) == 0, f"after dying at {died_at}:\n{bench.said.decode()}"
        _complete(bench, where, died_at, before)
        _remove(project)
        bench.forget("1.0.0")
        if fresh:
            shutil.rmtree(where.repo.path)
    with capsys.disabled():
        print(f"\n{len(calls)} calls in one release; died at {deaths} of them, {finished} runs ended before their call came")
    assert deaths > len(calls) // STRIDE * 0.8


def _judged_before(bench: Bench, calls: list[str], died_at: str, before: tuple[str, str]) -> None:
    """A version's tag that is there when the run died was written after both gates had ended."""
    if before[0]:
        seen = " ".join(bench.recorder.events)
        assert "end trivy image" in seen, died_at
        assert "end opa eval" in seen, died_at


def _complete(bench: Bench, where: Project, died_at: str, before: tuple[str, str]) -> None:
    digest, config = bench.manifest("1.0.0")
    folder = where.repo.path / ".pipeline" / "evidence" / "default"
    evidence = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("build", "scan", "policy", "publish", "deploy")}
    assert evidence["build"]["facts"]["config"] == config, died_at
    assert evidence["scan"]["facts"]["config"] == evidence["policy"]["facts"]["config"] == config, died_at
    assert evidence["publish"]["facts"]["manifest"] == digest, died_at
    assert evidence["deploy"]["facts"]["image"].endswith(digest), died_at
    assert before[0] in {"", digest}, f"after dying at {died_at} the tag moved"
    with contextlib.closing(docker.DockerClient(bench.project.env["DOCKER_HOST"])) as client:
        running = [(name, state) for _, name, state in projects.containers(client, bench.project)]
    assert running == [(bench.project.container, "running")], died_at
    url = f"http://127.0.0.1:{bench.project.port}/index.html"
    assert "built" in urllib.request.urlopen(url, timeout=5).read().decode()


def _remove(project: Project) -> None:
    with contextlib.closing(docker.DockerClient(project.env["DOCKER_HOST"])) as client:
        projects.remove_containers(client, project)
