"""The verbs about this machine: doctor, tools."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from pipeline.cli.main import Process
from pipeline.cli.session import Shown, as_json, console_of, session, shared
from pipeline.console import Plain
from pipeline.context import Options
from pipeline.errors import ToolError


@click.command(name="doctor")
@shared
def doctor(shown: Shown) -> None:
    """Is this machine ready? What is missing, and how to mend it."""
    from pipeline.commands import doctor as command

    with session(shown, Options()) as context:
        looks = command.examine(context)
        console = context.console
        if shown.as_json:
            click.echo(as_json(looks))
        marks = {"good": console.paint("✓", "good"), "bad": console.paint("✗", "bad"), "absent": console.paint("·", "dim")}
        for look in looks:
            console.line(f"{marks[look.state]} {look.name:<20} {console.quote(look.detail)}")
            if look.mend and look.state != "good":
                console.line(f"  {'':<20} mend: {console.quote(look.mend)}")
    missing = [look.name for look in looks if look.state == "bad"]
    if missing:
        raise ToolError(f"this machine is not ready: {', '.join(missing)}", mend="follow the mend of each line above")


@click.group(name="tools")
def tools() -> None:
    """The external programs: Trivy and OPA."""


@tools.command(name="install")
@click.option("--mirror", default="", metavar="URL", help="Take the official releases from there, with the same checksums.")
@shared
def install(shown: Shown, mirror: str) -> None:
    """Bring Trivy and OPA at pinned versions into the user's cache."""
    from pipeline.commands.tools import Installer

    process = cast(Process, click.get_current_context().obj)
    console = console_of(process, shown, Plain())
    done = Installer(process.environ, console, process.cancel, mirror, project=Path.cwd()).install()
    if shown.as_json:
        click.echo(as_json([{"name": one.name, "version": one.version, "path": str(one.path)} for one in done]))
