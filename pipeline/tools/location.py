"""Where a tool is: our own cache at the pinned version first, then PATH."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from pipeline.core.about import DISTRIBUTION
from pipeline.core.pins import PINS
from pipeline.errors import ToolError


def cache(environ: Mapping[str, str]) -> Path | None:
    """The folder of installed tools in the user's cache; None where neither XDG_CACHE_HOME nor HOME is an absolute path."""
    for name, below in (("XDG_CACHE_HOME", ""), ("HOME", ".cache")):
        base = Path(environ.get(name, ""))
        if base.is_absolute():
            return base / below / DISTRIBUTION / "tools"
    return None


def cached(name: str, environ: Mapping[str, str]) -> Path | None:
    """Where the pinned version of `name` lies once installed, whether it does or not; None for a tool that we do not bring."""
    folder, pin = cache(environ), PINS.get(name)
    return folder / name / pin.version / name if folder and pin else None


def recorded(program: Path) -> Path:
    """The file with the SHA-256 of an installed program, written last: without it the program does not count."""
    return program.with_name(f"{program.name}.sha256")


def find(name: str, environ: Mapping[str, str]) -> Path | None:
    """The program that a step would run, or None."""
    program = cached(name, environ)
    if program and recorded(program).is_file() and os.access(program, os.X_OK):
        return program
    on_path = shutil.which(name, path=environ.get("PATH", os.defpath))
    return Path(on_path) if on_path else None


def locate(name: str, environ: Mapping[str, str]) -> str:
    """The program that a step runs, for an argument list. Raises `ToolError` where there is none."""
    program = find(name, environ)
    if program is None:
        mend = "run `pipeline tools install`" if name in PINS else "run `pipeline doctor` to see what is missing"
        raise ToolError(f"{name} is not installed", mend=mend)
    return str(program)
