"""What a single value must look like. Each check takes the value, and raises `UsageError` with what is wrong and how to mend it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pipeline.core import tags
from pipeline.core.address import checked
from pipeline.core.image import parse_reference
from pipeline.core.text import printable
from pipeline.core.version import Version
from pipeline.errors import PipelineError, UsageError

Check = Callable[[str], object]


def pattern(noun: str, expression: str, mend: str) -> Check:
    """A check that the whole value matches `expression`; `noun` is what the value then is, with its article."""

    def check(value: str) -> None:
        if not re.fullmatch(expression, value, re.ASCII):
            raise UsageError(f"{value!r} is not {noun}", mend=mend)

    return check


name = pattern("a name", r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "use letters, digits, `.`, `_` and `-`, at most 63")
variable = pattern("the name of a variable", r"[A-Za-z_][A-Za-z0-9_]*", "use letters, digits and `_`, and no digit first")
secret_id = pattern("a secret's id", r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "use letters, digits, `.`, `_` and `-`")
label = pattern("the key of a label", r"[A-Za-z0-9][A-Za-z0-9._/-]*", "use letters, digits, `.`, `_`, `/` and `-`")
stage = pattern("a build stage", r"[A-Za-z0-9][A-Za-z0-9_.-]*", "name a stage of the Dockerfile, or its number")
platform = pattern("a platform", r"[a-z0-9]+/[a-z0-9_]+(/[a-z0-9]+)?", "write it as os/architecture, such as linux/amd64")
tag_prefix = pattern("the beginning of a git tag", r"(?!-)(?!.*(\.\.|//|@\{))[^\x00-\x20\x7f~^:?*\[\\]*", "such as v, or agent/v")
licenses = pattern("an SPDX expression", r"[A-Za-z0-9(][A-Za-z0-9.+() :-]*", "such as Apache-2.0, or MIT OR Apache-2.0")
tcp = pattern("an address to connect to", r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}", "write it as host:port")
host = pattern("an engine's address", r"(unix|npipe|tcp|ssh)://[^\s\x00-\x1f]+", "such as ssh://deploy@host, or unix:///run/docker.sock")
port = pattern(
    "a published port",
    r"((\[[0-9A-Fa-f:]+\]|[0-9.]+):)?([0-9]{1,5}:)?[0-9]{1,5}(/(tcp|udp|sctp))?",
    "such as 8080:8080, or 127.0.0.1:8080:80/tcp",
)
volume = pattern("a volume", r"[^:\s,][^:,]*:/[^:,]*(:(ro|rw|z|Z)(,(ro|rw|z|Z))*)?", "such as /srv/data:/data, or data:/data:ro")
network = pattern("the name of a network", r"[A-Za-z0-9][A-Za-z0-9_.-]*", "name a network of the engine")
restart = pattern("a restart policy", r"no|always|unless-stopped|on-failure(:[0-9]+)?", "no, always, unless-stopped or on-failure:N")


def single_line(value: str) -> None:
    if not value.strip() or not printable(value):
        raise UsageError(f"{value!r} is not one line of text", mend="leave line breaks and control characters out")


def url(value: str) -> None:
    try:
        checked(value)
    except PipelineError as error:
        raise UsageError(f"{value!r} is not an address", mend="write it as http://host:port/path or https://…, without a user") from error


def tag(value: str) -> None:
    """An image tag with `{version}`, `{major}`, `{minor}` and `{patch}` in it."""
    tags.moving(Version(1, 2, 3), [value], [])
    if value.startswith("staging-"):
        raise UsageError(f"{value!r} is reserved: such tags are for images that were not judged yet", mend="call it something else")


def glob(value: str) -> None:
    parts = PurePosixPath(value).parts
    if not parts or ".." in parts or PurePosixPath(value).is_absolute():
        raise UsageError(f"{value!r} is not a pattern inside the project", mend="write it relative to pipeline.toml, such as deploy/*.yaml")
    if any("**" in part and part != "**" for part in parts):
        raise UsageError(f"{value!r} has ** beside something else", mend="let ** stand alone between slashes, such as deploy/**/*.yaml")


def pinned(value: str) -> None:
    if not parse_reference(value).digest:
        raise UsageError(f"{value!r} has no digest", mend="pin it: name@sha256:…")


_CACHES = ("registry", "local", "gha", "inline", "s3", "azblob")


def cache(value: str) -> None:
    """What `docker buildx build` takes as `--cache-from` and `--cache-to`: a reference, or `type=…,key=value,…`."""
    if "=" not in value:
        parse_reference(value)
        return
    parts = dict(part.partition("=")[::2] for part in value.split(","))
    if parts.get("type") not in _CACHES:
        raise UsageError(f"{value!r} names no cache that BuildKit knows", mend=f"begin with type= and one of {', '.join(_CACHES)}")
    if parts["type"] == "registry":
        parse_reference(parts.get("ref", ""))


def inside(value: str, root: Path) -> None:
    """A path that stays in the project, symbolic links followed."""
    mend = "write it relative to pipeline.toml"
    if not value or "\0" in value or "://" in value or PurePosixPath(value).is_absolute():
        raise UsageError(f"{value!r} is not a path inside the project", mend=mend)
    if not (root / value).resolve().is_relative_to(root.resolve()):
        raise UsageError(f"{value!r} leads out of the project", mend="move the file into the project")


def file(value: str, root: Path) -> None:
    """A path that is absolute, or stays in the project."""
    if not PurePosixPath(value).is_absolute() or "\0" in value:
        inside(value, root)
