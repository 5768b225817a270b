"""Layers hashed as what they unpack to: a registry accepts a manifest with the genuine config and a forged layer, so we look."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol, cast

from pipeline.core.text import line
from pipeline.errors import PipelineError, RefusedError, ToolError
from pipeline.tools.http.client import Stream
from pipeline.tools.http.session import ConnectionLostError
from pipeline.tools.registry.manifest import Descriptor, Manifest

UNPACKED_LIMIT = 64 * 1024**3
ATTEMPTS = 3
THREADS = 3
_BLOCK = 1 << 20
_PLAIN = frozenset({"application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"})
_GZIP = frozenset({"application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.docker.image.rootfs.diff.tar.gzip"})
_ZSTD = frozenset({"application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.docker.image.rootfs.diff.tar.zstd"})

OpenBlob = Callable[[str], AbstractContextManager[Stream]]


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def verify(manifest: Manifest, diff_ids: tuple[str, ...], open_blob: OpenBlob, where: str) -> None:
    """Download each layer once, and hold its bytes against the manifest and what they unpack to against `diff_ids`, in order.

    Raises `RefusedError` for the first layer that differs, `ToolError` for one that cannot be fetched or unpacked.
    """
    if len(manifest.layers) != len(diff_ids):
        raise RefusedError(f"has {len(manifest.layers)} layers, and its config names {len(diff_ids)}", where=where)
    unpacked = _all_unpacked(manifest.layers, open_blob, where)
    for number, (layer, wanted) in enumerate(zip(manifest.layers, diff_ids, strict=True)):
        found = unpacked[layer]
        if found != wanted:
            what = f"layer {number} ({layer.digest}) unpacks to {found}, and the judged image has {wanted} there: it is forged"
            raise RefusedError(what, where=where, mend="find out who pushed it, and remove it from the registry")


def _all_unpacked(layers: tuple[Descriptor, ...], open_blob: OpenBlob, where: str) -> dict[Descriptor, str]:
    """The diff ID of each distinct layer. The first failure stops the other downloads."""
    stop = threading.Event()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="layer") as pool:
        jobs = {layer: pool.submit(_unpacked, layer, open_blob, stop, where) for layer in dict.fromkeys(layers)}
        try:
            wait(jobs.values(), return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    for job in jobs.values():
        error = None if job.cancelled() else job.exception()
        if error and not isinstance(error, _StoppedError):
            raise error
    return {layer: job.result() for layer, job in jobs.items()}


class _StoppedError(PipelineError):
    """Another layer failed already."""


def _unpacked(layer: Descriptor, open_blob: OpenBlob, stop: threading.Event, where: str) -> str:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with open_blob(layer.digest) as stream:
                return diff_id(layer, _until(stop, stream.chunks()), where)
        except ConnectionLostError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _until(stop: threading.Event, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if stop.is_set():
            raise _StoppedError("stopped")
        yield chunk


def diff_id(layer: Descriptor, chunks: Iterator[bytes], where: str) -> str:
    """The digest of what a layer unpacks to; its own bytes must have the digest and size of the descriptor.

    Raises `RefusedError` when they have not, or are not packed as the media type says, or unpack to more than 64 GiB.
    """
    source = _Source(layer, chunks, where)
    reader, errors = _reader(layer, source, where)
    content, size, broken = hashlib.sha256(), 0, ""
    try:
        while block := reader.read(_BLOCK):
            content.update(block)
            size += len(block)
            if size > UNPACKED_LIMIT:
                raise RefusedError(f"layer {layer.digest} unpacks to more than {UNPACKED_LIMIT >> 30} GiB", where=where)
    except errors as error:
        broken = line(str(error), 100) or type(error).__name__
    source.finish()
    if broken:
        raise RefusedError(f"layer {layer.digest} is not packed as {layer.media_type}: {broken}", where=where)
    return f"sha256:{content.hexdigest()}"


class _Source:
    """A layer's own bytes as a file to unpack from, counted and hashed on the way."""

    def __init__(self, layer: Descriptor, chunks: Iterator[bytes], where: str) -> None:
        self._layer, self._chunks, self._where = layer, chunks, where
        self._hash, self._size, self._rest = hashlib.sha256(), 0, b""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes, fewer where fewer are at hand; none at the end."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
            self._hash.update(self._rest)
            self._size += len(self._rest)
            if self._size > self._layer.size:
                raise RefusedError(f"layer {self._layer.digest} is longer than its {self._layer.size} bytes", where=self._where)
        end = size if size >= 0 else len(self._rest)
        taken, self._rest = self._rest[:end], self._rest[end:]
        return taken

    def finish(self) -> None:
        """Read what the unpacking left, and hold all of it against the descriptor. Raises `RefusedError`."""
        while self._rest or self.read(1):
            self._rest = b""
        found = f"sha256:{self._hash.hexdigest()}"
        if found != self._layer.digest or self._size != self._layer.size:
            what = f"layer {self._layer.digest} of {self._layer.size} bytes is sent as {found} of {self._size}"
            raise RefusedError(what, where=self._where, mend="see what changes content between the registry and this machine")


def _reader(layer: Descriptor, source: _Source, where: str) -> tuple[_Readable, tuple[type[Exception], ...]]:
    """What unpacks a layer by its media type, and the errors by which it says that it cannot."""
    if layer.media_type in _PLAIN:
        return source, ()
    if layer.media_type in _GZIP:
        return gzip.GzipFile(fileobj=cast("BinaryIO", source), mode="rb"), (gzip.BadGzipFile, EOFError, zlib.error)
    if layer.media_type in _ZSTD:
        return _zstandard(source, where)
    raise ToolError(f"layer {layer.digest} is no image layer, but {line(layer.media_type, 100)}", where=where)


def _zstandard(source: _Source, where: str) -> tuple[_Readable, tuple[type[Exception], ...]]:
    try:
        module = importlib.import_module("zstandard")
    except ImportError:
        mend = "install the Python package zstandard beside pipeline, or push layers as gzip"
        raise ToolError("its layers are packed with zstd, which Python cannot unpack by itself", where=where, mend=mend) from None
    reader: _Readable = module.ZstdDecompressor().stream_reader(source, read_across_frames=True)
    return reader, (module.ZstdError,)
