"""hadolint, where it is installed: the command line, the call, and its findings. It judges; the repository has no say in how."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from pipeline.core.cancel import Cancel
from pipeline.core.finding import Finding, Severity
from pipeline.core.text import line
from pipeline.errors import ToolError
from pipeline.tools import location, process

TIMEOUT = 60.0
# An empty file makes hadolint complain; with this one it looks for no other.
CONFIG = "ignored: []\n"
_SEVERITIES = {"error": Severity.HIGH, "warning": Severity.MEDIUM, "info": Severity.LOW, "style": Severity.LOW}


class Remark(msgspec.Struct, frozen=True):
    """One thing that hadolint says about a line."""

    code: str
    level: Literal["error", "warning", "info", "style", "ignore"]
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Hadolint:
    """A hadolint that is there. `path` is the program."""

    path: str
    environ: Mapping[str, str]
    cancel: Cancel

    def version(self) -> str:
        return self._run(("--version",), b"").strip().rpartition(" ")[2]

    def judge(self, dockerfile: bytes) -> tuple[Remark, ...]:
        """Its remarks. Raises `ToolError`: a crash, a timeout, an answer that is none."""
        with tempfile.TemporaryDirectory(prefix="hadolint-") as folder:
            config = Path(folder, "config.yaml")
            config.write_text(CONFIG)
            return decode(self._run(arguments(config), dockerfile))

    def _run(self, arguments: tuple[str, ...], stdin: bytes) -> str:
        with tempfile.TemporaryDirectory(prefix="hadolint-home-") as home:
            env = process.environment(self.environ, home=Path(home), LC_ALL="C.UTF-8")
            return process.run((self.path, *arguments), env=env, timeout=TIMEOUT, cancel=self.cancel, cwd=Path(home), stdin=stdin).text


def find(environ: Mapping[str, str], cancel: Cancel) -> Hadolint | None:
    """The installed hadolint; None where there is none."""
    path = location.find("hadolint", environ)
    return Hadolint(str(path), environ, cancel) if path else None


def arguments(config: Path) -> tuple[str, ...]:
    """The Dockerfile comes on stdin; comments in it switch nothing off, and finding something is no failure of the program."""
    return ("--no-color", "--no-fail", "--format", "json", "--disable-ignore-pragma", "--config", str(config), "-")


def decode(answer: str) -> tuple[Remark, ...]:
    try:
        return msgspec.json.decode(answer, type=tuple[Remark, ...])
    except msgspec.DecodeError as error:
        raise ToolError(f"hadolint's answer cannot be read: {error}\n{line(answer, 200)}".rstrip(), mend="update hadolint") from error


def findings(remarks: tuple[Remark, ...], name: str) -> tuple[Finding, ...]:
    """Remarks as findings on the file `name`. A file that hadolint cannot parse is a warning: our own parser has understood it."""
    return tuple(
        Finding(
            rule=remark.code,
            title=line(remark.message, 200),
            severity=_SEVERITIES.get(remark.level, Severity.LOW),
            kind="misconfiguration",
            observed="warning" if remark.code == "DL1000" else "violation",
            where=name,
            line=remark.line,
            message=f"hadolint: {line(remark.message)}",
            references=(f"https://github.com/hadolint/hadolint/wiki/{remark.code}",) if remark.code.startswith("DL") else (),
        )
        for remark in remarks
        if remark.level != "ignore"
    )
