"""The build context on disk: which files would be sent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.dockerignore import Ignore
from pipeline.errors import UsageError


@dataclass(frozen=True, slots=True)
class Sent:
    """Paths relative to the context, with slashes, in order, and their bytes together. A symbolic link is itself, not its target."""

    paths: tuple[str, ...]
    size: int


def sent(context: Path, ignore: Ignore) -> Sent:
    """What BuildKit could read of the context. Raises `UsageError` for a folder that cannot be read."""
    found = sorted(_walk(context, "", ignore))
    return Sent(tuple(path for path, _ in found), sum(size for _, size in found))


def under(context: Path, folder: str, ignore: Ignore) -> tuple[str, ...]:
    """The files of `folder`, which ends in `/`, that would be sent; without that it is a file, and empty the whole context."""
    if folder and not folder.endswith("/"):
        return () if ignore.excludes(folder) else (folder,)
    return tuple(sorted(path for path, _ in _walk(context, folder.rstrip("/"), ignore)))


def _walk(context: Path, folder: str, ignore: Ignore) -> Iterator[tuple[str, int]]:
    if folder and ignore.prunable(folder):
        return
    try:
        entries = list(os.scandir(context / folder))
    except OSError as error:
        what = f"the build context cannot be read: {error.strerror}"
        raise UsageError(what, where=str(context / folder), mend="exclude the folder in .dockerignore, or make it readable") from error
    for entry in entries:
        path = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(context, path, ignore)
        elif not ignore.excludes(path):
            yield path, _size(entry)


def _size(entry: os.DirEntry[str]) -> int:
    return entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else 0


def beginning(path: Path, size: int) -> bytes:
    """The first bytes of a file. Raises `UsageError` where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}", where=str(path), mend="exclude it in .dockerignore, or make it readable"
        ) from error
