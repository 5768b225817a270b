"""Credentials for registries, and docker's `config.json` as the format they are kept in."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from pipeline.core.image import HUB
from pipeline.core.text import line
from pipeline.errors import UsageError

_HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and password, or an identity token that a token server exchanges. `source` says where it comes from."""

    user: str
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    source: str = ""

    @property
    def basic(self) -> str:
        """`user:password` in base64, as `Authorization: Basic` and docker's `auth` have it."""
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every form in which it could turn up in a log."""
        return tuple(one for one in (self.password, self.identity_token, self.basic if self.password else "") if one)


class _Entry(msgspec.Struct, frozen=True):
    auth: str = ""
    identitytoken: str = ""
    username: str = ""
    password: str = ""


class DockerConfig(msgspec.Struct, frozen=True, rename={"creds_store": "credsStore", "cred_helpers": "credHelpers"}):
    """What of `config.json` is about credentials."""

    auths: dict[str, _Entry] | None = None
    creds_store: str = ""
    cred_helpers: dict[str, str] | None = None

    def helper(self, host: str) -> str:
        """The helper for a host: its own entry decides, an empty one too; else the store for all."""
        own = next((value for name, value in (self.cred_helpers or {}).items() if same_host(name, host)), None)
        return self.creds_store if own is None else own

    def stored(self, host: str, where: str) -> Credential | None:
        """The credential in the file itself. Raises `UsageError`, at `where`, for an entry that cannot be read."""
        entries = {name: entry for name, entry in (self.auths or {}).items() if same_host(name, host)}
        entry = entries.get(key_of(host)) or next(iter(entries.values()), _Entry())
        user, password = _split(entry.auth, host, where) if entry.auth else (entry.username, entry.password)
        if not password and not entry.identitytoken:
            return None
        return Credential(user, password, entry.identitytoken, source="docker's configuration")


def decode(raw: bytes, where: str) -> DockerConfig:
    """Raises `UsageError`, at `where`."""
    try:
        return msgspec.json.decode(raw, type=DockerConfig)
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"is not a docker configuration: {line(str(error), 200)}", where=where, mend="mend it, or log in again") from None


def merged(raw: bytes, credentials: Mapping[str, Credential], *, only_stored: bool = False) -> bytes:
    """The configuration `raw` with `credentials` (by host) over it; of `raw`, only the stored credentials with `only_stored`.

    A helper would hide a stored entry, so for those hosts none is left.
    """
    config = json.loads(raw)
    auths, helpers = config.get("auths") or {}, config.get("credHelpers") or {}
    if only_stored:
        config, helpers = {}, {}
    auths = {name: entry for name, entry in auths.items() if not any(same_host(name, host) for host in credentials)}
    helpers = {name: helper for name, helper in helpers.items() if not any(same_host(name, host) for host in credentials)}
    for host, one in credentials.items():
        auths[key_of(host)] = {"auth": one.basic} | ({"identitytoken": one.identity_token} if one.identity_token else {})
        if config.get("credsStore"):
            helpers[key_of(host)] = ""
    return json.dumps(config | {"auths": auths} | ({"credHelpers": helpers} if helpers else {})).encode()


def key_of(host: str) -> str:
    """The name under which docker keeps a host's credential."""
    return _HUB_KEY if _canonical(host) == HUB else host


def same_host(one: str, other: str) -> bool:
    """Whether two names, addresses or hosts, mean the same registry; Docker Hub has many."""
    return _canonical(one) == _canonical(other)


def _canonical(name: str) -> str:
    host = re.sub(r"^https?://", "", name.strip()).partition("/")[0].lower()
    return HUB if host in _HUB_NAMES else host


def _split(auth: str, host: str, where: str) -> tuple[str, str]:
    try:
        user, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise UsageError(f"its `auth` for {host} is not base64 of user:password", where=where, mend=f"log in to {host} again")
    return user, password.strip("\0")
