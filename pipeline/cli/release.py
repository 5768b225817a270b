"""The verbs of a release: parse, call, print."""

from __future__ import annotations

from typing import Any

import click

from pipeline.cli.session import Shown, session, shared
from pipeline.commands import result
from pipeline.context import Context, Options
from pipeline.errors import PipelineError, UsageError
from pipeline.flow import Ran, perform


@click.command(name="release")
@click.option("--to", multiple=True, metavar="ENV", help="Roll out to this environment afterwards (again for several).")
@click.option("--snapshot", is_flag=True, help="Go through every gate, push nothing; needs no tag.")
@click.option("--include-untracked", is_flag=True, help="Let files that git does not track into the build context.")
@click.option("--no-cache", is_flag=True, help="Build without the build cache.")
@shared
def release(shown: Shown, to: tuple[str, ...], snapshot: bool, include_untracked: bool, no_cache: bool) -> None:
    """From the pushed tag to a judged, published image, and its rollout."""
    if snapshot and to:
        raise UsageError("a snapshot pushes nothing, so there is nothing to roll out", mend="leave --to or --snapshot out")
    options = Options(snapshot=snapshot, to=to, include_untracked=include_untracked, no_cache=no_cache, release=True)
    _perform("snapshot" if snapshot else "release", shown, options)


@click.command(name="version")
@shared
def version(shown: Shown) -> None:
    """The semantic version of HEAD, from git tags."""
    _perform("version", shown, Options())


@click.command(name="build")
@click.option("--check", is_flag=True, help="Only judge the Dockerfile and what it would bake in: no engine needed.")
@click.option("--target", default="", metavar="STAGE", help="Build this stage, not the configured or the last one.")
@click.option("--explain-size", is_flag=True, help="Say how much each earlier stage left behind.")
@click.option("--no-cache", is_flag=True, help="Build without the build cache.")
@shared
def build(shown: Shown, check: bool, target: str, explain_size: bool, no_cache: bool) -> None:
    """Build the image with BuildKit; with --check only judge the Dockerfile."""
    if check and (explain_size or no_cache):
        raise UsageError("--check builds nothing", mend="leave the other options out")
    _perform("check" if check else "build", shown, Options(target=target, explain_size=explain_size, no_cache=no_cache))


@click.command(name="scan")
@shared
def scan(shown: Shown) -> None:
    """Judge the built image with Trivy."""
    _perform("scan", shown, Options())


@click.command(name="policy")
@shared
def policy(shown: Shown) -> None:
    """Judge the image, its Dockerfile, manifests and the release with OPA."""
    _perform("policy", shown, Options())


@click.command(name="push")
@shared
def push(shown: Shown) -> None:
    """Publish the judged image under its version's tags."""
    _perform("push", shown, Options(release=True))


@click.command(name="deploy")
@click.argument("environment")
@click.option(
    "--image", default="", envvar="PIPELINE_IMAGE", metavar="REPOSITORY@DIGEST", help="This image, not the one this tag published."
)
@shared
def deploy(shown: Shown, environment: str, image: str) -> None:
    """Roll the published image out to an environment."""
    _perform("deploy", shown, Options(to=(environment,), image=image))


def _perform(command: str, shown: Shown, options: Options) -> None:
    with session(shown, options) as context:
        ran = Ran()
        try:
            perform(command, context, ran)
        except PipelineError:
            _answer(command, shown, context, ran)
            raise
        _answer(command, shown, context, ran)


def _answer(command: str, shown: Shown, context: Context, ran: Ran) -> None:
    """The answer on stdout, and what the CI reads."""
    answer: Any = result.of(command, ran, context)
    result.hand_to_ci(answer, context)
    text = result.as_json(answer, ran) if shown.as_json else result.as_text(answer)
    if text:
        click.echo(text)
