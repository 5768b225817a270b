"""From a process to a context: what every verb of a release is given."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import click
from msgspec import structs

from pipeline.ci.detect import detect
from pipeline.ci.github import Commands
from pipeline.ci.gitlab import Sections
from pipeline.cli.main import Process
from pipeline.config.load import Settings, find_root, load, load_waivers
from pipeline.console import Console, Dialect, Plain, attach_handlers
from pipeline.context import Context, Options
from pipeline.core.text import json_text, line
from pipeline.errors import UsageError
from pipeline.evidence import Store

DIALECTS: dict[str, Callable[[], Dialect]] = {"github": Commands, "gitlab": Sections, "local": Plain}


@dataclass(frozen=True, slots=True)
class Shown:
    """How to show: options that every verb has."""

    verbose: bool
    debug: bool
    as_json: bool
    directory: Path


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every verb; the command gets them as its first argument, `shown`."""
    options = (
        click.option("-C", "--directory", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path(), help="Run there."),
        click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON."),
        click.option("-v", "--verbose", is_flag=True, help="Show what the tools print."),
        click.option("--debug", is_flag=True, help="Show every call, and tracebacks."),
    )

    def wrapped(directory: Path, as_json: bool, verbose: bool, debug: bool, **rest: Any) -> Any:
        return command(Shown(verbose, debug, as_json, directory), **rest)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    wrapped.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    for option in options:
        wrapped = option(wrapped)
    return wrapped


@contextmanager
def session(shown: Shown, options: Options) -> Iterator[Context]:
    """Everything a step needs, made once. Raises `UsageError` for a configuration that is wrong."""
    process = cast(Process, click.get_current_context().obj)
    root = find_root(shown.directory.resolve())
    ci = detect(process.environ)
    job = ci.job(process.environ)
    console = console_of(process, shown, DIALECTS[job.system]())
    for value in job.secrets:
        console.secret(value)
    settings = load(root, process.environ, ci.defaults(process.environ), secrets=job.secrets)
    _require_environments(options.to, settings)
    if options.target:
        settings = replace(settings, image=structs.replace(settings.image, target=options.target))
    _require_own_store(root, process)
    store = Store(root / ".pipeline", job.id, settings.image_name)
    attach_handlers(console, debug=shown.debug, debug_file=store.debug_file())
    from pipeline.tools.credentials import Credential, config_inside, private_docker_config

    with ExitStack() as stack:
        environ, docker_config = process.environ, None
        if job.registry_password or config_inside(root, environ):
            given = {job.registry: Credential(job.registry_user, job.registry_password)} if job.registry_password else {}
            docker_config = stack.enter_context(private_docker_config(environ, given, project=root))
            environ = {**environ, "DOCKER_CONFIG": str(docker_config)}
        yield Context(
            root=root,
            settings=settings,
            job=job,
            evidence=store,
            console=console,
            cancel=process.cancel,
            environ=environ,
            now=datetime.now(UTC),
            options=options,
            waivers=load_waivers(root),
            docker_config=docker_config,
        )


def _require_own_store(root: Path, process: Process) -> None:
    """Evidence is what this job finds out, never what a commit brings, and it is written nowhere else."""
    from pipeline.tools.git import Git

    folder = root / ".pipeline"
    if folder.is_symlink():
        raise UsageError("is a link: evidence is written nowhere but in the project", where=str(folder), mend="remove it")
    if (root / ".git").exists() and folder.exists() and Git(root, process.environ, process.cancel).tracked(folder.name):
        mend = "git rm -r --cached .pipeline, and commit"
        raise UsageError("git tracks files under .pipeline: evidence is what this job finds out, never what a commit brings", mend=mend)


def _require_environments(names: tuple[str, ...], settings: Settings) -> None:
    """A name that is wrong is said before anything is built."""
    known = settings.file.environments
    unknown = next((name for name in names if name not in known), "")
    if unknown:
        mend = (
            f"choose one of: {', '.join(sorted(known))}" if known else f"describe it in pipeline.toml: [environments.{line(unknown, 80)}]"
        )
        raise UsageError(f"there is no environment {line(unknown, 80)!r}", mend=mend)


def console_of(process: Process, shown: Shown, dialect: Dialect) -> Console:
    color = sys.stderr.isatty() and "NO_COLOR" not in process.environ
    return Console(sys.stderr, dialect, process.redact, verbose=shown.verbose or shown.debug, color=color)


def as_json(answer: object) -> str:
    """An answer of ours as JSON for a person and for a program."""
    import msgspec

    return json_text(msgspec.json.format(msgspec.json.encode(answer), indent=2))
