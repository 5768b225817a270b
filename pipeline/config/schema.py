"""The configuration, as types. Every key has a default where one can serve.

Keys are written with `-` in the file. What a key means, and what its value must look like, stands beside it: the published schema,
the reference in the documentation and the checks are made from this.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pipeline.config import checks
from pipeline.core import image, units
from pipeline.core.finding import Severity


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """One table of `pipeline.toml`."""


def _is(check: Callable[[str], object], shape: str = "", example: str = "") -> Meta:
    """A value that passes `check`; `shape` and `example` are for editors."""
    known = {"pattern": f"^{shape}$"} if shape else None
    return Meta(extra={"check": check}, extra_json_schema=known, examples=[example] if example else None)


def _says(description: str) -> Meta:
    return Meta(description=description)


_Duration = Annotated[str, _is(units.seconds, units.DURATION, "90s")]
_Size = Annotated[str, _is(units.size, units.SIZE, "200MB")]
_Repository = Annotated[str, _is(image.parse_repository, example="registry.example.com/team/name")]
_Reference = Annotated[str, _is(image.parse_reference)]
_Url = Annotated[str, _is(checks.url, "https?://.+")]
_Glob = Annotated[str, _is(checks.glob)]
_Cache = Annotated[str, _is(checks.cache, example="type=registry,ref=registry.example.com/team/name:cache")]
_Line = Annotated[str, _is(checks.single_line)]
_Name = Annotated[str, _is(checks.name)]
_Variable = Annotated[str, _is(checks.variable)]
_Inside = Annotated[str, Meta(extra={"path": checks.inside})]
_File = Annotated[str, Meta(extra={"path": checks.file})]


class SecretSource(_Table, frozen=True):
    """Where a secret's value is: exactly one of an environment variable and a file."""

    env: Annotated[_Variable, _says("The environment variable that holds the value.")] = ""
    file: Annotated[_File, _says("The file that holds the value: in the project, or an absolute path.")] = ""


_Secrets = dict[Annotated[str, _is(checks.secret_id)], SecretSource]


class Project(_Table, frozen=True):
    """The project itself."""

    name: Annotated[_Line, _says("Shown in reports and given to containers. Default: the folder's name.")] = ""
    licenses: Annotated[str, _is(checks.licenses, example="Apache-2.0"), _says("An SPDX expression, written to the image as a label.")] = ""
    source: Annotated[_Url, _says("The project's address, written to the image as a label. Default: the CI's, or the git remote's.")] = ""


class Image(_Table, frozen=True):
    """What is built, and where it goes. `[image]` is short for `[images.default]`."""

    repository: Annotated[
        _Repository,
        _says("Where the image is published, as host/path. `${NAME}` is taken from the environment. Default: the CI's own registry path."),
    ] = ""
    dockerfile: Annotated[_Inside, _says("Default: `Dockerfile`, then `Dockerfile.multistage`.")] = ""
    context: Annotated[_Inside, _says("The folder that the build sees.")] = "."
    target: Annotated[str, _is(checks.stage), _says("The stage to build. Default: the last one.")] = ""
    platforms: Annotated[
        tuple[Annotated[str, _is(checks.platform, example="linux/amd64")], ...], _says("One platform. Default: the builder's own.")
    ] = ()
    args: Annotated[dict[_Variable, str], _says("Build arguments. `${NAME}` is taken from the environment; not for secrets.")] = {}
    secrets: Annotated[_Secrets, _says("BuildKit secrets by id, for `RUN --mount=type=secret`.")] = {}
    labels: Annotated[dict[Annotated[str, _is(checks.label)], str], _says("Labels beside the OCI ones that are always written.")] = {}
    cache_from: Annotated[tuple[_Cache, ...], _says("Build caches to read, as `docker buildx build --cache-from` takes them.")] = ()
    cache_to: Annotated[tuple[_Cache, ...], _says("Build caches to write; only on protected refs, and not `mode=max` with secrets.")] = ()
    allow: Annotated[tuple[Literal["network.host", "security.insecure"], ...], _says("BuildKit entitlements; each is a finding.")] = ()
    include_untracked: Annotated[tuple[_Glob, ...], _says("Files that git does not track and that may still enter the build context.")] = ()
    trusted_frontends: Annotated[
        tuple[Annotated[str, _is(checks.pinned)], ...], _says("Foreign `# syntax=` frontends that may run, by digest.")
    ] = ()
    context_limit: Annotated[_Size, _says("The largest build context that is not a finding.")] = "500MB"
    timeout: Annotated[_Duration, _says("How long a build may take.")] = "60m"


class Version(_Table, frozen=True):
    """How git tags become versions, and versions become image tags."""

    prefix: Annotated[
        Annotated[str, _is(checks.tag_prefix)] | None,
        _says("What a git tag has before its version. Unset: `v1.2.3` and `1.2.3` both count."),
    ] = None
    tags: Annotated[
        tuple[Annotated[str, _is(checks.tag, example="{major}.{minor}")], ...],
        _says("The image tags: `{version}`, which every release gets, and others from `{major}`, `{minor}`, `{patch}` and text."),
    ] = ("{version}",)


