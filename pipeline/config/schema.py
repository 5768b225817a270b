"""The configuration, as types. Every key has a default where one can serve.

Keys are written with `-` in the file. Durations are strings such as `90s`, `5m`, `48h`, `7d`; sizes such as `200MB`, `1GiB`.
"""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec

from pipeline.core.finding import Severity


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """One table of `pipeline.toml`."""


class SecretSource(_Table, frozen=True):
    """Where a secret's value is: exactly one of an environment variable and a file."""

    env: str = ""
    file: str = ""


class Project(_Table, frozen=True):
    """`name`: the project's, shown in reports and given to containers; default: the folder's name. `licenses`: an SPDX expression."""

    name: str = ""
    licenses: str = ""
    source: str = ""


class Image(_Table, frozen=True):
    """`dockerfile` empty: `Dockerfile`, then `Dockerfile.multistage`. `args` are build arguments; `secrets` reach the build as BuildKit
    secrets by id. `cache-to` is used on protected refs only. `allow`: BuildKit entitlements, each a finding."""

    repository: str = ""
    dockerfile: str = ""
    context: str = "."
    target: str = ""
    platforms: tuple[str, ...] = ()
    args: dict[str, str] = {}
    secrets: dict[str, SecretSource] = {}
    labels: dict[str, str] = {}
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    allow: tuple[Literal["network.host", "security.insecure"], ...] = ()
    include_untracked: tuple[str, ...] = ()
    trusted_frontends: tuple[str, ...] = ()
    context_limit: str = "500MB"
    timeout: str = "60m"


class Version(_Table, frozen=True):
    """`prefix` unset: both `v1.2.3` and `1.2.3` count. `tags`: the image tags of a release."""

    prefix: str | None = None
    tags: tuple[str, ...] = ("{version}",)


class Scan(_Table, frozen=True):
    """`allow-empty`: an image in which nothing was recognised is judged as it is instead of being an error."""

    fail_on: tuple[Severity, ...] = (Severity.CRITICAL, Severity.HIGH)
    unfixed: Literal["warn", "fail"] = "warn"
    enforce_from: date | None = None
    max_database_age: str = "48h"
    database_repositories: tuple[str, ...] = ()
    database: str = ""
    allow_empty: bool = False
    timeout: str = "10m"


class Policy(_Table, frozen=True):
    """`paths`: the project's own policies, beside the built-in ones. `manifests`: Kubernetes manifests to judge, as globs."""

    paths: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()
    fail_on: tuple[Severity, ...] = (Severity.CRITICAL,)
    enforce_from: date | None = None
    timeout: str = "60s"


class Check(_Table, frozen=True):
    """The preflight's thresholds."""

    fail_on: tuple[Severity, ...] = (Severity.CRITICAL,)


class Network(_Table, frozen=True):
    """`ca-bundle`: a PEM file that git, requests, buildx, Trivy and OPA trust besides the system's."""

    ca_bundle: str = ""


class Release(_Table, frozen=True):
    """`deploy`: the environments that `pipeline release` rolls out to by itself."""

    deploy: tuple[str, ...] = ()


class Probe(_Table, frozen=True):
    """Exactly one of `http` (a URL), `tcp` (host:port) and `exec` (an argument list run in the container)."""

    http: str = ""
    tcp: str = ""
    exec: tuple[str, ...] = ()
    interval: str = "1s"
    successes: int = 3
    timeout: str = "60s"


class Container(_Table, frozen=True):
    """The first container of an environment; later ones copy the one they replace."""

    name: str
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    restart: str = "unless-stopped"
    env: dict[str, str] = {}
    secrets: dict[str, SecretSource] = {}


class Environment(_Table, frozen=True):
    """`host`: the docker endpoint; empty: the current context's."""

    probe: Probe
    backend: Literal["docker"] = "docker"
    strategy: Literal["replace"] = "replace"
    host: str = ""
    container: Container | None = None


class File(_Table, frozen=True):
    """The whole of `pipeline.toml`. `[image]` is short for `[images.default]`."""

    project: Project = Project()
    image: Image | None = None
    images: dict[str, Image] = {}
    version: Version = Version()
    check: Check = Check()
    scan: Scan = Scan()
    policy: Policy = Policy()
    network: Network = Network()
    release: Release = Release()
    environments: dict[str, Environment] = {}
