"""BuildKit through `docker buildx`: the command line, the call, and what its metadata file says."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pipeline.core.cancel import Cancel
from pipeline.core.image import is_digest
from pipeline.core.text import block, line
from pipeline.errors import ToolError, UsageError
from pipeline.tools import location, process

INSTALL = "install the docker command with its buildx plugin (Debian, Ubuntu: apt-get install docker-cli docker-buildx)"
# Beside the docker command's own: which builder, and how to reach one over SSH.
ENVIRONMENT = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "BUILDX_BUILDER",
    "BUILDX_CONFIG",
    "SSH_AUTH_SOCK",
)
# What a variable of the docker command, or of a credential helper that it starts, may be called without meaning something to the loader,
# a shell, an interpreter, git, a cloud's client or the proxy in between.
_PLAIN = re.compile(r"[A-Z][A-Z0-9_]*")
_RESERVED = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|TMPDIR|TEMP|TMP|IFS|ENV|PS4|SHELLOPTS|CDPATH|GLOBIGNORE|LANG|LANGUAGE|TZ|ZDOTDIR|CLASSPATH|HOSTALIASES"
    r"|PASSWORD_STORE_.*|(BASH|PYTHON|NODE|PERL|RUBY|JAVA|_JAVA|JDK|DYLD|LD|LC|MALLOC|GLIBC|GCONV|DBUS|GNUPG|GPG|XDG|SSL|SSH|CURL|OPENSSL).*"
    r"|(DOCKER|BUILDX|BUILDKIT|COMPOSE|OTEL|RELEASE_CHAIN|GIT|AWS|CLOUDSDK|GOOGLE|AZURE|ACR|ECR)_.*"
    r"|.*_PROXY|RES_OPTIONS|LOCALDOMAIN|LOCPATH|NLSPATH|GO(DEBUG|GC|MAXPROCS|MEMLIMIT|TRACEBACK|COVERDIR)"
)
_RESOLVED = re.compile(r"(?:\] FROM |docker-image://)(\S+)@(sha256:[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Mount:
    """A BuildKit secret: the variable of buildx's environment, or else the file, that holds its value."""

    id: str
    env: str = ""
    file: Path | None = None

    @property
    def option(self) -> str:
        return f"id={self.id},env={self.env}" if self.env else f"id={self.id},src={self.file}"


@dataclass(frozen=True, slots=True)
class Request:
    """One build. `args` hold values, and are not shown; those that `private` names are kept out of the argument list too, the others
    stand in the project's files anyway. `tag`: empty for an image without a name."""

    dockerfile: Path
    context: Path
    target: str = ""
    platform: str = ""
    args: Mapping[str, str] = field(default_factory=dict, repr=False)
    private: frozenset[str] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[Mount, ...] = ()
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    no_cache: bool = False
    tag: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """The build arguments that buildx reads from its environment, so that their values are in no argument list."""
        return {name: value for name, value in self.args.items() if name in self.private}


@dataclass(frozen=True, slots=True)
class Built:
    """`config`: the config digest, empty where the builder does not tell. `digest`: what the engine may know the image by.
    `bases`: image names, as BuildKit writes them, with the digests that it resolved them to."""

    config: str
    digest: str
    bases: Mapping[str, str]


class _Metadata(msgspec.Struct, frozen=True):
    config: str = msgspec.field(default="", name="containerimage.config.digest")
    digest: str = msgspec.field(default="", name="containerimage.digest")


def argv(docker: str, request: Request, metadata: Path, iidfile: Path) -> tuple[str, ...]:
    """The command line. Values of secrets are not in it, nor those of private build arguments (see `Request.environment`)."""
    options = [
        "--progress=plain",
        "--provenance=false",
        "--sbom=false",
        "--load",
        f"--file={request.dockerfile}",
        f"--metadata-file={metadata}",
        f"--iidfile={iidfile}",
    ]
    options += [f"--target={request.target}"] if request.target else []
    options += [f"--platform={request.platform}"] if request.platform else []
    options += [f"--tag={request.tag}"] if request.tag else []
    options += ["--no-cache"] if request.no_cache else []
    options += [f"--build-arg={name}" + ("" if name in request.private else f"={value}") for name, value in sorted(request.args.items())]
    options += [f"--label={name}={value}" for name, value in sorted(request.labels.items())]
    options += [f"--secret={mount.option}" for mount in request.secrets]
    options += [f"--cache-from={cache}" for cache in request.cache_from]
    options += [f"--cache-to={cache}" for cache in request.cache_to]
    options += [f"--allow={entitlement}" for entitlement in request.allow]
    return (docker, "buildx", "build", *options, str(request.context))


