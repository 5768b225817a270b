"""What a successor keeps of the container it replaces, and what a description becomes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.core.handoff import ContainerSpec
from pipeline.errors import UsageError
from pipeline.tools.docker.creation import first, successor
from pipeline.tools.docker.inspection import Config, Container

ID = "9ece5e75f491aa8de949f4dc000c97189f90b7d0facefaeaa807ce8b3242c0a4"


def old(config: dict[str, Any] | None = None, host: dict[str, Any] | None = None, **more: Any) -> Container:
    answer = {
        "Id": ID,
        "Name": "/agent",
        "Image": "sha256:old",
        "Created": "2026-01-01T00:00:00Z",
        "State": {"Status": "running", "Running": True},
        "Config": {"Hostname": ID[:12], "Image": "old"} | (config or {}),
        "HostConfig": {"NetworkMode": "default"} | (host or {}),
        "NetworkSettings": {"Networks": {}},
    }
    return msgspec.convert(answer | more, Container)


def made(container: Container, image: Config | None = None) -> dict[str, Any]:
    return successor(container, image or Config(), "new@sha256:1", "agent", {"ours": "1"}).body


def test_only_what_differs_from_the_image_is_the_operators() -> None:
    image = Config(env=("A=1", "B=2"), cmd=("serve",), entrypoint=("/app",), user="app", working_dir="/srv", labels={"l": "1", "k": "2"})
    config = {"Env": ["A=1", "B=9", "C=3"], "Cmd": ["serve"], "Entrypoint": ["/app"], "User": "root", "WorkingDir": "/srv"}
    body = made(old(config | {"Labels": {"l": "1", "k": "9"}}), image)
    assert body["Env"] == ["B=9", "C=3"]
    assert body["User"] == "root"
    assert body["Labels"] == {"k": "9", "ours": "1"}
    assert not {"Cmd", "Entrypoint", "WorkingDir", "Healthcheck", "Hostname"} & set(body)


@pytest.mark.parametrize(
    ("config", "image", "kept"),
    [
        ({"Cmd": ["b"], "Entrypoint": ["/e"]}, Config(cmd=("a",), entrypoint=("/e",)), {"Cmd": ["b"]}),
        ({"Cmd": ["a"], "Entrypoint": ["/x"]}, Config(cmd=("a",), entrypoint=("/e",)), {"Cmd": ["a"], "Entrypoint": ["/x"]}),
        ({"Cmd": None, "Entrypoint": ["/x"]}, Config(cmd=("a",)), {"Cmd": [], "Entrypoint": ["/x"]}),
        ({"Cmd": ["b"], "Entrypoint": None}, Config(entrypoint=("/e",)), {"Cmd": ["b"], "Entrypoint": [""]}),
        ({"Cmd": ["a"], "Entrypoint": None}, Config(cmd=("a",)), {}),
    ],
    ids=["command", "entrypoint", "entrypoint-resets-command", "no-entrypoint", "neither"],
)
def test_command_and_entrypoint(config: dict[str, Any], image: Config, kept: dict[str, Any]) -> None:
    body = made(old(config), image)
    assert {key: body[key] for key in ("Cmd", "Entrypoint") if key in body} == kept


def test_the_host_side_is_carried_over_whole() -> None:
    host = {"Memory": 1, "Devices": [{"PathOnHost": "/dev/x"}], "SomethingNew": {"a": 1}, "Links": ["/db:/agent/store"]}
    body = made(old(host=host))
    assert body["HostConfig"] | {"Memory": 1, "SomethingNew": {"a": 1}} == body["HostConfig"]
    assert body["HostConfig"]["Links"] == ["db:store"]


def test_every_mount_is_taken_over_once() -> None:
    host = {"Binds": ["/etc/x:/x:ro", "named:/named/"], "Mounts": [{"Type": "volume", "Target": "/m"}], "VolumesFrom": ["other"]}
    mounts = [
        {"Type": "bind", "Source": "/etc/x", "Destination": "/x", "RW": False},
        {"Type": "volume", "Name": "named", "Destination": "/named", "RW": True},
        {"Type": "volume", "Name": "f00", "Destination": "/m", "Mode": "z", "RW": True},
        {"Type": "volume", "Name": "abc", "Destination": "/data", "RW": True},
        {"Type": "bind", "Source": "/srv", "Destination": "/other", "RW": False, "Propagation": "rshared"},
        {"Type": "tmpfs", "Destination": "/tmp"},
    ]
    body = made(old(host=host, Mounts=mounts))["HostConfig"]
    assert body["Binds"] == ["/etc/x:/x:ro", "named:/named/", "abc:/data:rw", "/srv:/other:rshared,ro"]
    assert body["Mounts"] == [{"Type": "volume", "Target": "/m", "Source": "f00"}]
    assert body["VolumesFrom"] is None


def test_networks_with_aliases_and_asked_addresses() -> None:
    joined = {
        "front": {"NetworkID": "n1", "Aliases": [ID[:12], "api"], "IPAMConfig": {"IPv4Address": "10.0.0.5"}, "IPAddress": "10.0.0.5"},
        "back": {"NetworkID": "n2", "Aliases": None, "IPAddress": "10.1.0.7"},
        "bridge": {"NetworkID": "n3"},
    }
    creation = successor(old(host={"NetworkMode": "front"}, NetworkSettings={"Networks": joined}), Config(), "new", "agent", {})
    endpoints = creation.body["NetworkingConfig"]["EndpointsConfig"]
    assert list(endpoints) == ["front"]
    assert list(endpoints["front"]["Aliases"]) == ["api", "agent"]
    assert endpoints["front"]["IPAMConfig"] == {"IPv4Address": "10.0.0.5"}
    assert set(creation.networks) == {"back"}
    assert creation.networks["back"].aliases == ("agent",)


@pytest.mark.parametrize(
    ("hostname", "host", "kept"),
    [("box", {}, True), (ID[:12], {}, False), ("box", {"NetworkMode": "container:x"}, False), ("box", {"UTSMode": "host"}, False)],
)
def test_a_hostname_is_kept_if_somebody_chose_it(hostname: str, host: dict[str, Any], kept: bool) -> None:
    assert ("Hostname" in made(old({"Hostname": hostname}, host))) == kept


def test_a_description_becomes_a_container() -> None:
    spec = ContainerSpec(
        name="agent",
        ports=("8080:80", "127.0.0.1:53:53/udp", "[::1]:81:80", "9000"),
        volumes=("/srv:/srv:ro", "named:/n", "/anonymous"),
        networks=("front", "back"),
        restart="on-failure:3",
        env={"A": "1"},
    )
    creation = first(spec, {"S": "x"}, "image@sha256:1", {"l": "1"})
    body, host = creation.body, creation.body["HostConfig"]
    assert body["Env"] == ["A=1", "S=x"]
    assert host["PortBindings"] == {
        "80/tcp": [{"HostIp": "", "HostPort": "8080"}, {"HostIp": "::1", "HostPort": "81"}],
        "53/udp": [{"HostIp": "127.0.0.1", "HostPort": "53"}],
        "9000/tcp": [{"HostIp": "", "HostPort": ""}],
    }
    assert (host["Binds"], body["Volumes"]) == (["/srv:/srv:ro", "named:/n"], {"/anonymous": {}})
    assert (host["NetworkMode"], set(creation.networks)) == ("front", {"back"})
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}


@pytest.mark.parametrize(
    "wrong",
    [
        {"ports": ("web",)},
        {"ports": ("70000:80",)},
        {"ports": ("80:0",)},
        {"volumes": ("./here:/x",)},
        {"volumes": ("a:b",)},
        {"volumes": ("/a:/b:ro:x",)},
        {"restart": "sometimes"},
        {"restart": "always:3"},
    ],
    ids=str,
)
def test_a_wrong_description_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        first(ContainerSpec(name="agent", **wrong), {}, "image", {})
