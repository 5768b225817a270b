"""Images for tests, made without a build: files in a layer, loaded into the real engine."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import docker
import pytest


@dataclass(frozen=True)
class Image:
    """`id` is the engine's; in the classic store it equals `config`."""

    id: str
    config: str
    diff_ids: tuple[str, ...]


@contextlib.contextmanager
def engine(host: str = "") -> Iterator[docker.DockerClient]:
    """The engine of this machine, or the one at `host`; skips the test where none answers."""
    try:
        client = docker.DockerClient(host, timeout=60) if host else docker.from_env(timeout=60)
    except docker.errors.DockerException as error:
        pytest.skip(f"needs a Docker engine: {error}")
    with contextlib.closing(client):
        yield client


@contextlib.contextmanager
def loaded(client: docker.DockerClient, name: str, *layers: Mapping[str, str], env: tuple[str, ...] = ()) -> Iterator[Image]:
    """An image with one layer for each mapping of paths to contents; removed at the end."""
    packed = [_pack({path: text.encode() for path, text in layer.items()}) for layer in layers]
    diff_ids = [_digest(layer) for layer in packed]
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Env": list(env), "Cmd": ["/none"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [{"created_by": f"layer {place}"} for place, _ in enumerate(layers)],
        }
    ).encode()
    files = {f"{place}/layer.tar": layer for place, layer in enumerate(packed)}
    manifest = [{"Config": "config.json", "RepoTags": [f"{name}:test"], "Layers": list(files)}]
    archive = _pack({"manifest.json": json.dumps(manifest).encode(), "config.json": config, **files})
    (image,) = client.images.load(archive)
    try:
        yield Image(str(image.id), _digest(config), tuple(diff_ids))
    finally:
        client.images.remove(f"{name}:test", force=True)


def _pack(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
