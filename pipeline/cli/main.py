"""The command line: a table of commands, each loaded when it is called, and the table of exit codes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NamedTuple, cast

import click

from pipeline import errors
from pipeline.core import about
from pipeline.core.cancel import Cancel
from pipeline.core.redact import Redactor
from pipeline.core.text import block, line

# name → (module, one line of help): the list is shown without loading any of them.
COMMANDS = {
    "release": ("release", "From the pushed tag to a judged, published image, and its rollout."),
    "version": ("release", "The semantic version of HEAD, from git tags."),
    "build": ("release", "Build the image with BuildKit; with --check only judge the Dockerfile."),
    "scan": ("release", "Judge the built image with Trivy."),
    "policy": ("release", "Judge the image, its Dockerfile, manifests and the release with OPA."),
    "push": ("release", "Publish the judged image under its version's tags."),
    "deploy": ("release", "Roll the published image out to an environment."),
    "doctor": ("machine", "Is this machine ready? What is missing, and how to mend it."),
    "tools": ("machine", "Install Trivy and OPA at pinned versions."),
    "config": ("project", "What is in force, and where each value comes from."),
    "init": ("project", "Write a starting configuration for this project."),
}
# For a tool's failure that nobody knows the mend of.
LOOK = "`pipeline doctor` looks at every tool and service; when they are well, run this again"


class Process(NamedTuple):
    """What the process was given, as values; and the one redactor that everything printed goes through."""

    environ: Mapping[str, str]
    cancel: Cancel
    redact: Redactor


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"pipeline.cli.{COMMANDS[cmd_name][0]}")
        return cast(click.Command, getattr(module, cmd_name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f"; did you mean `{near[0]}`?" if near else "; `pipeline --help` lists them"
            ctx.fail(f"there is no command {line(args[0], 60)!r}{hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 passed · 2 usage or configuration · 3 could not judge · 4 rolled back · 5 rollback failed · 10 refused",
)
@click.version_option(about.VERSION, prog_name=about.NAME, message="%(prog)s %(version)s")
def root() -> None:
    """From a git tag to a running, health-checked release: one chain held together by digests."""


def main(argv: Sequence[str], environ: Mapping[str, str], cancel: Cancel) -> int:
    """Run one command and return the exit code. Every exception ends here, each with the code of the table in docs/exit-codes.md."""
    redact = Redactor()
    try:
        root.main(list(argv), prog_name=about.NAME, standalone_mode=False, obj=Process(environ, cancel, redact))
    except errors.PipelineError as error:
        code = _tell(redact, str(error), error.mend or (LOOK if error.code == errors.TOOL else ""), error.code)
    except click.exceptions.Exit as error:
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = errors.INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        code = errors.USAGE
    except click.ClickException as error:
        code = _tell(redact, error.format_message(), "", errors.USAGE)
    except BrokenPipeError:
        code = errors.PASSED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        code = _tell(redact, f"{where}{error.strerror or error}", "see whether the disk is full or not writable", errors.TOOL)
    except Exception as error:
        what = f"a bug in pipeline {about.VERSION}: {type(error).__name__}: {error}"
        code = _tell(redact, what, "run again with --debug and report what it prints", errors.BUG)
        if "--debug" in argv:
            import traceback

            _tell(redact, "".join(traceback.format_exception(error)), "", code)
    else:
        code = errors.PASSED
    return 128 + cancel.signal_number if cancel.requested and code in {errors.TOOL, errors.BUG} else code


def _tell(redact: Redactor, what: str, mend: str, code: int) -> int:
    print(redact(f"pipeline: {block(what, 20_000)}"), file=sys.stderr)
    if mend:
        print(redact(f"  what to do: {block(mend, 1000)}"), file=sys.stderr)
    return code
