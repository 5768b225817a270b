"""Reaching the engine: the endpoint that the docker command uses, for the SDK too, and the engine's errors as ours."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pipeline.core.text import block, line
from pipeline.errors import ToolError, UsageError

if TYPE_CHECKING:
    import docker
    from docker.tls import TLSConfig

DEFAULT = "unix:///var/run/docker.sock"
HELLO_SECONDS = 10
OLDEST_API = "1.24"
# What the docker command reads to find its engine: hand these to it, and DOCKER_HOST where the configuration names a host.
CLI_NAMES = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")


class _Config(msgspec.Struct, frozen=True):
    current: str = msgspec.field(default="", name="currentContext")


class _Target(msgspec.Struct, frozen=True, rename="pascal"):
    host: str = DEFAULT
    skip_tls_verify: bool = msgspec.field(default=False, name="SkipTLSVerify")


class _Meta(msgspec.Struct, frozen=True):
    endpoints: dict[str, _Target] = msgspec.field(default_factory=dict, name="Endpoints")


class _Found(msgspec.Struct, frozen=True):
    """An engine's address and, for TLS, the folder with `ca.pem`, `cert.pem` and `key.pem`."""

    host: str
    certificates: Path | None = None
    verify: bool = True


def endpoint(environ: Mapping[str, str], host: str = "") -> str:
    """The engine's address: `host`, else DOCKER_HOST, else the current context's, else the default socket. Raises `UsageError`."""
    return _find(environ, host).host


def connect(environ: Mapping[str, str], host: str = "", timeout: float = 60) -> docker.DockerClient:
    """A client for the engine that the docker command would use with this environment; close it after use.

    `timeout` in seconds, for each answer. Raises `ToolError` when no engine answers, `UsageError` for an unknown context.
    """
    import docker

    found = _find(environ, host)
    mend = "start it, or name another with DOCKER_HOST or `docker context use`; `pipeline doctor` says more"
    _require_socket(found.host, mend)
    with engine_errors(f"no Docker engine answers at {found.host}", mend):
        # The SDK would ask for the version while it still reads proxies from the process's environment: ask it ourselves.
        hello = docker.DockerClient(base_url=found.host, tls=_tls(found), version=OLDEST_API, timeout=HELLO_SECONDS)
        with contextlib.closing(hello):
            hello.api.trust_env = False
            answer = msgspec.convert(hello.api.version(api_version=False), _Version)
        client = docker.DockerClient(base_url=found.host, tls=_tls(found), version=answer.api, timeout=max(1, round(timeout)))
        client.api.trust_env = False
    return client


class _Version(msgspec.Struct, frozen=True):
    api: str = msgspec.field(name="ApiVersion")


@contextlib.contextmanager
def engine_errors(what: str, mend: str = "") -> Iterator[None]:
    """Turn what the SDK raises into a `ToolError`: `what` failed, and the engine's own explanation."""
    import docker.errors
    import requests
    import urllib3

    try:
        yield
    except docker.errors.APIError as error:
        raise ToolError(f"{what}: {block(str(error.explanation or error), 2000)}", mend=mend) from error
    except (requests.ReadTimeout, urllib3.exceptions.ReadTimeoutError) as error:
        raise ToolError(f"{what}: the engine did not answer in time", mend=mend) from error
    except (
        docker.errors.DockerException,
        requests.RequestException,
        urllib3.exceptions.HTTPError,
        msgspec.MsgspecError,
        OSError,
        ValueError,
    ) as error:
        raise ToolError(f"{what}: {line(str(error), 500)}", mend=mend) from error


def _require_socket(host: str, mend: str) -> None:
    """Asked of a socket that is not there, the SDK leaves its own end open and explains badly."""
    path = host.removeprefix("unix://")
    if path != host and not Path("/", path).exists():
        raise ToolError(f"no Docker engine answers at {host}: there is no such socket", mend=mend)


def _find(environ: Mapping[str, str], host: str) -> _Found:
    explicit = host or environ.get("DOCKER_HOST", "")
    folder = _folder(environ)
    if explicit:
        certificates = environ.get("DOCKER_CERT_PATH", "")
        secured = certificates or environ.get("DOCKER_TLS_VERIFY")
        return _Found(
            explicit,
            Path(certificates or folder) if secured and explicit.startswith("tcp:") else None,
            bool(environ.get("DOCKER_TLS_VERIFY")),
        )
    name = environ.get("DOCKER_CONTEXT") or _current(folder)
    return _context(folder, name) if name not in {"", "default"} else _Found(DEFAULT)


def _folder(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME", "/nonexistent"), ".docker"))


def _current(folder: Path) -> str:
    """The configuration's current context; like the docker command, go on with the default where the file is absent or broken."""
    try:
        return msgspec.json.decode(Path(folder, "config.json").read_bytes(), type=_Config).current
    except (OSError, msgspec.MsgspecError):
        return ""


def _context(folder: Path, name: str) -> _Found:
    digest = hashlib.sha256(name.encode()).hexdigest()
    mend = "choose one of `docker context ls`, or set DOCKER_HOST"
    try:
        meta = msgspec.json.decode(Path(folder, "contexts", "meta", digest, "meta.json").read_bytes(), type=_Meta)
    except (OSError, msgspec.MsgspecError) as error:
        raise UsageError(f"the docker context {line(name, 80)} does not exist or cannot be read", where=str(folder), mend=mend) from error
    target = meta.endpoints.get("docker", _Target())
    certificates = Path(folder, "contexts", "tls", digest, "docker")
    return _Found(target.host, certificates if certificates.is_dir() else None, not target.skip_tls_verify)


def _tls(found: _Found) -> TLSConfig | bool:
    from docker.tls import TLSConfig

    if found.certificates is None:
        return False
    ca, cert, key = (found.certificates / name for name in ("ca.pem", "cert.pem", "key.pem"))
    pair = (str(cert), str(key)) if cert.is_file() and key.is_file() else None
    return TLSConfig(client_cert=pair, ca_cert=str(ca) if ca.is_file() else None, verify=found.verify)
