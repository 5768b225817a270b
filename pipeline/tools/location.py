"""Where a tool is: our own cache at the pinned version first, then PATH."""

from __future__ import annotations

import hashlib
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


def intact(program: Path) -> bool:
    """Whether the program lies there as it was installed: its bytes have the SHA-256 that was recorded then. Takes 0.2 s for Trivy."""
    try:
        return recorded(program).read_text(encoding="ascii").split()[:1] == [sha256_of(program)]
    except (OSError, UnicodeDecodeError):
        return False


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def flaw(program: Path, project: Path | None) -> str:
    """Why an installed program may not be run: a commit, or another user of this machine, could have put it there. Empty when it may."""
    if project and inside(program, project):
        return "lies inside the project, where a commit could have put it"
    for path in (program, recorded(program), *program.parents[:3]):
        found = path.stat()
        if found.st_uid not in {os.geteuid(), 0} or found.st_mode & 0o022:
            return f"may be written by other users: {path}"
    return ""


def _installed(program: Path) -> bool:
    return recorded(program).is_file() and os.access(program, os.X_OK)


def inside(path: Path, project: Path) -> bool:
    """Whether `path` lies in the repository that the project is in, which may be larger than it; or in the project, where there is none."""
    root = project.resolve()
    checkout = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
    return path.resolve().is_relative_to(checkout)


def find(name: str, environ: Mapping[str, str], project: Path | None = None) -> Path | None:
    """The program that a step would run, or None. `project`: the folder whose content has no say in it."""
    program = cached(name, environ)
    if program and _installed(program) and not flaw(program, project):
        return program
    on_path = shutil.which(name, path=environ.get("PATH", os.defpath))
    return Path(on_path) if on_path else None


def locate(name: str, environ: Mapping[str, str], project: Path | None = None) -> str:
    """The program that a step runs, for an argument list. Raises `ToolError` where there is none, or none that may be run."""
    program = find(name, environ, project)
    if program is None:
        ours = cached(name, environ)
        if ours and _installed(ours):
            mend = "set XDG_CACHE_HOME to a private folder outside the project, and run `pipeline tools install`"
            raise ToolError(f"the installed {name} does not count: it {flaw(ours, project)}", where=str(ours), mend=mend)
        mend = "run `pipeline tools install`" if name in PINS else "run `pipeline doctor` to see what is missing"
        raise ToolError(f"{name} is not installed", mend=mend)
    return str(program)
