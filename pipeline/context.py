"""What a step is given: frozen, made once by `cli`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.config.load import Settings
from pipeline.console import Console
from pipeline.core.cancel import Cancel
from pipeline.core.image import Repository, parse_repository
from pipeline.core.job import Job
from pipeline.core.waiver import Waiver
from pipeline.errors import UsageError
from pipeline.evidence import Store

if TYPE_CHECKING:
    import docker

    from pipeline.tools.credentials import Credential
    from pipeline.tools.registry.client import Registry


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for, beside the configuration."""

    snapshot: bool = False
    explain_size: bool = False
    no_cache: bool = False
    to: tuple[str, ...] = ()
    include_untracked: bool = False
    release: bool = False
    target: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """`root` is the project: the folder of `pipeline.toml`, or of the repository. `environ` is the process's environment as a value.
    `now` is the clock reading all verdicts of this run share. `docker_config` is the private folder with the registry credentials."""

    root: Path
    settings: Settings
    job: Job
    evidence: Store
    console: Console
    cancel: Cancel
    environ: Mapping[str, str] = field(repr=False)
    now: datetime
    options: Options
    waivers: tuple[Waiver, ...] = ()
    docker_config: Path | None = None


@contextlib.contextmanager
def engine(context: Context, host: str = "") -> Iterator[docker.DockerClient]:
    """The Docker engine that the docker command would use, or the one at `host`. Raises `ToolError` where none answers."""
    from pipeline.tools.docker.client import connect

    with contextlib.closing(connect(context.environ, host)) as client:
        yield client


@contextlib.contextmanager
def registry(context: Context, repository: Repository) -> Iterator[Registry]:
    """The registry that holds `repository`, with the credentials of this job or of the user's docker configuration."""
    from pipeline.tools.http.client import Client
    from pipeline.tools.registry.client import Registry

    with Client(context.environ, context.cancel, ca_bundle=ca_bundle(context)) as http:
        yield Registry(repository, http, credential(context, repository.host))


def credential(context: Context, host: str) -> Credential | None:
    """What this job, or the user's docker configuration, has for a registry; None for anonymous."""
    from pipeline.tools.credentials import find

    job = context.job
    return find(
        host, context.environ, context.cancel, project=context.root, given={job.registry: (job.registry_user, job.registry_password)}
    )


def repository(context: Context) -> Repository:
    """Where the release goes. Raises `UsageError` where the configuration does not say."""
    if not context.settings.image.repository:
        mend = 'add to pipeline.toml: [image] repository = "registry.example.com/team/name"'
        raise UsageError("no image repository is configured", mend=mend)
    return parse_repository(context.settings.image.repository)


def ca_bundle(context: Context) -> Path | None:
    """The company's certificates, as an absolute path."""
    configured = context.settings.file.network.ca_bundle
    return context.root / configured if configured else None
