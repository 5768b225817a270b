"""The verbs about this project: config, init."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from pipeline.ci.detect import detect
from pipeline.cli.main import Process
from pipeline.cli.session import Shown, as_json, shared
from pipeline.config.load import find_root, load

if TYPE_CHECKING:
    from pipeline.commands.init import Ci


@click.command(name="config")
@click.option("--schema", is_flag=True, help="Print the JSON schema of pipeline.toml instead.")
@shared
def config(shown: Shown, schema: bool) -> None:
    """What is in force, and where each value comes from."""
    from pipeline.commands import config as command

    if schema:
        click.echo(command.schema())
        return
    environ = cast(Process, click.get_current_context().obj).environ
    settings = load(find_root(shown.directory.resolve()), environ, detect(environ).defaults(environ))
    answer = command.in_force(settings)
    click.echo(command.as_json(answer) if shown.as_json else command.as_text(answer))


@click.command(name="init")
@click.option("--ci", multiple=True, type=click.Choice(["gitlab", "github"]), help="Which CI file to write; default: the one that fits.")
@click.option("--repository", default="", metavar="HOST/PATH", help="Where the images go.")
@shared
def init(shown: Shown, ci: tuple[Ci, ...], repository: str) -> None:
    """Write a starting configuration for this project; what is there is never overwritten."""
    from pipeline.commands import init as command

    started = command.start(find_root(shown.directory.resolve()), ci=ci, repository=repository)
    click.echo(as_json(started) if shown.as_json else command.as_text(started))
