"""What the engine says of containers and images."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.tools.docker.client import engine_errors

if TYPE_CHECKING:
    import docker


class State(msgspec.Struct, frozen=True, rename="pascal"):
    status: str
    running: bool
    restarting: bool = False
    oom_killed: bool = msgspec.field(default=False, name="OOMKilled")
    exit_code: int = 0


class Config(msgspec.Struct, frozen=True, rename="pascal"):
    """How a program is run; an image's own, or a container's after the image's was merged into it. None: not said."""

    image: str = ""
    hostname: str = ""
    domainname: str = ""
    user: str = ""
    tty: bool = False
    open_stdin: bool = False
    stdin_once: bool = False
    network_disabled: bool = False
    env: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    shell: tuple[str, ...] | None = None
    healthcheck: dict[str, Any] | None = None
    exposed_ports: dict[str, Any] | None = None
    working_dir: str = ""
    labels: dict[str, str] | None = None
    stop_signal: str | None = None
    stop_timeout: int | None = None


class Mount(msgspec.Struct, frozen=True, rename="pascal"):
    """A mount as it is: `name` of a volume, `source` path of a bind."""

    type: str
    destination: str
    name: str = ""
    source: str = ""
    mode: str = ""
    writable: bool = msgspec.field(default=True, name="RW")
    propagation: str = ""


class Endpoint(msgspec.Struct, frozen=True, rename="pascal"):
    """A container's place in a network; `ipam` holds the addresses that were asked for."""

    network_id: str = msgspec.field(default="", name="NetworkID")
    ipam: dict[str, Any] | None = msgspec.field(default=None, name="IPAMConfig")
    links: tuple[str, ...] | None = None
    aliases: tuple[str, ...] | None = None
    driver_opts: dict[str, str] | None = None


class _Network(msgspec.Struct, frozen=True, rename="pascal"):
    networks: dict[str, Endpoint] | None = None


class Container(msgspec.Struct, frozen=True, rename="pascal"):
    """`image` is the engine's ID of it. `host` is everything the engine was told about the host's side; carried over, not read."""

    id: str
    name: str
    image: str
    created: str
    state: State
    config: Config
    host: dict[str, Any] = msgspec.field(name="HostConfig")
    mounts: tuple[Mount, ...] = ()
    restart_count: int = 0
    network: _Network = msgspec.field(default=_Network(), name="NetworkSettings")

    @property
    def labels(self) -> Mapping[str, str]:
        return self.config.labels or {}

    @property
    def alive(self) -> bool:
        """Running, or between two restarts."""
        return self.state.running or self.state.restarting


class Image(msgspec.Struct, frozen=True, rename="pascal"):
    """`id` is the engine's own; `config` what the image says of how it is run."""

    id: str
    config: Config | None = None


class _Listed(msgspec.Struct, frozen=True, rename="pascal"):
    names: tuple[str, ...] = ()


class _Clock(msgspec.Struct, frozen=True, rename="pascal"):
    system_time: str


def find(client: docker.DockerClient, name: str) -> Container | None:
    """The container of exactly this name; None where there is none."""
    import docker.errors

    with engine_errors(f"the container {name} cannot be inspected"):
        try:
            found = msgspec.convert(client.api.inspect_container(name), Container)
        except docker.errors.NotFound:
            return None
    # The engine would also take the beginning of another container's ID.
    return found if found.name == f"/{name}" else None


def labelled(client: docker.DockerClient, labels: Mapping[str, str]) -> tuple[str, ...]:
    """The names of all containers, running or not, that carry these labels."""
    wanted = {"label": [f"{key}={value}" for key, value in labels.items()]}
    with engine_errors("the containers cannot be listed"):
        listed = msgspec.convert(client.api.containers(all=True, filters=wanted), list[_Listed])
    return tuple(name.removeprefix("/") for one in listed for name in one.names if name.count("/") == 1)


def find_image(client: docker.DockerClient, reference: str) -> Image | None:
    """An image that is in the engine, by `repository@sha256:…` or by its ID; None where it is not."""
    import docker.errors

    with engine_errors(f"the image {reference} cannot be inspected"):
        try:
            return msgspec.convert(client.api.inspect_image(reference), Image)  # type: ignore[no-untyped-call]
        except docker.errors.NotFound:
            return None


def tail(client: docker.DockerClient, name: str, lines: int) -> tuple[str, ...]:
    """The last lines of its output, raw. Raises `ToolError`, also where its log driver does not read back."""
    with engine_errors(f"the log of {name} cannot be read"):
        written: bytes = client.api.logs(name, tail=lines)
    return tuple(written.decode("utf-8", "replace").splitlines()[-lines:])


def now(client: docker.DockerClient) -> datetime:
    """The engine's clock."""
    with engine_errors("the engine's clock cannot be read"):
        return datetime.fromisoformat(msgspec.convert(client.api.info(), _Clock).system_time)
