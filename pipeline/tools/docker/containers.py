"""The calls that change a container, and what a new one is made of."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.text import line
from pipeline.errors import ToolError
from pipeline.tools.docker.client import engine_errors
from pipeline.tools.docker.inspection import Endpoint

if TYPE_CHECKING:
    import docker

_PORT_TAKEN = re.compile(r"port is already allocated|address already in use")
_CONFLICT = 409
# The runtime lost its own helper before the image's program ran, seen on busy machines: the same start succeeds.
_RUNTIME_LOST = re.compile(r"waiting for init preliminary setup")
_STARTS = 3


class NameTakenError(ToolError):
    """Another container has this name: names are unique in an engine."""


class StartRefusedError(ToolError):
    """The engine answered, and cannot start this very container: its program, a mount, a network is wrong."""


class Creation(msgspec.Struct, frozen=True):
    """What the engine is told to make: the body of its create call, and the networks to join after it, by name."""

    body: dict[str, Any]
    networks: dict[str, Endpoint] = {}


class _Made(msgspec.Struct, frozen=True, rename="pascal"):
    id: str


class _Executed(msgspec.Struct, frozen=True, rename="pascal"):
    running: bool
    exit_code: int | None = None


def create(client: docker.DockerClient, name: str, creation: Creation) -> str:
    """Make a container, not started, and return its ID. Raises `NameTakenError`."""
    import docker.errors

    with engine_errors(f"the container {name} cannot be created"):
        try:
            answer = client.api.create_container_from_config(creation.body, name)  # type: ignore[no-untyped-call]
        except docker.errors.APIError as error:
            if error.status_code == _CONFLICT:
                raise NameTakenError(
                    f"a container named {name} exists already", mend="look at it, and remove it if nobody needs it"
                ) from error
            raise
        made = msgspec.convert(answer, _Made).id
        for network, endpoint in creation.networks.items():
            client.api.connect_container_to_network(made, network, **_connection(endpoint))
    return made


def start(client: docker.DockerClient, name: str) -> None:
    """Start it; one that runs stays as it is. Raises `StartRefusedError`, and `ToolError` for a port that is taken."""
    for attempt in range(1, _STARTS + 1):
        said = _start(client, name)
        if not said:
            return
        if _PORT_TAKEN.search(said):
            mend = "stop what uses the port (`docker ps`, `ss -ltnp`), or publish another one"
            raise ToolError(f"a port of {name} is taken by something else: {said}", mend=mend)
        if attempt == _STARTS or not _RUNTIME_LOST.search(said):
            raise StartRefusedError(f"the container {name} cannot be started: {said}")


def _start(client: docker.DockerClient, name: str) -> str:
    """Why the engine did not start it; empty when it did."""
    import docker.errors

    with engine_errors(f"the container {name} cannot be started"):
        try:
            client.api.start(name)
        except docker.errors.APIError as error:
            return line(str(error.explanation or error), 1000)
    return ""


def stop(client: docker.DockerClient, name: str, seconds: float) -> None:
    """Ask it to end, and kill it after `seconds`; one that does not run, or does not exist, stays as it is."""
    with engine_errors(f"the container {name} cannot be stopped"), _absent_is_fine():
        client.api.stop(name, timeout=round(seconds))


def rename(client: docker.DockerClient, old: str, new: str) -> None:
    with engine_errors(f"the container {old} cannot be renamed to {new}"):
        client.api.rename(old, new)


def remove(client: docker.DockerClient, name: str, *, volumes: bool) -> None:
    """Kill and remove it; with `volumes` its own anonymous volumes too, never one that it took over by name."""
    with engine_errors(f"the container {name} cannot be removed"), _absent_is_fine():
        client.api.remove_container(name, v=volumes, force=True)


def begin(client: docker.DockerClient, name: str, argv: tuple[str, ...]) -> str:
    """Start a program in a running container, and return the handle for `ended`; empty where it cannot be started."""
    import docker.errors

    with engine_errors(f"the container {name} cannot run a program"):
        try:
            handle = msgspec.convert(client.api.exec_create(name, list(argv), stdout=False, stderr=False), _Made).id
            client.api.exec_start(handle, detach=True)
        except docker.errors.APIError as error:
            if error.response is None:
                raise
            return ""
    return handle


def ended(client: docker.DockerClient, handle: str) -> int | None:
    """The exit code of what `begin` started, None while it runs; 126 for what could not be started, as a shell has it."""
    if not handle:
        return 126
    with engine_errors("the state of a program in a container cannot be read"):
        executed = msgspec.convert(client.api.exec_inspect(handle), _Executed)
    return None if executed.running else executed.exit_code


def _connection(endpoint: Endpoint) -> dict[str, Any]:
    asked = endpoint.ipam or {}
    return {
        "aliases": list(endpoint.aliases or ()),
        "links": [tuple(link.split(":", 1)) for link in endpoint.links or ()],
        "ipv4_address": asked.get("IPv4Address"),
        "ipv6_address": asked.get("IPv6Address"),
        "link_local_ips": asked.get("LinkLocalIPs"),
        "driver_opt": endpoint.driver_opts,
    }


@contextlib.contextmanager
def _absent_is_fine() -> Iterator[None]:
    import docker.errors

    with contextlib.suppress(docker.errors.NotFound):
        yield
