"""One container on a Docker engine, replaced by its successor.

The names are the journal, kept at the target by the engine, which lets no two containers share one:
- `NAME` is the last version found good. It keeps its name, stopped, while its successor is tried.
- `NAME.rc-next` is the successor, not found good yet. Its labels say which rollout made it, and whether `NAME` served before.
- `NAME.rc-previous` is what `NAME` was, once the successor is found good: the two renames are the commit.
- `NAME.rc-lock` is the lock: never started, made of the image, with its holder and its seconds in labels.

Whatever was killed at whatever point, these say what to do: no local file is needed. Two versions never run at a time (ports and
volumes are shared), so the successor can only be probed after the switch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.cancel import Cancel
from pipeline.core.handoff import HandOff
from pipeline.core.image import parse_reference
from pipeline.core.redact import Redactor
from pipeline.core.text import line
from pipeline.errors import ToolError, UsageError
from pipeline.rollout.backend import Lease, Seen
from pipeline.rollout.secrets import resolve
from pipeline.tools.docker import containers, creation, inspection, lock
from pipeline.tools.docker.inspection import Container
from pipeline.tools.docker.pull import pull

if TYPE_CHECKING:
    import docker

LABEL = "dev.release-chain."
LOG_LINES = 50
STOP_SECONDS = 10


class Docker:
    """`root` is where relative secret files lie, `auth` the engine's own words for the registry's credentials, empty for none."""

    def __init__(
        self, client: docker.DockerClient, handoff: HandOff, root: Path, environ: Mapping[str, str], auth: Mapping[str, str]
    ) -> None:
        self._client, self._handoff, self._root, self._environ, self._auth = client, handoff, root, environ, auth
        self._reference = parse_reference(handoff.image)
        self._image = ""
        self._plan: containers.Creation | None = None
        self.name = ""
        self.previous = ""
        self.served = False
        self.grace = float(STOP_SECONDS)

    def check(self) -> None:
        if not self._reference.digest:
            raise UsageError(f"{line(self._handoff.image)} names no digest", mend="deploy repository@sha256:…: a tag may move")
        self.name = self._find_name()
        if not (self._live or self._next or self._find("previous")):
            self._snapshot_first()
        elif self._live:
            _refuse_remove(self._live)

    def fetch(self, cancel: Cancel) -> None:
        """An image that is here by its digest is not pulled again: it is the same one."""
        image = inspection.find_image(self._client, self._handoff.image)
        if image is None:
            repository = self._handoff.image.partition("@")[0]
            image = pull(self._client, repository, self._reference.digest, self._auth, cancel)
        self._image = image.id

    def observe(self) -> Seen:
        live, successor, old = self._live, self._next, self._find("previous")
        self._remember(live)
        if successor and self._is_ours(successor) and successor.state.running and not (live and live.alive) and not old:
            return Seen.SWITCHED
        if successor or old:
            return Seen.LEFTOVER
        return Seen.WANTED if live and live.image == self._image and live.state.running else Seen.SETTLED

    def snapshot(self) -> None:
        live = self._live
        self._remember(live)
        if live is None:
            self._snapshot_first()
            return
        _refuse_remove(live)
        image = inspection.find_image(self._client, live.image)
        if image is None:
            what = (
                f"the image that {self.name} runs is no longer in the engine, so what was set by hand cannot be told from what it brought"
            )
            raise UsageError(what, mend="pull it again, or remove the container and describe it in the configuration")
        self.served = live.alive
        served = "running" if live.alive else "stopped"
        self._plan = creation.successor(live, image.config or inspection.Config(), self._handoff.image, self.name, self._labels(served))

    def stage(self) -> None:
        assert self._plan  # noqa: S101 - the engine's table has SNAPSHOT before STAGING
        containers.create(self._client, self._name("next"), self._plan)

    def verify(self) -> None:
        staged = self._next
        if not staged or staged.image != self._image:
            raise ToolError(f"the container {self._name('next')} is not made of {self._handoff.image}", mend="see who else changes it")

    def switch(self) -> str:
        containers.stop(self._client, self.name, self.grace)
        try:
            containers.start(self._client, self._name("next"))
        except containers.StartRefusedError as error:
            return error.what
        return ""

    def trouble(self) -> str:
        successor = self._next
        subject = successor or self._live
        if subject is None:
            return f"the container {self.name} is gone"
        state = subject.state
        ended = f"exit code {state.exit_code}{', out of memory' if state.oom_killed else ''}"
        if state.restarting or (successor and subject.restart_count):
            return f"the container ended and was restarted ({ended})"
        return "" if state.running else f"the container does not run ({ended})"

    def begin(self, argv: tuple[str, ...]) -> str:
        return containers.begin(self._client, self._name("next") if self._next else self.name, argv)

    def ended(self, handle: str) -> int | None:
        return containers.ended(self._client, handle)

    def finish(self) -> None:
        if self._next:
            if self._live:
                containers.remove(self._client, self._name("previous"), volumes=False)
                containers.rename(self._client, self.name, self._name("previous"))
            containers.rename(self._client, self._name("next"), self.name)
        containers.remove(self._client, self._name("previous"), volumes=False)

    def log_lines(self) -> tuple[str, ...]:
        successor = self._next
        if successor is None:
            return ()
        redact = Redactor(self._secrets(successor))
        try:
            return tuple(redact(one) for one in inspection.tail(self._client, successor.id, LOG_LINES))
        except ToolError as error:
            return (error.what,)

    def by_hand(self) -> str:
        old, successor = self.name, self._name("next")
        return f"see `docker ps -a --filter name={old}`: run `docker stop {successor}`, `docker start {old}`, `docker rm {successor}`"

    def settle(self, grace: float | None = None) -> None:
        live, successor, old = self._live, self._next, self._find("previous")
        if successor and old and not live:
            self.finish()
            return
        if successor:
            self._take_back(live, successor, grace)
        elif old and not live:
            containers.rename(self._client, old.id, self.name)
            containers.start(self._client, self.name)
        containers.remove(self._client, self._name("previous"), volumes=False)

    def _take_back(self, live: Container | None, successor: Container, grace: float | None) -> None:
        """The successor goes last: until the old one runs again its labels are needed."""
        own = float(successor.config.stop_timeout or STOP_SECONDS)
        containers.stop(self._client, successor.id, own if grace is None else min(own, grace))
        self.served = successor.labels.get(f"{LABEL}previous") == "running"
        if self.served:
            if live is None:
                raise ToolError(f"the container {self.name} is gone: somebody removed it while {self._name('next')} was tried")
            containers.start(self._client, self.name)
        containers.remove(self._client, successor.id, volumes=True)

    def locked(self) -> bool:
        return self._find("lock") is not None

    def lock(self, holder: str, seconds: float) -> Lease | None:
        held = lock.take(self._client, self._name("lock"), self._image, holder, seconds)
        return Lease(held.id, held.holder, held.left) if held else None

    def break_lock(self, lease: Lease) -> None:
        if lease.id:
            lock.remove(self._client, lease.id)

    def unlock(self, holder: str) -> None:
        lock.give_back(self._client, self._name("lock"), holder)

    @property
    def _live(self) -> Container | None:
        return inspection.find(self._client, self.name)

    @property
    def _next(self) -> Container | None:
        return self._find("next")

    def _find(self, role: str) -> Container | None:
        return inspection.find(self._client, self._name(role))

    def _name(self, role: str) -> str:
        return f"{self.name}.rc-{role}"

    def _find_name(self) -> str:
        """The configured name; else that of the container this environment has already; else the project's."""
        handoff = self._handoff
        if handoff.container:
            return handoff.container.name
        labels = {f"{LABEL}project": handoff.project, f"{LABEL}environment": handoff.environment}
        names = {one.partition(".rc-")[0] for one in inspection.labelled(self._client, labels)} or {handoff.project}
        if len(names) > 1:
            mend = f'name one: [environments.{handoff.environment}.container] name = "{min(names)}"'
            raise UsageError(f"several containers are this environment's: {', '.join(sorted(names))}", mend=mend)
        return names.pop()

    def _snapshot_first(self) -> None:
        spec = self._handoff.container
        if spec is None:
            where = f"[environments.{self._handoff.environment}.container]"
            mend = f'describe the first one: {where} name = "{self.name}", ports = ["8080:8080"]'
            raise UsageError(f"there is no container {self.name} to replace, and none is described", where=where, mend=mend)
        self._plan = creation.first(spec, resolve(spec.secrets, self._root, self._environ), self._handoff.image, self._labels("none"))

    def _labels(self, previous: str) -> dict[str, str]:
        handoff = self._handoff
        named = {"project": handoff.project, "environment": handoff.environment, "rollout": handoff.rollout, "version": handoff.version}
        return {f"{LABEL}{key}": value for key, value in {**named, "image": handoff.image, "previous": previous}.items()}

    def _is_ours(self, successor: Container) -> bool:
        return successor.labels.get(f"{LABEL}rollout") == self._handoff.rollout and successor.image == self._image

    def _remember(self, live: Container | None) -> None:
        if live:
            self.previous = live.labels.get(f"{LABEL}image") or live.config.image
            self.grace = float(live.config.stop_timeout or STOP_SECONDS)

    def _secrets(self, successor: Container) -> list[str]:
        """The values that the container was given for what the configuration calls secret."""
        named = self._handoff.container.secrets if self._handoff.container else {}
        given = (one.partition("=") for one in successor.config.env or ())
        return [value for name, _, value in given if name in named]


def _refuse_remove(live: Container) -> None:
    if live.host.get("AutoRemove"):
        what = f"the container {live.name.removeprefix('/')} was started with --rm: stopped, it would be gone, and there is no way back"
        raise UsageError(what, mend="start it without --rm, or remove it and describe it in the configuration")