class Scan(_Table, frozen=True):
    """What Trivy's findings mean."""

    fail_on: Annotated[tuple[Severity, ...], _says("The severities that stop a release.")] = (Severity.CRITICAL, Severity.HIGH)
    unfixed: Annotated[Literal["warn", "fail"], _says("What a vulnerability means that has no fixed version yet.")] = "warn"
    enforce_from: Annotated[date | None, _says("Before this day a finding that would fail only warns.")] = None
    max_database_age: Annotated[_Duration, _says("An older vulnerability database is an error.")] = "48h"
    database_repositories: Annotated[
        tuple[_Reference, ...], _says("Where Trivy's database is pulled from, in order. Default: Trivy's own.")
    ] = ()
    database: Annotated[_File, _says("A folder with a database that is there already: nothing is pulled.")] = ""
    allow_empty: Annotated[
        bool,
        _says(
            "Judge an image of which nothing, or not its operating system's version or packages, was recognised, "
            "instead of calling that an error."
        ),
    ] = False
    timeout: Annotated[_Duration, _says("How long a scan may take.")] = "10m"


class Policy(_Table, frozen=True):
    """What OPA judges, and what its findings mean. The built-in policies always apply."""

    paths: Annotated[tuple[_Inside, ...], _says("Folders with the project's own policies. One that is missing is an error.")] = ()
    manifests: Annotated[tuple[_Glob, ...], _says("Kubernetes manifests to judge, as patterns.")] = ()
    fail_on: Annotated[tuple[Severity, ...], _says("The severities that stop a release.")] = (Severity.CRITICAL,)
    enforce_from: Annotated[date | None, _says("Before this day a finding that would fail only warns.")] = None
    timeout: Annotated[_Duration, _says("How long one evaluation may take.")] = "60s"


class Check(_Table, frozen=True):
    """What the findings of the preflight, `pipeline build --check`, mean."""

    fail_on: Annotated[tuple[Severity, ...], _says("The severities that stop a release.")] = (Severity.CRITICAL,)


class Network(_Table, frozen=True):
    """How the tools reach the world."""

    ca_bundle: Annotated[
        _File, _says("A PEM file with certificates to trust besides the system's: in the project, or an absolute path.")
    ] = ""


class Release(_Table, frozen=True):
    """What `pipeline release` does after it has published."""

    deploy: Annotated[tuple[_Name, ...], _says("The environments it rolls out to by itself.")] = ()


class Probe(_Table, frozen=True):
    """How to tell that a new version serves: exactly one of `http`, `tcp` and `exec`."""

    http: Annotated[_Url, _says("An address that answers with a 2xx status; redirects are not followed.")] = ""
    tcp: Annotated[str, _is(checks.tcp, example="127.0.0.1:5432"), _says("A host:port that takes a connection.")] = ""
    exec: Annotated[tuple[str, ...], Meta(min_length=1), _says("A command, run in the container, that exits with 0.")] = ()
    interval: Annotated[_Duration, _says("The time between two probes.")] = "1s"
    successes: Annotated[int, Meta(ge=1), _says("How many in a row make it healthy.")] = 3
    timeout: Annotated[_Duration, _says("How long all of it may take before the old version comes back.")] = "60s"


class Container(_Table, frozen=True):
    """The first container of an environment; later ones copy the one they replace."""

    name: Annotated[_Name, _says("The container's name.")]
    ports: Annotated[tuple[Annotated[str, _is(checks.port, example="8080:8080")], ...], _says("Published ports.")] = ()
    volumes: Annotated[
        tuple[Annotated[str, _is(checks.volume, example="/srv/data:/data:ro")], ...], _says("Mounted volumes and folders.")
    ] = ()
    networks: Annotated[tuple[Annotated[str, _is(checks.network)], ...], _says("Networks of the engine to join.")] = ()
    restart: Annotated[str, _is(checks.restart), _says("`no`, `always`, `unless-stopped` or `on-failure:N`.")] = "unless-stopped"
    env: Annotated[dict[_Variable, str], _says("Environment variables. `${NAME}` is taken from the environment; not for secrets.")] = {}
    secrets: Annotated[dict[_Variable, SecretSource], _says("Environment variables whose value is a secret, by reference.")] = {}


class Environment(_Table, frozen=True):
    """A place to roll out to."""

    probe: Annotated[Probe, _says("How to tell that a new version serves.")]
    backend: Annotated[Literal["docker"], _says("What runs there.")] = "docker"
    strategy: Annotated[Literal["replace"], _says("How the new version takes over.")] = "replace"
    host: Annotated[str, _is(checks.host), _says("The engine's address. Default: that of the current docker context.")] = ""
    container: Annotated[Container | None, _says("The first container; later ones copy the one they replace.")] = None


class File(_Table, frozen=True):
    """The whole of `pipeline.toml`."""

    project: Annotated[Project, _says("The project itself.")] = Project()
    image: Annotated[Image | None, _says("What is built, and where it goes. Short for `[images.default]`.")] = None
    images: Annotated[dict[_Name, Image], _says("Several images of one project, by name.")] = {}
    version: Annotated[Version, _says("How git tags become versions, and versions become image tags.")] = Version()
    check: Annotated[Check, _says("The preflight.")] = Check()
    scan: Annotated[Scan, _says("The gate over what is in the image.")] = Scan()
    policy: Annotated[Policy, _says("The gate over how it was made.")] = Policy()
    network: Annotated[Network, _says("How the tools reach the world.")] = Network()
    release: Annotated[Release, _says("What comes after publishing.")] = Release()
    environments: Annotated[dict[_Name, Environment], _says("The places to roll out to, by name.")] = {}
