"""Images in the engine, always by ID: what they are, their layers, saving, tagging and pushing them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from pipeline.core.image import is_digest
from pipeline.core.record import Layer
from pipeline.core.text import line
from pipeline.errors import ToolError
from pipeline.tools.docker.client import engine_errors

if TYPE_CHECKING:
    import docker

    from pipeline.tools.credentials import Credential

T = TypeVar("T")
CHUNK = 1 << 20
SAVE_SECONDS = 900
# What BuildKit's history calls the instructions that change the configuration only; `WORKDIR /` makes no folder.
_NO_LAYER = re.compile(r"(ARG|CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|SHELL|STOPSIGNAL|USER|VOLUME) |WORKDIR /$")
_PUSHED = re.compile(r": digest: (sha256:[0-9a-f]{64}) size: \d+\Z")
_NOP = "/bin/sh -c #(nop) "


class ImageFacts(msgspec.Struct, frozen=True):
    """An image as the engine has it. `id` is the config digest in the classic store, the manifest digest in the containerd store.

    `size` in bytes: uncompressed in the one, compressed in the other. `created`: RFC 3339. `healthcheck`: it has one that runs.
    """

    id: str
    diff_ids: tuple[str, ...]
    labels: dict[str, str]
    env: tuple[str, ...]
    user: str
    exposed_ports: tuple[str, ...]
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    healthcheck: bool
    architecture: str
    os: str
    size: int
    created: str
    repo_tags: tuple[str, ...] = ()
    repo_digests: tuple[str, ...] = ()


class _Healthcheck(msgspec.Struct, frozen=True, rename="pascal"):
    test: list[str] | None = None


class _Config(msgspec.Struct, frozen=True, rename="pascal"):
    labels: dict[str, str] | None = None
    env: list[str] | None = None
    user: str = ""
    exposed_ports: dict[str, Any] | None = None
    entrypoint: list[str] | None = None
    cmd: list[str] | None = None
    healthcheck: _Healthcheck | None = None


class _RootFS(msgspec.Struct, frozen=True, rename="pascal"):
    layers: list[str] | None = None


class _Inspected(msgspec.Struct, frozen=True, rename="pascal"):
    id: str
    architecture: str
    os: str
    size: int
    root_f_s: _RootFS = msgspec.field(name="RootFS")
    config: _Config | None = None
    created: str | None = None
    repo_tags: list[str] | None = None
    repo_digests: list[str] | None = None


class _History(msgspec.Struct, frozen=True, rename="pascal"):
    created_by: str = ""
    size: int = 0


class _Progress(msgspec.Struct, frozen=True):
    status: str = ""
    id: str = ""
    detail: dict[str, Any] | None = msgspec.field(default=None, name="progressDetail")
    error: str = ""
    aux: dict[str, Any] | None = None


def find(client: docker.DockerClient, reference: str) -> ImageFacts | None:
    """The image that the engine has under an ID or a name; None where it has none. Raises `ToolError`."""
    import docker.errors

    with engine_errors(f"the engine cannot inspect {line(reference, 200)}"):
        try:
            answer = client.api.inspect_image(reference)  # type: ignore[no-untyped-call]  # not in its stubs
        except docker.errors.ImageNotFound:
            return None
    return _facts(_convert(answer, _Inspected))


def inspect(client: docker.DockerClient, reference: str) -> ImageFacts:
    """The same for an image that has to be there. Raises `ToolError`."""
    facts = find(client, reference)
    if facts is None:
        raise ToolError(f"the engine has no image {line(reference, 200)}", mend="build it again: `pipeline build`")
    return facts


def layers(client: docker.DockerClient, image: str, diff_ids: tuple[str, ...]) -> tuple[Layer, ...]:
    """The layers of an image, lowest first, with the engine's own sizes; see `match` for what it does not tell."""
    with engine_errors(f"the engine cannot tell the history of {image}"):
        answer = client.api.history(image)  # type: ignore[no-untyped-call]  # not in its stubs
    history = _convert(answer, list[_History])
    return match(diff_ids, tuple((one.created_by, one.size) for one in reversed(history)))


def match(diff_ids: tuple[str, ...], history: tuple[tuple[str, int], ...]) -> tuple[Layer, ...]:
    """Give each layer its instruction and size (bytes, uncompressed) from the history, oldest first.

    The engine's history does not say which instructions made a layer. Where our reading of it does not give as many as there are,
    every size is -1.
    """
    made = [(by, size) for by, size in history if not _makes_none(by, size)]
    if len(made) != len(diff_ids):
        return tuple(Layer(diff_id, -1) for diff_id in diff_ids)
    return tuple(Layer(diff_id, size, by) for diff_id, (by, size) in zip(diff_ids, made, strict=True))


