"""Rollouts on a real engine: what is kept, what goes back, what is refused."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import Any

import docker
import docker.errors
import msgspec
import pytest

from pipeline.core.handoff import ContainerSpec, Probe, Secret
from pipeline.errors import RollbackFailedError, RolledBackError, ToolError, UsageError
from tests.integration.rollouts import Bench, bench, engine, forget, images

__all__ = ["bench", "engine", "images"]


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
    forget(bench.client, bench.images["two"])
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
    before = bench.inspect()
    assert "--rm" in str(bench.deploy("two").error)
    assert bench.inspect()["State"] == before["State"]


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
