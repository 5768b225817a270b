"""Rollouts on a real engine: what is kept, what goes back, and what is left by a kill."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import docker
import docker.errors
import msgspec
import pytest

from pipeline.config.load import load
from pipeline.console import Console
from pipeline.context import Context, Options
from pipeline.core.cancel import Cancel
from pipeline.core.handoff import ContainerSpec, HandOff, Probe, Secret
from pipeline.core.job import Job
from pipeline.core.record import DeployFacts
from pipeline.errors import CancelledError, RollbackFailedError, RolledBackError, ToolError, UsageError
from pipeline.evidence import Store
from pipeline.steps import deploy
from pipeline.tools.docker import lock
from pipeline.tools.docker.client import connect
from tests.integration import rollouts
from tests.integration.registries import PASSWORD, USER, password_registry, registry_server
from tests.integration.rollouts import BUSYBOX, Done, build
from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[2]


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
        return rollouts.roll_out(self.hand_off(kind, **changes), self.folder, cancel, {"API_KEY": "s3cret-value"})

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
        built = {kind: build(engine, folder, address, kind) for kind in rollouts.KINDS}
        yield built
    for image in built.values():
        _forget(engine, image)


@pytest.fixture
def bench(engine: docker.DockerClient, images: dict[str, str], tmp_path: Path) -> Iterator[Bench]:
    name = f"rc-test-{os.urandom(4).hex()}"
    bench = Bench(engine, images, tmp_path, name, free_port())
    yield bench
    bench.clear()
    for volume in engine.api.volumes(filters={"name": name})["Volumes"] or []:
        engine.api.remove_volume(volume["Name"], force=True)


def test_the_first_deployment_follows_the_description(bench: Bench) -> None:
    done = bench.deploy("one")
    assert (done.error, done.outcome, bench.version()) == (None, "succeeded", "one")
    made = bench.inspect()
    assert {"LEVEL=info", "API_KEY=s3cret-value", "FROM_IMAGE=one"} <= set(made["Config"]["Env"])
    assert f"{bench.name}-named:/named" in made["HostConfig"]["Binds"]
    assert made["Config"]["Labels"]["dev.release-chain.image"] == bench.images["one"]
    assert bench.names() == {bench.name}


def test_deploying_the_same_again_touches_nothing(bench: Bench) -> None:
    bench.deploy("one")
    before = bench.inspect()
    done = bench.deploy("one")
    assert (done.error, done.outcome) == (None, "unchanged")
    assert bench.inspect()["Id"] == before["Id"]
    assert bench.inspect()["State"]["StartedAt"] == before["State"]["StartedAt"]


def test_an_update_keeps_what_the_operator_set(bench: Bench, engine: docker.DockerClient) -> None:
    network = f"{bench.name}-net"
    engine.api.create_network(network)
    try:
        flags = (
            "-e SHARED=operator -e MINE=1 -v /anonymous --memory 64m --cap-add NET_ADMIN --add-host db:10.0.0.9 --restart unless-stopped"
        )
        more = f"--network {network} --network-alias api --hostname agent --user 0:0 --label team=blue --log-opt max-size=1m"
        bench.run("one", *flags.split(), *more.split(), "-v", f"{bench.name}-data:/data:ro", "--mount", "type=volume,dst=/mounted")
        subprocess.run(
            ["docker", "exec", bench.name, "sh", "-c", "echo a > /anonymous/f; echo b > /kept/f; echo c > /mounted/f"], check=True
        )
        old = bench.inspect()
        done = bench.deploy("two", container=None, project=bench.name)
        assert (done.error, done.outcome, done.ended.previous) == (None, "succeeded", bench.images["one"])
        assert bench.version() == "two"
        made = bench.inspect()
        config, host = made["Config"], made["HostConfig"]
        assert {"SHARED=operator", "MINE=1", "FROM_IMAGE=two"} <= set(config["Env"])
        assert "FROM_IMAGE=one" not in config["Env"]
        assert (config["Hostname"], config["User"]) == ("agent", "0:0")
        assert (config["Labels"]["team"], config["Labels"]["of.image"]) == ("blue", "two")
        assert (host["Memory"], host["CapAdd"], host["ExtraHosts"]) == (64 << 20, old["HostConfig"]["CapAdd"], ["db:10.0.0.9"])
        assert (host["RestartPolicy"]["Name"], host["LogConfig"]["Config"]) == ("unless-stopped", {"max-size": "1m"})
        assert {"api", bench.name} <= set(made["NetworkSettings"]["Networks"][network]["Aliases"])
        assert not next(one for one in made["Mounts"] if one["Destination"] == "/data")["RW"]
        kept = subprocess.run(
            ["docker", "exec", bench.name, "cat", "/anonymous/f", "/kept/f", "/mounted/f"], check=True, capture_output=True
        )
        assert kept.stdout.split() == [b"a", b"b", b"c"]
        assert bench.names() == {bench.name}
        # A third one still finds them.
        assert bench.deploy("one", container=None, project=bench.name).outcome == "succeeded"
        assert subprocess.run(["docker", "exec", bench.name, "cat", "/anonymous/f"], check=True, capture_output=True).stdout == b"a\n"
    finally:
        bench.clear()
        engine.api.remove_network(network)


def test_a_second_network_and_a_fixed_address_are_kept(bench: Bench, engine: docker.DockerClient) -> None:
    networks = [f"{bench.name}-a", f"{bench.name}-b"]
    subprocess.run(["docker", "network", "create", "--subnet", "10.213.7.0/24", networks[0]], check=True, capture_output=True)
    engine.api.create_network(networks[1])
    try:
        bench.run("one", "--network", networks[0], "--ip", "10.213.7.9")
        subprocess.run(["docker", "network", "connect", "--alias", "other", networks[1], bench.name], check=True)
        assert bench.deploy("two").outcome == "succeeded"
        joined = bench.inspect()["NetworkSettings"]["Networks"]
        assert set(joined) == set(networks)
        assert joined[networks[0]]["IPAddress"] == "10.213.7.9"
        assert "other" in joined[networks[1]]["Aliases"]
    finally:
        bench.clear()
        for one in networks:
            engine.api.remove_network(one)


@pytest.mark.parametrize(("kind", "why"), [("sick", "status 404"), ("crash", "exit code 7"), ("broken", "/not/there")])
def test_a_sick_version_goes_back(bench: Bench, kind: str, why: str) -> None:
    bench.deploy("one")
    before = bench.inspect()["Id"]
    done = bench.deploy(kind)
    assert isinstance(done.error, RolledBackError)
    assert done.outcome == "rolled-back"
    assert why in done.error.what
    assert "the previous version serves again" in done.error.what
    assert (bench.inspect()["Id"], bench.version(), bench.names()) == (before, "one", {bench.name})


def test_the_last_lines_are_evidence_and_tame(bench: Bench) -> None:
    bench.deploy("one")
    log = bench.deploy("sick").ended.log
    assert log[:2] == ("starting", "key=***")
    assert "bad \ufffd[31mred" in log
    assert not any("\x1b" in one or one.startswith("::") for one in log)


def test_a_crash_is_noticed_at_once(bench: Bench) -> None:
    bench.deploy("one")
    started = time.monotonic()
    spec = msgspec.structs.replace(bench.hand_off("crash").probe, timeout=30.0)
    assert bench.deploy("crash", probe=spec).outcome == "rolled-back"
    assert time.monotonic() - started < 12


def test_a_sick_first_version_is_taken_away(bench: Bench) -> None:
    done = bench.deploy("sick")
    assert isinstance(done.error, RolledBackError)
    assert "nothing served before" in done.error.what
    assert bench.names() == set()


def test_what_was_stopped_stays_stopped(bench: Bench) -> None:
    bench.run("one")
    bench.client.api.stop(bench.name)
    done = bench.deploy("sick")
    assert isinstance(done.error, RolledBackError)
    assert "stopped, as it was before" in done.error.what
    assert not bench.inspect()["State"]["Running"]


def test_going_back_to_a_sick_version_fails(bench: Bench) -> None:
    bench.run("one", command=("httpd", "-f", "-p", "8080", "-h", "/empty"))
    done = bench.deploy("broken")
    assert isinstance(done.error, RollbackFailedError)
    assert done.outcome == "rollback-failed"
    assert f"docker start {bench.name}" in done.error.mend
    assert bench.inspect()["State"]["Running"]


def test_an_image_that_cannot_be_pulled_leaves_the_old_one_alone(bench: Bench) -> None:
    bench.deploy("one")
    before = bench.inspect()
    absent = f"{bench.images['two'].partition('@')[0]}@sha256:{'0' * 64}"
    done = bench.deploy("two", image=absent)
    assert isinstance(done.error, ToolError)
    assert done.outcome == "failed"
    assert "cannot be pulled" in done.error.what
    assert bench.inspect()["State"] == before["State"]


def test_an_image_is_pulled_by_its_digest(bench: Bench) -> None:
    _forget(bench.client, bench.images["two"])
    assert bench.deploy("two").outcome == "succeeded"
    assert bench.version() == "two"


def test_a_taken_port_is_no_fault_of_the_version(bench: Bench) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", bench.port))
        other.listen()
        done = bench.deploy("one")
    assert type(done.error) is ToolError
    assert "taken by something else" in done.error.what
    assert bench.names() == set()


def test_refused_before_anything_is_touched(bench: Bench) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"image": bench.images["one"].replace("@sha256:" + bench.images["one"][-64:], ":latest")}, "names no digest"),
        ({"container": None, "project": bench.name}, "none is described"),
        ({"probe": Probe()}, "exactly one of"),
        ({"container": ContainerSpec(name=bench.name, secrets={"A": Secret(env="UNSET")})}, "UNSET is not set"),
        ({"container": ContainerSpec(name=bench.name, ports=("web",))}, "not a published port"),
    ]
    for changes, why in cases:
        done = bench.deploy("one", **changes)
        assert isinstance(done.error, UsageError), changes
        assert why in done.error.what
    bench.run("one", "--rm")
    assert "--rm" in str(bench.deploy("two").error)
    assert bench.version() == "one"


@pytest.mark.parametrize(
    "probe",
    [{"tcp": "127.0.0.1:{port}"}, {"exec": ("busybox", "wget", "-q", "-O-", "http://127.0.0.1:8080/healthz")}],
    ids=lambda probe: str(*probe),
)
def test_other_probes(bench: Bench, probe: dict[str, Any]) -> None:
    filled = {key: value.format(port=bench.port) if isinstance(value, str) else value for key, value in probe.items()}
    healthy = Probe(**filled, interval=0.05, successes=2, timeout=5)
    assert bench.deploy("one", probe=healthy).error is None
    if probe.get("exec"):
        bad = bench.deploy("two", probe=Probe(exec=("false",), interval=0.05, successes=1, timeout=1))
        assert "exit code 1" in bad.ended.sick


def test_a_signal_before_the_switch_changes_nothing(bench: Bench) -> None:
    bench.deploy("one")
    cancel = Cancel()
    cancel.set(signal.SIGTERM)
    done = bench.deploy("two", cancel)
    assert isinstance(done.error, CancelledError)
    assert done.error.code == 143
    assert (bench.version(), bench.names()) == ("one", {bench.name})


def test_a_signal_while_it_is_tried_goes_back(bench: Bench) -> None:
    bench.deploy("one")
    cancel = Cancel()
    threading.Timer(2.0, cancel.set, [signal.SIGINT]).start()
    slow = msgspec.structs.replace(bench.hand_off("sick").probe, timeout=60.0)
    started = time.monotonic()
    done = bench.deploy("sick", cancel, probe=slow)
    assert isinstance(done.error, CancelledError)
    assert "the previous version serves again" in done.error.what
    assert time.monotonic() - started < 10
    assert (bench.version(), bench.names()) == ("one", {bench.name})


def test_a_rollout_waits_for_another_and_takes_over_a_dead_ones_lock(bench: Bench) -> None:
    bench.deploy("one")
    image = bench.inspect()["Image"]
    assert lock.take(bench.client, f"{bench.name}.rc-lock", image, "somebody", 600) is None
    release = threading.Timer(1.5, lock.give_back, [bench.client, f"{bench.name}.rc-lock", "somebody"])
    release.start()
    done = bench.deploy("two")
    release.join()
    assert done.outcome == "succeeded"
    assert any("another rollout is at work" in one for one in done.said)
    assert lock.take(bench.client, f"{bench.name}.rc-lock", image, "somebody", 0) is None
    assert bench.deploy("one").outcome == "succeeded"


def _context(bench: Bench, image: str, job: Job) -> Context:
    (bench.folder / "pipeline.toml").write_text(f"""
