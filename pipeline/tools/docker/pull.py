"""Bringing an image to the engine by its digest."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from pipeline.core.cancel import Cancel
from pipeline.core.text import line
from pipeline.errors import PipelineError, ToolError
from pipeline.tools.docker.client import engine_errors
from pipeline.tools.docker.inspection import Image, find_image

if TYPE_CHECKING:
    import docker

SILENCE_SECONDS = 300.0


class _Event(msgspec.Struct, frozen=True):
    error: str = ""


def pull(client: docker.DockerClient, repository: str, digest: str, auth: Mapping[str, str], cancel: Cancel) -> Image:
    """Pull `repository@digest`; the engine checks every byte against the digest. `auth`: the engine's own words for credentials
    (`username` and `password`, or `identitytoken`), empty for none. Raises `ToolError`, also when the engine is silent for 300 s;
    `CancelledError`."""
    reference = f"{repository}@{digest}"
    events: queue.SimpleQueue[PipelineError | _Event | None] = queue.SimpleQueue()
    # The engine may be silent for long while it waits for a registry; in a thread of its own that wait can be left.
    threading.Thread(target=_pull, args=(client, repository, digest, dict(auth), events), daemon=True, name="pull").start()
    _follow(events, reference, cancel)
    image = find_image(client, reference)
    if image is None:
        raise ToolError(f"{reference} was pulled, but the engine does not have it", mend="look at the engine's log and its disk")
    return image


def _pull(
    client: docker.DockerClient,
    repository: str,
    digest: str,
    auth: dict[str, str],
    events: queue.SimpleQueue[PipelineError | _Event | None],
) -> None:
    try:
        # Given always, empty or not: else the SDK would look for credentials, and run helpers, by itself.
        with engine_errors(f"{repository}@{digest} cannot be pulled"):
            for event in client.api.pull(repository, tag=digest, stream=True, decode=True, auth_config=auth):
                events.put(msgspec.convert(event, _Event))
    except PipelineError as error:
        events.put(error)
    else:
        events.put(None)


def _follow(events: queue.SimpleQueue[PipelineError | _Event | None], reference: str, cancel: Cancel) -> None:
    heard = time.monotonic()
    while True:
        cancel.check()
        try:
            event = events.get(timeout=0.1)
        except queue.Empty:
            if time.monotonic() - heard > SILENCE_SECONDS:
                raise ToolError(f"{reference} cannot be pulled: the engine was silent for {SILENCE_SECONDS:.0f} s") from None
            continue
        heard = time.monotonic()
        if event is None:
            return
        if isinstance(event, PipelineError):
            raise event
        if event.error:
            mend = "look at the registry, its credentials and the engine's network; what served before still does"
            raise ToolError(f"{reference} cannot be pulled: {line(event.error, 500)}", mend=mend)
