"""Manifests and image configurations as a registry keeps them (OCI image specification 1.1, docker schema 2): bytes to types."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from pipeline.core.image import digest_of, is_digest
from pipeline.core.text import line
from pipeline.errors import RefusedError, ToolError

MANIFESTS = frozenset({"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"})
INDEXES = frozenset({"application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"})
CONFIGS = frozenset({"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"})
_T = TypeVar("_T")
ACCEPT = ", ".join(sorted(MANIFESTS | INDEXES))
# Keys that decide what an image is. Go programs match them without regard to case and take the last: we take only what is said once.
_OF_A_MANIFEST = frozenset({"mediatype", "config", "layers", "manifests", "digest", "size", "urls"})
_OF_A_CONFIG = frozenset({"rootfs", "diff_ids"})


class Platform(msgspec.Struct, frozen=True):
    architecture: str = ""
    os: str = ""
    variant: str = ""


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """What a manifest says of a blob, or an index of a manifest; `size` in bytes."""

    media_type: str = ""
    digest: str = ""
    size: int = 0
    urls: tuple[str, ...] | None = None
    platform: Platform | None = None


_NOTHING = Descriptor()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest or an index: `data` are its bytes, and `digest` was computed over them.

    Of an index, `config` is the empty descriptor and `manifests` are its images; of an image, `manifests` is empty.
    """

    digest: str
    media_type: str
    data: bytes = field(repr=False)
    config: Descriptor = _NOTHING
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()

    @property
    def is_index(self) -> bool:
        return self.media_type in INDEXES


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """What an image says of itself; `digest` was computed over its bytes. `created`: RFC 3339, empty where it is not told."""

    digest: str
    architecture: str
    os: str
    created: str
    diff_ids: tuple[str, ...]
    labels: dict[str, str]
    env: tuple[str, ...] = field(repr=False)
    user: str = ""
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int
    media_type: str = ""
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] | None = None
    manifests: tuple[Descriptor, ...] | None = None


class _Container(msgspec.Struct, frozen=True, rename="pascal"):
    labels: dict[str, str] | None = None
    env: tuple[str, ...] | None = None
    user: str = ""
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    exposed_ports: dict[str, object] | None = None


class _RootFs(msgspec.Struct, frozen=True):
    diff_ids: tuple[str, ...] | None = None


class _Image(msgspec.Struct, frozen=True):
    rootfs: _RootFs
    architecture: str = ""
    os: str = ""
    created: str | None = ""
    config: _Container | None = None


def decode_manifest(data: bytes, media_type: str, where: str) -> Manifest:
    """Raises `ToolError` for what is no manifest we know, `RefusedError` for one that points elsewhere or can be read in two ways."""
    if media_type not in MANIFESTS | INDEXES:
        raise ToolError(
            f"is no image manifest, but {line(media_type, 100) or 'of no media type'}", where=where, mend="push it as OCI image"
        )
    wire = _decode(data, _Manifest, _OF_A_MANIFEST, where)
    if (wire.media_type or media_type) != media_type:
        raise RefusedError(f"is sent as {media_type}, and calls itself {line(wire.media_type, 100)}", where=where)
    if wire.manifests is not None and (wire.config or wire.layers is not None):
        raise RefusedError("is an image and an index at once", where=where)
    layers, manifests = wire.layers or (), wire.manifests or ()
    if (wire.manifests is None) if media_type in INDEXES else not wire.config:
        raise ToolError(f"lacks what a {media_type} has", where=where)
    for one in (*((wire.config,) if wire.config else ()), *layers, *manifests):
        _check(one, where)
    return Manifest(digest_of(data), media_type, data, wire.config or _NOTHING, layers, manifests)


def decode_config(data: bytes, descriptor: Descriptor, where: str) -> ImageConfig:
    """Raises `RefusedError` when `data` is not what `descriptor` promises, `ToolError` when it is no image configuration."""
    if descriptor.media_type not in CONFIGS:
        raise ToolError(f"holds no image, but {line(descriptor.media_type, 100)}", where=where)
    if digest_of(data) != descriptor.digest or len(data) != descriptor.size:
        raise RefusedError(f"the config has digest {digest_of(data)}, and the manifest says {descriptor.digest}", where=where)
    wire = _decode(data, _Image, _OF_A_CONFIG, where)
    inner = wire.config or _Container()
    return ImageConfig(
        digest=descriptor.digest,
        architecture=wire.architecture,
        os=wire.os,
        created=wire.created or "",
        diff_ids=wire.rootfs.diff_ids or (),
        labels=inner.labels or {},
        env=inner.env or (),
        user=inner.user,
        entrypoint=inner.entrypoint or (),
        cmd=inner.cmd or (),
        exposed_ports=tuple(sorted(inner.exposed_ports or ())),
    )


def _decode(data: bytes, kind: type[_T], decisive: frozenset[str], where: str) -> _T:
    try:
        json.loads(data, object_pairs_hook=lambda pairs: _unambiguous(pairs, decisive, where))
        return msgspec.json.decode(data, type=kind)
    except (ValueError, RecursionError) as error:  # the decoding errors of json and msgspec are ValueErrors
        raise ToolError(f"cannot be read: {line(str(error), 200)}", where=where) from None


def _unambiguous(pairs: list[tuple[str, object]], decisive: frozenset[str], where: str) -> None:
    seen = set[str]()
    for name, _ in pairs:
        key = name.casefold() if name.casefold() in decisive else name
        if key in seen:
            raise RefusedError(f"says {line(name, 60)!r} twice, and programs differ in which one they believe", where=where)
        seen.add(key)


def _check(one: Descriptor, where: str) -> None:
    if one.urls:
        raise RefusedError(
            f"{line(one.digest, 80)} is to be fetched from another place (urls)", where=where, mend="push it without foreign layers"
        )
    if not is_digest(one.digest) or one.size < 0:
        raise ToolError(f"names content by {line(one.digest, 80)!r}, which is no sha256 digest", where=where)
