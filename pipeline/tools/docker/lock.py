"""A lock at the engine: a container that is never started. Names are unique there, so only one can be made; its labels say whose
it is and for how long, by the engine's own clock. It is removed by its ID, so that nobody removes a later one by mistake."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from pipeline.tools.docker import containers, creation, inspection

if TYPE_CHECKING:
    import docker

_HOLDER = "dev.release-chain.holder"
_SECONDS = "dev.release-chain.seconds"


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody's lock; `left`: seconds until its time is over."""

    id: str
    holder: str
    left: float


def take(client: docker.DockerClient, name: str, image: str, holder: str, seconds: float) -> Held | None:
    """Take it, or say who has it. `image` is any image that is in the engine: a container is made of one."""
    try:
        containers.create(client, name, creation.idle(image, {_HOLDER: holder, _SECONDS: f"{seconds:.0f}"}))
    except containers.NameTakenError:
        return _held(client, name)
    return None


def give_back(client: docker.DockerClient, name: str, holder: str) -> None:
    """Remove it if it is `holder`'s."""
    found = inspection.find(client, name)
    if found and found.labels.get(_HOLDER) == holder:
        remove(client, found.id)


def remove(client: docker.DockerClient, identifier: str) -> None:
    """Remove this very lock; one that is gone already is fine."""
    containers.remove(client, identifier, volumes=True)


def _held(client: docker.DockerClient, name: str) -> Held:
    found = inspection.find(client, name)
    if found is None:
        return Held("", "", 1.0)
    seconds = found.labels.get(_SECONDS, "")
    age = inspection.now(client) - datetime.fromisoformat(found.created)
    return Held(found.id, found.labels.get(_HOLDER, ""), (float(seconds) if seconds.isdecimal() else 0.0) - age.total_seconds())