[environments.test]
probe = {{ http = "http://127.0.0.1:{bench.port}/healthz", interval = "50ms", successes = 2, timeout = "3s" }}
[environments.test.container]
name = "{bench.name}"
ports = ["127.0.0.1:{bench.port}:8080"]
secrets = {{ API_KEY = {{ env = "API_KEY" }} }}
""")
    environ = {"HOME": str(bench.folder), "API_KEY": "s3cret-value"}
    environ |= {name: os.environ[name] for name in ("PATH", "DOCKER_HOST") if name in os.environ}
    return Context(
        root=bench.folder,
        settings=load(bench.folder, environ, {}),
        job=job,
        evidence=Store(bench.folder / ".pipeline", job.id),
        console=Console(io.StringIO()),
        cancel=Cancel(),
        environ=environ,
        now=datetime.now(UTC),
        options=Options(to=("test",), image=image),
    )


def test_the_step_pulls_with_the_jobs_credentials_and_leaves_evidence(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    with password_registry(tmp_path / "registry") as address:
        auth = {"username": USER, "password": PASSWORD}
        one, sick = (build(bench.client, tmp_path / "images", address, kind, auth) for kind in ("one", "sick"))
        for image in (one, sick):
            _forget(bench.client, image)
        anonymous = _context(bench, one, Job())
        with pytest.raises(ToolError, match="cannot be pulled"):
            deploy.run(anonymous)
        job = Job(registry=address, registry_user=USER, registry_password=PASSWORD)
        evidence = deploy.run(_context(bench, one, job))
        assert isinstance(evidence.facts, DeployFacts)
        assert (evidence.facts.outcome, evidence.subject.digest) == ("succeeded", one.partition("@")[2])
        failing = _context(bench, sick, job)
        with pytest.raises(RolledBackError):
            deploy.run(failing)
        facts = failing.evidence.facts("deploy", DeployFacts)
        assert (facts.outcome, facts.previous, facts.log[:2]) == ("rolled-back", one, ("starting", "key=***"))
        printed = cast(io.StringIO, failing.console.stream).getvalue()
        assert "  │ key=***" in printed
        assert "\x1b" not in printed
        assert "s3cret-value" not in printed
        assert [path.name for path in (bench.folder / ".pipeline" / "rollout").iterdir()]
        bench.clear()
        for image in (one, sick):
            _forget(bench.client, image)


def _forget(client: docker.DockerClient, image: str) -> None:
    for name in (image.partition("@")[0], image):
        with contextlib.suppress(docker.errors.APIError):
            client.api.remove_image(name, force=True)


def _killed(bench: Bench, kind: str, after: int) -> bool:
    """Whether a rollout in a process of its own was killed after that many changes; False when it ended before."""
    argv = [sys.executable, "-m", "tests.integration.rollouts"]
    plain = msgspec.structs.replace(bench.hand_off(kind).container, secrets={})
    handoff = msgspec.json.encode(bench.hand_off(kind, container=plain)).decode()
    ended = subprocess.run([*argv, handoff, str(bench.folder), str(after)], cwd=ROOT, check=False, capture_output=True)
    assert ended.returncode in {0, -signal.SIGKILL}, ended.stderr.decode()
    return ended.returncode != 0


def _kill_everywhere(bench: Bench, kind: str, before: Callable[[], object], after: Callable[[], object]) -> int:
    for count in range(1, 30):
        before()
        killed = _killed(bench, kind, count)
        after()
        if not killed:
            return count - 1
    raise AssertionError("it never ended")


def test_killed_after_any_change_the_next_run_finishes(bench: Bench) -> None:
    def before() -> None:
        assert bench.deploy("one").error is None
        assert bench.version() == "one"

    def after() -> None:
        assert bench.deploy("two").error is None
        assert (bench.version(), bench.names()) == ("two", {bench.name})

    # lock, create, stop, start, rename, rename, remove, unlock
    assert _kill_everywhere(bench, "two", before, after) >= 8


def test_killed_after_any_change_of_a_first_deployment_the_next_run_finishes(bench: Bench) -> None:
    def before() -> None:
        bench.clear()

    def after() -> None:
        assert bench.deploy("one").error is None
        assert (bench.version(), bench.names()) == ("one", {bench.name})

    assert _kill_everywhere(bench, "one", before, after) >= 4


def test_killed_while_going_back_the_next_run_goes_back(bench: Bench) -> None:
    def before() -> None:
        assert bench.deploy("one").error is None

    def after() -> None:
        assert isinstance(bench.deploy("crash").error, RolledBackError)
        assert (bench.version(), bench.names()) == ("one", {bench.name})

    # lock, create, stop, start, stop, start, remove, unlock
    assert _kill_everywhere(bench, "crash", before, after) >= 8


def test_killed_halfway_another_version_is_rolled_out_instead(bench: Bench) -> None:
    bench.deploy("one")
    assert _killed(bench, "sick", 4)
    done = bench.deploy("two")
    assert done.error is None
    assert any("died halfway" in one for one in done.said)
    assert (bench.version(), bench.names()) == ("two", {bench.name})
