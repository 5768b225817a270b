"""The policies in force: ours and the project's, read once, so that what is judged with is what the digest covers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pipeline.core.text import line, printable
from pipeline.errors import ToolError, UsageError

BUILTIN = "builtin"
PROJECT = "project"


@dataclass(frozen=True, slots=True)
class Library:
    """`modules`: file name to Rego source. Names begin with `builtin/` or `project/`; OPA's messages quote them."""

    modules: dict[str, str]

    @property
    def digest(self) -> str:
        """Over every file's name and content."""
        total = hashlib.sha256()
        for name, source in sorted(self.modules.items()):
            total.update(f"{name}\0{hashlib.sha256(source.encode()).hexdigest()}\n".encode())
        return f"sha256:{total.hexdigest()}"

    @property
    def ours(self) -> Library:
        """Without the project's."""
        return Library({name: source for name, source in self.modules.items() if name.startswith(f"{BUILTIN}/")})


def load(builtin: Path, root: Path, paths: Sequence[str]) -> Library:
    """Read our policies, and the project's under `paths`, which are relative to `root`; tests (`*_test.rego`) are left out.

    Raises `UsageError` for a path that is missing, outside the project or without a policy, `ToolError` where ours are missing.
    """
    own = {f"{BUILTIN}/{file.relative_to(builtin).as_posix()}": _read(file) for file in (_files(builtin) if builtin.is_dir() else ())}
    if not own:
        raise ToolError("the built-in policies are missing", where=str(builtin), mend="install release-chain again")
    return Library(own | {name: source for path in paths for name, source in _project(root, path).items()})


def _project(root: Path, path: str) -> dict[str, str]:
    named = Path(os.path.normpath(root / path))
    if not named.is_relative_to(root):
        raise UsageError(f"{line(path, 200)} is outside the project", where="[policy] paths", mend="copy the policies into the project")
    if not named.exists():
        raise UsageError(f"{line(path, 200)} does not exist", where="[policy] paths", mend="create it, or remove it from the list")
    files = list(_files(named))
    if not files:
        raise UsageError(f"{line(path, 200)} holds no policy (*.rego)", where="[policy] paths", mend="add one, or remove it from the list")
    return {f"{PROJECT}/{_printable(file.relative_to(root).as_posix())}": _read(file) for file in files}


def _files(path: Path) -> Iterator[Path]:
    """The policies at or below `path`, links followed: a linked folder that is left out would be a gate that is off."""
    if path.is_file():
        yield from [path] if _is_policy(path) else []
        return
    seen: set[str] = set()
    for folder, below, names in os.walk(path, onerror=_raise, followlinks=True):
        below[:] = sorted(one for one in below if os.path.realpath(Path(folder, one)) not in seen)
        seen |= {os.path.realpath(Path(folder, one)) for one in below}
        yield from (file for name in sorted(names) if _is_policy(file := Path(folder, name)))


def _is_policy(file: Path) -> bool:
    return file.suffix == ".rego" and not file.stem.endswith("_test")


def _read(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise UsageError("is not UTF-8 text", where=line(str(file))) from error
    except OSError as error:
        _raise(error)


def _raise(error: OSError) -> NoReturn:
    raise UsageError(f"cannot be read: {error.strerror}", where=line(str(error.filename))) from error


def _printable(name: str) -> str:
    if not printable(name):
        raise UsageError("a policy's file name has characters that cannot be shown", where=line(name), mend="rename it")
    return name
