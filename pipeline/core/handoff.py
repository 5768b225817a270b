"""The hand-off: the document a rollout backend is given."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

SCHEMA: Final = "release-chain/handoff/v1"


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How to tell that a new version serves: exactly one of `http` (a URL), `tcp` (host:port) and `exec` (an argument list run
    inside the container; exit 0 is healthy). Times in seconds; `successes` in a row make it healthy, `timeout` bounds the whole."""

    http: str = ""
    tcp: str = ""
    exec: tuple[str, ...] = ()
    interval: float = 1.0
    successes: int = 3
    timeout: float = 60.0


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret's value is: an environment variable of this process, or a file. The value itself is never in a document."""

    env: str = ""
    file: str = ""


class ContainerSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first container of an environment, in docker's own short forms: `8080:8080`, `/host:/container[:ro]`."""

    name: str
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    restart: str = ""
    env: dict[str, str] = {}
    secrets: dict[str, Secret] = {}


class HandOff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`image` is `repository@sha256:…`, never a tag. `rollout` is the id under which an interrupted rollout resumes."""

    rollout: str
    environment: str
    backend: str
    strategy: str
    project: str
    version: str
    image: str
    probe: Probe
    container: ContainerSpec | None = None
    schema: Literal["release-chain/handoff/v1"] = SCHEMA
