"""What `docker save` writes, read as a stream: which config it names, what its layers hold, and whether a secret is in it."""

from __future__ import annotations

import hashlib
import io
import itertools
import posixpath
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import msgspec

from pipeline.core.image import digest_of
from pipeline.core.needles import Needles
from pipeline.core.text import line
from pipeline.errors import ToolError

CHUNK = 1 << 20
# Manifests and configs are JSON, and small; whatever is larger is a layer.
_DOCUMENT_BYTES = 8 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class Hit:
    """A secret's value in the image: in the layer with that index, which `instruction` made, or (-1) in its configuration."""

    secret: str
    layer: int
    instruction: str

    def __str__(self) -> str:
        place = f"layer {self.layer}" if self.layer >= 0 else "the image's configuration"
        return f"{self.secret} is in {place} ({self.instruction})" if self.instruction else f"{self.secret} is in {place}"


class _Entry(msgspec.Struct, frozen=True, rename="pascal"):
    config: str
    layers: list[str] | None = None


class _History(msgspec.Struct, frozen=True):
    created_by: str = ""
    empty_layer: bool = False


class _Config(msgspec.Struct, frozen=True):
    history: list[_History] = []


@dataclass(slots=True)
class _Saved:
    """What is known of an archive after it went by: its small documents, links from name to name, and a result for each other file."""

    documents: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def entry(self) -> _Entry:
        try:
            entries = msgspec.json.decode(self.documents["manifest.json"], type=list[_Entry])
        except (KeyError, msgspec.MsgspecError) as error:
            raise ToolError("what the engine saved has no manifest that can be read") from error
        if len(entries) != 1 or entries[0].config not in self.documents:
            raise ToolError("what the engine saved is not one image with its configuration")
        return entries[0]

    def config(self) -> bytes:
        return self.documents[self.entry().config]

    def layers(self) -> list[str]:
        return [self.links.get(name, name) for name in self.entry().layers or ()]


def config_digest(chunks: Iterable[bytes]) -> str:
    """The digest of the image's configuration. Raises `ToolError` for an archive that is not one image."""
    saved = _Saved()
    with _readable():
        for _ in _members(chunks, saved):
            pass
    return digest_of(saved.config())


def search(chunks: Iterable[bytes], needles: Needles) -> tuple[Hit, ...]:
    """Where the values are: in any layer, decompressed, or in the configuration (labels, environment, history).

    Raises `ToolError` for a layer that cannot be read: not searched is not clean.
    """
    saved = _Saved()
    with _readable():
        found = {name: needles.scan(content) for name, content in _members(chunks, saved)}
    hits: list[Hit] = []
    instructions = _instructions(saved.config())
    for index, name in enumerate(saved.layers()):
        if name not in found:
            raise ToolError(f"layer {index} is not in what the engine saved")
        instruction = needles.blank(instructions[index]) if index < len(instructions) else ""
        hits += [Hit(secret, index, line(instruction, 200)) for secret in sorted(found[name])]
    for place, text in _strings(msgspec.json.decode(saved.config())):
        hits += [Hit(secret, -1, place) for secret in sorted(needles.found(text.encode("utf-8", "surrogatepass")))]
    return tuple(dict.fromkeys(hits))


def contents(chunks: Iterable[bytes]) -> tuple[tuple[str, int], ...]:
    """Every regular file in the image's layers, those that a later layer hides too: the SHA-256 of its content, and its bytes."""
    saved = _Saved()
    with _readable():
        files = {name: tuple(_files(content)) for name, content in _members(chunks, saved)}
    layers = dict.fromkeys(saved.layers())
    if missing := [name for name in layers if name not in files]:
        raise ToolError(f"{len(missing)} layers are not in what the engine saved")
    return tuple(file for name in layers for file in files[name])


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise ToolError(f"what the engine saved cannot be read: {error}") from error


def _members(chunks: Iterable[bytes], saved: _Saved) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The files of the archive that are not small documents, decompressed; each has to be read before the next."""
    with tarfile.open(fileobj=_Stream(chunks), mode="r|") as archive:
        for member in archive:
            if member.issym() or member.islnk():
                beside = posixpath.dirname(member.name) if member.issym() else ""
                saved.links[member.name] = posixpath.normpath(posixpath.join(beside, member.linkname))
            stream = archive.extractfile(member) if member.isreg() else None
            if stream is None:
                continue
            beginning = stream.read(CHUNK)
            if beginning[:1] in (b"{", b"[") and beginning[257:262] != b"ustar" and member.size < _DOCUMENT_BYTES:
                saved.documents[member.name] = beginning + stream.read()
                continue
            yield member.name, _plain(beginning, stream)


def _plain(beginning: bytes, rest: IO[bytes]) -> Iterator[bytes]:
    if beginning.startswith(_ZSTD):
        raise ToolError("a layer is compressed with zstd and cannot be searched", mend="build without --cache-to compression=zstd")
    chunks = _chunks(beginning, rest)
    return _inflated(chunks) if beginning.startswith(_GZIP) else chunks


def _chunks(beginning: bytes, rest: IO[bytes]) -> Iterator[bytes]:
    yield beginning
    while chunk := rest.read(CHUNK):
        yield chunk


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The content of a gzip stream of one or more members, in pieces of bounded size."""
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
    for chunk in chunks:
        todo = chunk
        while todo:
            if inflate.eof:
                inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
            yield inflate.decompress(todo, CHUNK)
            todo = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    if not inflate.eof:
        raise EOFError("a compressed layer is cut off")


def _files(content: Iterator[bytes]) -> Iterator[tuple[str, int]]:
    beginning = next(content, b"")
    if len(beginning) < tarfile.BLOCKSIZE:  # the VERSION files that older engines write
        return
    content = itertools.chain((beginning,), content)
    with tarfile.open(fileobj=_Stream(content), mode="r|") as layer:
        for member in layer:
            stream = layer.extractfile(member) if member.isreg() else None
            if stream is not None:
                yield _sha256(stream), member.size


def _sha256(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _instructions(config: bytes) -> list[str]:
    try:
        return [one.created_by for one in msgspec.json.decode(config, type=_Config).history if not one.empty_layer]
    except msgspec.MsgspecError as error:
        raise ToolError(f"the image's configuration cannot be read: {error}") from error


def _strings(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every string of a JSON document, keys too, with the first two names that lead to it."""
    if isinstance(value, str):
        yield ".".join(place), value
    for key, one in value.items() if isinstance(value, dict) else ():
        yield ".".join(place), key
        yield from _strings(one, (*place, key)[:2])
    for one in value if isinstance(value, list) else ():
        yield from _strings(one, place)


class _Stream(io.RawIOBase):
    """A file that is read from an iterator of chunks."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        size = min(len(view), len(self._left))
        view[:size], self._left = self._left[:size], self._left[size:]
        return size