class Buildx:
    """`config`: the folder with the docker configuration to use instead of the user's. `redact` cleans what an error quotes."""

    def __init__(self, environ: Mapping[str, str], cancel: Cancel, *, config: Path | None, redact: Callable[[str], str]) -> None:
        self._docker = _docker(environ)
        # Without attestations nothing reads what buildx would ask git for, in seven processes.
        self._env = process.environment(environ, *ENVIRONMENT, BUILDX_GIT_INFO="false") | ({"DOCKER_CONFIG": str(config)} if config else {})
        self._cancel, self._redact = cancel, redact

    def version(self) -> str:
        """Raises `ToolError` where the plugin is missing or does not answer."""
        done = process.run((self._docker, "buildx", "version"), env=self._env, timeout=30, cancel=self._cancel, check=False)
        found = re.search(r"\bv?(\d+\.\d+\.\d+\S*)", done.text)
        if done.code or not found:
            raise ToolError(f"docker has no buildx that works\n{self._redact(done.error_text)}".rstrip(), mend=INSTALL)
        return found[1]

    def build(self, request: Request, secrets: Mapping[str, str], *, timeout: float, on_line: Callable[[str], None] | None = None) -> Built:
        """Build, and load the image into the engine. `secrets`: the variables that the mounts name. `timeout` in seconds.

        Raises `ToolError` when the build fails, does not end in time, or does not say what it built; `UsageError` for a private build
        argument that must not be in the environment of a program.
        """
        env = {**self._env, **_checked(request.environment, self._env), **secrets}
        with tempfile.TemporaryDirectory(prefix="buildx-") as folder:
            metadata, iidfile = Path(folder, "metadata.json"), Path(folder, "iid")
            command = argv(self._docker, request, metadata, iidfile)
            done = process.run(command, env=env, timeout=timeout, cancel=self._cancel, on_line=on_line, check=False)
            if done.code:
                raise self._failed(done)
            return decode(_read(metadata), _read(iidfile), done.stderr.decode("utf-8", "replace"))

    def _failed(self, done: process.Completed) -> ToolError:
        said = block(self._redact(done.stderr.decode("utf-8", "replace")).strip(), 2000)
        full = "no space left on device" in said
        mend = "free some disk space: docker builder prune" if full else "mend the Dockerfile; the lines above are BuildKit's own"
        return ToolError(f"the build failed (docker buildx build: exit code {done.code})\n{said}", mend=mend)


def _checked(arguments: Mapping[str, str], env: Mapping[str, str]) -> Mapping[str, str]:
    """Private build arguments that may be variables of buildx: by their name, or since it has that very variable anyway, as of a proxy."""
    for name, value in arguments.items():
        if env.get(name) != value and (_RESERVED.fullmatch(name) or not _PLAIN.fullmatch(name)):
            what = f"the build argument {line(name, 80)} takes its value from the environment, and its name may mean something to a program"
            raise UsageError(what, where="[image.args]", mend="rename it, such as APP_VERSION; a secret belongs under [image.secrets]")
    return arguments


def decode(metadata: bytes, iid: bytes, progress: str) -> Built:
    """What buildx built, from its metadata file, its image-ID file and its plain progress. Raises `ToolError`."""
    try:
        told = msgspec.json.decode(metadata, type=_Metadata)
    except msgspec.DecodeError as error:
        raise ToolError(f"buildx's metadata cannot be read: {error}", mend="use buildx 0.13 or newer") from error
    digest = told.digest or iid.decode("ascii", "replace").strip()
    if not is_digest(digest) or (told.config and not is_digest(told.config)):
        raise ToolError("buildx does not say which image it built", mend="use buildx 0.13 or newer")
    return Built(told.config, digest, dict(_RESOLVED.findall(progress)))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ToolError(f"buildx ended well, but did not write {path.name}: {error.strerror}", mend="use buildx 0.13 or newer") from error


def _docker(environ: Mapping[str, str]) -> str:
    found = location.find("docker", environ)
    if not found:
        raise ToolError("the docker command is not installed", mend=INSTALL)
    return str(found)