def save(client: docker.DockerClient, image: str) -> Iterator[bytes]:
    """The image as `docker save` writes it: a tar archive, in chunks. Raises `ToolError`, also while it is read."""
    with engine_errors(f"the engine cannot save {image}"):
        # An engine may write the whole archive to its disk before it sends the first byte.
        patience, client.api.timeout = client.api.timeout, SAVE_SECONDS
        try:
            chunks = client.api.get_image(image, chunk_size=CHUNK)
        finally:
            client.api.timeout = patience
        yield from chunks


def tag(client: docker.DockerClient, image: str, repository: str, name: str) -> None:
    """Give an image a name, taking it from whichever had it. Raises `ToolError`."""
    with engine_errors(f"the engine cannot tag {image} as {repository}:{name}"):
        client.api.tag(image, repository, name)


def untag(client: docker.DockerClient, name: str) -> None:
    """Take a name from an image, unless it is the last: the engine would delete the image with it. No error if it is gone."""
    import docker.errors

    facts = find(client, name)
    if facts is None or len(facts.repo_tags) < 2:
        return
    with engine_errors(f"the engine cannot remove the name {name}"):
        try:
            client.api.remove_image(name, noprune=True)
        except docker.errors.ImageNotFound:
            return


def ids(client: docker.DockerClient) -> frozenset[str]:
    """Every image that the engine has, those without a name too."""
    with engine_errors("the engine cannot list its images"):
        return frozenset(_convert(client.api.images(quiet=True, all=True), list[str]))


def remove(client: docker.DockerClient, image: str) -> None:
    """Delete an image that has no name and that no container uses; one that has is left. Raises `ToolError`."""
    facts = find(client, image)
    if facts and not facts.repo_tags:
        with engine_errors(f"the engine cannot remove {image}"):
            client.api.remove_image(image)


def push(
    client: docker.DockerClient, repository: str, name: str, credential: Credential | None, on_line: Callable[[str], None] | None = None
) -> str:
    """Push what is tagged `repository:name` and return its manifest digest. Raises `ToolError` with what engine or registry said.

    `credential` None pushes without one. `on_line` gets the progress as it comes, raw.
    """
    digest = ""
    where = f"{repository}:{name}"
    with engine_errors(f"the engine cannot push {where}"):
        # Without an explicit one the SDK would look for a credential by itself, in the process's environment.
        stream = client.api.push(repository, tag=name, auth_config=_auth(credential), stream=True, decode=True)
        for answer in stream:
            progress = _convert(answer, _Progress)
            if progress.error:
                raise ToolError(f"the push failed: {line(progress.error)}", where=where, mend="see `pipeline doctor`")
            # The classic store says it as data, the containerd store in words only.
            said = _PUSHED.search(progress.status)
            digest = said[1] if said else str((progress.aux or {}).get("Digest", digest))
            if on_line and progress.status and not progress.detail:
                on_line(f"{progress.id}: {progress.status}" if progress.id else progress.status)
    if not is_digest(digest):
        raise ToolError("the engine does not say which digest it pushed", where=where)
    return digest


def _auth(credential: Credential | None) -> dict[str, str]:
    if credential is None:
        return {}
    if credential.identity_token:
        return {"identitytoken": credential.identity_token}
    return {"username": credential.user, "password": credential.password}


def _makes_none(by: str, size: int) -> bool:
    words = by.removeprefix(_NOP).lstrip()
    return size == 0 and bool(_NO_LAYER.match(words))


def _convert(answer: object, kind: type[T]) -> T:
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise ToolError(f"the engine's answer cannot be read: {error}") from error


def _facts(told: _Inspected) -> ImageFacts:
    config = told.config or _Config()
    test = (config.healthcheck and config.healthcheck.test) or []
    return ImageFacts(
        id=told.id,
        diff_ids=tuple(told.root_f_s.layers or ()),
        labels=config.labels or {},
        env=tuple(config.env or ()),
        user=config.user,
        exposed_ports=tuple(config.exposed_ports or ()),
        entrypoint=tuple(config.entrypoint or ()),
        cmd=tuple(config.cmd or ()),
        healthcheck=bool(test) and test[0] != "NONE",
        architecture=told.architecture,
        os=told.os,
        size=told.size,
        created=told.created or "",
        repo_tags=tuple(told.repo_tags or ()),
        repo_digests=tuple(told.repo_digests or ()),
    )
