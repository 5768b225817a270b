"""Text that tries to command the job that prints it, and a reader that knows what a CI would take for a command."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

NASTY = (
    "\r::set-output name=image::evil\n::error::evil\n##[error]evil\x1b[2J\x1b]0;evil\x07\rsection_start:1:evil\r\x1b[0K\u202eevil\x9b31m"
)
# The same on one line, for where a newline cannot stand.
NASTY_LINE = "::set-output name=image::evil ##[error]evil\x1b[2Jevil section_start:1:evil\x9b31m"

GITHUB = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "7", "GITHUB_JOB": "release"}
GITLAB = {"GITLAB_CI": "true", "CI_PROJECT_ID": "7", "CI_JOB_ID": "8"}
JOBS = {"github": GITHUB, "gitlab": GITLAB, "local": {}}

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SECTION = re.compile(r"\x1b\[0Ksection_start:\d+:[a-z]+\r\x1b\[0K[ -~]+|\x1b\[0Ksection_end:\d+:[a-z]+\r\x1b\[0K")
_OURS = re.compile(r"::(group::docker buildx build|endgroup::|add-mask::.*|stop-commands::[0-9a-f]{32}|[0-9a-f]{32}::)")


@dataclass
class Read:
    """What a CI made of a log. `commands`: those it obeyed; `children`: the lines of tools."""

    commands: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)


def read(log: str, system: str) -> Read:
    """Read a log as the CI does. Raises `AssertionError` for anything that it would obey and that we did not mean."""
    seen, stopped = Read(), ""
    for line in log.split("\n"):
        if system == "gitlab" and _SECTION.fullmatch(line):
            seen.commands.append(line)
        elif system == "github" and _OURS.fullmatch(line) and (not stopped or line == f"::{stopped}::"):
            stopped = _token(line)
            seen.commands.append(line)
        else:
            harmless(line)
            if line.startswith("  │ ") and "evil" in line:
                seen.children.append(line)
                assert stopped or system != "github", f"outside of stop-commands: {line!r}"
    assert not stopped, "commands stay stopped"
    return seen


def harmless(text: str) -> None:
    """Each line is text and nothing else, to a terminal and to every CI."""
    for line in text.split("\n"):
        assert not _CONTROL.search(line), repr(line)
        assert not line.lstrip().startswith("::"), repr(line)
        assert "##[" not in line, repr(line)
        assert not re.search("section_(start|end):", line), repr(line)


def _token(line: str) -> str:
    return line.removeprefix("::stop-commands::") if line.startswith("::stop-commands::") else ""
