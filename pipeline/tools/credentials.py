"""Credentials for registries: the CI's own, the user's docker configuration, and private folders that hand them to other programs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from pipeline.core.cancel import Cancel
from pipeline.core.credential import Credential, decode, key_of, merged, same_host
from pipeline.core.text import line
from pipeline.errors import ToolError, UsageError
from pipeline.tools import process

__all__ = ["Credential", "config_folder", "find", "private_docker_config", "single_docker_config"]

HELPER_SECONDS = 30.0
YOUNG_SECONDS = 60.0
_HELPER = re.compile(r"[A-Za-z0-9_.-]+\Z")
# What credential helpers are known to read: the desktop's key rings, and the clouds' own settings.
_HELPER_NAMES = re.compile(r"(AWS|GOOGLE|CLOUDSDK|AZURE|ACR|ECR|XDG)_|(DBUS_SESSION_BUS_ADDRESS|DISPLAY|GNUPGHOME|PASSWORD_STORE_DIR)\Z")
_PREFIX = "release-chain-docker-"
_LINKED = ("buildx", "contexts", "cli-plugins")


class _Helped(msgspec.Struct, frozen=True, rename="pascal"):
    username: str
    secret: str


def find(
    host: str,
    environ: Mapping[str, str],
    cancel: Cancel,
    *,
    project: Path | None = None,
    given: Mapping[str, tuple[str, str]] | None = None,
) -> Credential | None:
    """The credential for a registry's host: `given` (host to user and password), then docker's configuration; None for anonymous.

    Raises `UsageError` when the configuration cannot be read, or lies inside `project` and names a helper for that host: it is
    not run. Raises `ToolError` when a helper fails.
    """
    for name, (user, password) in (given or {}).items():
        if name and password and same_host(name, host):
            return Credential(user, password, source="the job")
    folder = config_folder(environ)
    if not folder:
        return None
    where = str(folder / "config.json")
    config = decode(_read(folder), where)
    helper = config.helper(host)
    if helper and _inside(folder, project):
        what = "names a credential helper, and lies in the checkout: whoever writes there would choose the program"
        raise UsageError(what, where=where, mend="keep DOCKER_CONFIG outside the project")
    return (_ask(helper, host, environ, cancel) if helper else None) or config.stored(host, where)


def config_folder(environ: Mapping[str, str]) -> Path | None:
    """Docker's configuration folder, whether it exists or not; None where the environment names neither it nor a home."""
    if environ.get("DOCKER_CONFIG"):
        return Path(environ["DOCKER_CONFIG"])
    return Path(environ["HOME"]) / ".docker" if environ.get("HOME") else None


def config_inside(project: Path, environ: Mapping[str, str]) -> bool:
    """Whether docker's configuration lies in the checkout: then its programs and endpoints would be the checkout's choice."""
    folder = config_folder(environ)
    return folder is not None and folder.exists() and _inside(folder, project)


@contextlib.contextmanager
def private_docker_config(
    environ: Mapping[str, str], credentials: Mapping[str, Credential], *, project: Path | None = None, parent: Path | None = None
) -> Iterator[Path]:
    """A private folder for DOCKER_CONFIG with `credentials` (by host) over the user's own configuration; removed at the end.

    Builders, contexts and plugins are reached through links. Of a configuration inside `project` only the stored credentials are
    taken: its helpers, plugins and endpoints would be the checkout's choice. Raises `UsageError`, `ToolError`.
    """
    own = config_folder(environ)
    raw = _read(own) if own else b"{}"
    decode(raw, str(own))
    foreign = own is not None and _inside(own, project)
    with _private_folder(parent or _temporary(environ)) as folder:
        for name in _LINKED if own and not foreign else ():
            if own and (own / name).is_dir():
                (folder / name).symlink_to((own / name).resolve())
        _write(folder, merged(raw, credentials, only_stored=foreign))
        yield folder


@contextlib.contextmanager
def single_docker_config(
    environ: Mapping[str, str], host: str, credential: Credential | None, *, parent: Path | None = None
) -> Iterator[Path]:
    """A private folder for a gate's DOCKER_CONFIG: the credential of one host and nothing else; removed at the end."""
    with _private_folder(parent or _temporary(environ)) as folder:
        _write(folder, merged(b"{}", {host: credential} if credential else {}))
        yield folder


def _read(folder: Path) -> bytes:
    path = folder / "config.json"
    try:
        return path.read_bytes() or b"{}"
    except (FileNotFoundError, NotADirectoryError):
        return b"{}"
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), mend="make docker's configuration readable") from error


def _inside(folder: Path, project: Path | None) -> bool:
    return project is not None and folder.resolve().is_relative_to(project.resolve())


def _ask(helper: str, host: str, environ: Mapping[str, str], cancel: Cancel) -> Credential | None:
    """Run `docker-credential-<helper> get`; None when it knows nothing of the host."""
    if not _HELPER.match(helper):
        raise UsageError(f"{line(helper, 60)!r} is not the name of a credential helper", mend="mend docker's config.json")
    program = f"docker-credential-{helper}"
    names = tuple(name for name in environ if _HELPER_NAMES.match(name))
    env = process.environment(environ, "USER", "LOGNAME", *names)
    done = process.run([program, "get"], env=env, timeout=HELPER_SECONDS, cancel=cancel, stdin=key_of(host).encode(), check=False)
    if done.code != 0:
        if b"credentials not found" in done.stdout + done.stderr:
            return None
        said = line(done.error_text, 300)
        raise ToolError(f"gave no credentials (exit code {done.code}): {said}", where=program, mend=f"log in to {host} again")
    try:
        found = msgspec.json.decode(done.stdout, type=_Helped)
    except msgspec.DecodeError:
        raise ToolError("did not answer as a credential helper does", where=program, mend=f"log in to {host} again") from None
    if found.username == "<token>":
        return Credential("", identity_token=found.secret, source=program)
    return Credential(found.username, found.secret, source=program) if found.secret else None


def _write(folder: Path, config: bytes) -> None:
    path = folder / "config.json"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(config)
    except OSError as error:
        raise ToolError(f"cannot be written: {error.strerror}", where=str(path), mend="free space, or set TMPDIR") from error


def _temporary(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("TMPDIR") or "/tmp")  # noqa: S108 - the folder made in it is private and has a random name


@contextlib.contextmanager
def _private_folder(parent: Path) -> Iterator[Path]:
    """A 0700 folder, locked while it is used: the lock ends with its process, so a later run can tell what a killed one left."""
    try:
        _sweep(parent)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        held = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise ToolError(f"no private folder can be made: {error.strerror}", where=str(parent), mend="free space, or set TMPDIR") from error
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def _sweep(parent: Path) -> None:
    """Remove our folders that no process holds. A young one may be about to be locked by the run that makes it."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            seen = folder.lstat()
            if stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid() and time.time() - seen.st_mtime > YOUNG_SECONDS:
                _remove_unless_held(folder)


def _remove_unless_held(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(handle)
