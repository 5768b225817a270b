"""What rollout tests share: images of an application in several states of health, and one rollout from values.

Run as a program, it does one rollout and kills itself after the N-th call that changes something at the engine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import docker.errors
import msgspec
import pytest
import requests

from pipeline.core.cancel import Cancel
from pipeline.core.handoff import ContainerSpec, HandOff, Probe, Secret
from pipeline.errors import PipelineError, ToolError
from pipeline.rollout import outcome, runner
from pipeline.rollout.backends.docker import Docker
from pipeline.rollout.journal import Journal
from pipeline.tools.docker.client import connect
from tests.integration.registries import registry_server
from tests.servers import free_port

BUSYBOX = Path("/bin/busybox")
SERVE = 'CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]'
# `STOPSIGNAL SIGKILL`: busybox ignores SIGTERM as process 1, and a test need not wait for that.
DOCKERFILE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /www /empty && echo {version} > /www/version && echo ok > /www/healthz
ENV FROM_IMAGE={version} SHARED=image
LABEL of.image={version}
VOLUME /kept
STOPSIGNAL SIGKILL
{rest}
"""
SICK = r"""CMD ["sh", "-c", "echo starting; echo key=$API_KEY; printf 'bad \\033[31mred\\n::error::no\\n'; \
exec httpd -f -p 8080 -h /empty"]"""
KINDS = {
    "one": SERVE,
    "two": SERVE,
    "sick": SICK,
    "crash": 'CMD ["sh", "-c", "echo dying; exit 7"]',
    "broken": 'CMD ["/not/there"]',
}


def build(client: docker.DockerClient, folder: Path, address: str, kind: str, auth: dict[str, str] | None = None) -> str:
    """Build and push one image; `repository@sha256:…`."""
    context = folder / kind
    context.mkdir()
    os.link(BUSYBOX, context / "busybox") if BUSYBOX.stat().st_dev == folder.stat().st_dev else (context / "busybox").write_bytes(
        BUSYBOX.read_bytes()
    )
    (context / "busybox").chmod(0o755)
    (context / "Dockerfile").write_text(DOCKERFILE.format(version=kind, rest=KINDS[kind]))
    repository = f"{address}/rc-test-{kind}"
    subprocess.run(
        ["docker", "buildx", "build", "--load", "--provenance=false", "-q", "-t", repository, str(context)], check=True, capture_output=True
    )
    for event in client.api.push(repository, tag="latest", stream=True, decode=True, auth_config=auth or {}):
        assert "error" not in event, event
    url = f"http://{address}/v2/rc-test-{kind}/manifests/latest"
    accept = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    login = (auth["username"], auth["password"]) if auth else None
    digest = requests.head(url, headers={"Accept": accept}, auth=login, timeout=5).headers["Docker-Content-Digest"]
    return f"{repository}@{digest}"


@dataclass
class Done:
    ended: runner.Ended
    outcome: str
    error: PipelineError | None
    said: list[str]


def roll_out(
    handoff: HandOff, folder: Path, cancel: Cancel | None = None, environ: dict[str, str] | None = None, kill_after: int = 0
) -> Done:
    """One rollout on the engine of this environment."""
    said: list[str] = []
    with contextlib.closing(connect(os.environ)) as client:
        if kill_after:
            client.api.hooks["response"].append(_Killer(kill_after))
        backend = Docker(client, handoff, folder, environ or {}, {})
        ended = runner.roll_out(handoff, backend, Journal(folder / "journal.jsonl", handoff.rollout), cancel or Cancel(), said.append)
    return Done(ended, outcome.outcome(ended), outcome.error(ended, handoff), said)


class _Killer:
    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, response: Any, *args: object, **named: object) -> None:
        if response.request.method in {"POST", "DELETE", "PUT"}:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Bench:
    """One test's container name, port and folder, and the images of all."""

    client: docker.DockerClient
    images: dict[str, str]
    folder: Path
    name: str
    port: int

    def hand_off(self, kind: str, **changes: Any) -> HandOff:
        probe = Probe(http=f"http://127.0.0.1:{self.port}/healthz", interval=0.05, successes=2, timeout=3.0)
        spec = ContainerSpec(
            name=self.name,
            ports=(f"127.0.0.1:{self.port}:8080",),
            volumes=(f"{self.name}-named:/named",),
            env={"LEVEL": "info"},
            secrets={"API_KEY": Secret(env="API_KEY")},
        )
        plain = HandOff(f"rollout-{kind}", "test", "docker", "replace", "rc-test", "1.0.0", self.images[kind], probe, spec)
        return msgspec.structs.replace(plain, **changes)

    def deploy(self, kind: str, cancel: Cancel | None = None, **changes: Any) -> Done:
        return roll_out(self.hand_off(kind, **changes), self.folder, cancel, {"API_KEY": "s3cret-value"})

    def version(self) -> str:
        return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/version", timeout=2).read().decode().strip()

    def run(self, kind: str, *arguments: str, command: tuple[str, ...] = ()) -> None:
        """Start the container by hand, as an operator would."""
        argv = ["docker", "run", "-d", "--name", self.name, "-p", f"127.0.0.1:{self.port}:8080", *arguments, self.images[kind], *command]
        subprocess.run(argv, check=True, capture_output=True)

    def inspect(self, name: str = "") -> dict[str, Any]:
        return dict(self.client.api.inspect_container(name or self.name))

    def names(self) -> set[str]:
        listed = self.client.api.containers(all=True)
        return {one["Names"][0].removeprefix("/") for one in listed if one["Names"][0].startswith(f"/{self.name}")}

    def clear(self) -> None:
        """Remove the containers and their anonymous volumes, also those that one took over from another."""
        for one in self.names():
            mounted = [mount["Name"] for mount in self.inspect(one)["Mounts"] if mount["Type"] == "volume"]
            self.client.api.remove_container(one, force=True, v=True)
            for volume in mounted:
                with contextlib.suppress(docker.errors.NotFound):
                    self.client.api.remove_volume(volume, force=True)


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    try:
        client = connect(os.environ)
    except ToolError as error:
        pytest.skip(str(error))
    yield client
    client.close()


@pytest.fixture(scope="module")
def images(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    if not BUSYBOX.exists():
        pytest.skip("busybox is not installed (Debian: apt-get install busybox-static)")
    folder = tmp_path_factory.mktemp("images")
    with registry_server(folder / "registry") as address:
        built = {kind: build(engine, folder, address, kind) for kind in KINDS}
        yield built
    for image in built.values():
        forget(engine, image)


@pytest.fixture
def bench(engine: docker.DockerClient, images: dict[str, str], tmp_path: Path) -> Iterator[Bench]:
    name = f"rc-test-{os.urandom(4).hex()}"
    bench = Bench(engine, images, tmp_path, name, free_port())
    yield bench
    bench.clear()
    for volume in engine.api.volumes(filters={"name": name})["Volumes"] or []:
        engine.api.remove_volume(volume["Name"], force=True)


def forget(client: docker.DockerClient, image: str) -> None:
    for name in (image.partition("@")[0], image):
        with contextlib.suppress(docker.errors.APIError):
            client.api.remove_image(name, force=True)


if __name__ == "__main__":
    roll_out(msgspec.json.decode(sys.argv[1], type=HandOff), Path(sys.argv[2]), kill_after=int(sys.argv[3]))
