"""Names of images: repositories, tags, digests, as the OCI distribution specification and docker's reference grammar have them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from pipeline.errors import UsageError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*\Z")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?\Z"
)
HUB = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class Repository:
    """`host` may carry a port; `path` is the name below it."""

    host: str
    path: str

    def __str__(self) -> str:
        return f"{'docker.io' if self.host == HUB else self.host}/{self.path}"

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this machine: docker, Trivy and we speak plain HTTP to it."""
        name = self.host.rsplit(":", 1)[0] if not self.host.startswith("[") else self.host.split("]")[0] + "]"
        return name in {"localhost", "[::1]"} or bool(re.fullmatch(r"127(\.\d{1,3}){3}", name))


@dataclass(frozen=True, slots=True)
class Reference:
    """A whole image name. At most one of `tag` and `digest` decides: the digest, where there is one."""

    repository: Repository
    tag: str = ""
    digest: str = ""


def parse_repository(text: str) -> Repository:
    """Parse `host/path`; without a host it is Docker Hub's, as docker reads it. Raises `UsageError`."""
    first, slash, rest = text.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        host, path = first, rest
    else:
        host, path = "docker.io", text if slash else f"library/{text}"
    if host in {"docker.io", "index.docker.io"}:
        host = HUB
    if not _HOST.match(host) or not _PATH.match(path) or len(path) > 255:
        mend = "write it as host/path in lower case, without a tag"
        raise UsageError(f"{text!r} is not an image repository", mend=mend)
    return Repository(host, path)


def parse_reference(text: str) -> Reference:
    """Parse `repository[:tag][@digest]`. Raises `UsageError`."""
    name, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise UsageError(f"{digest!r} is not a sha256 digest", where=text)
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return Reference(parse_repository(name), "", digest)
    if not is_tag(tag):
        raise UsageError(f"{tag!r} is not an image tag", where=text)
    return Reference(parse_repository(head), tag, digest)


def is_digest(text: str) -> bool:
    return bool(_DIGEST.match(text))


def is_tag(text: str) -> bool:
    return bool(_TAG.match(text))


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tag_of_version(version: str) -> str:
    """The image tag of a semantic version: `+` is not legal in a tag, and `_` is not legal in a version, so nothing collides."""
    tag = version.replace("+", "_")
    if not is_tag(tag):
        raise UsageError(
            f"{version!r} cannot be an image tag: {len(tag)} characters, at most 128", mend="shorten the prerelease or build part"
        )
    return tag
