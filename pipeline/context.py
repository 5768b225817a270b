"""What a step is given: frozen, made once by `cli`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pipeline.config.load import Settings
from pipeline.console import Console
from pipeline.core.cancel import Cancel
from pipeline.core.job import Job
from pipeline.core.waiver import Waiver
from pipeline.evidence import Store


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for, beside the configuration."""

    snapshot: bool = False
    explain_size: bool = False
    no_cache: bool = False
    to: tuple[str, ...] = ()
    include_untracked: bool = False


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
