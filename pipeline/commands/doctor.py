"""Is this machine ready? One look per tool that the steps declare, with the mend for each red line."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline import context as contexts
from pipeline.context import Context
from pipeline.errors import PipelineError
from pipeline.flow import FLOWS, load
from pipeline.tools import process
from pipeline.tools.docker import client as engines
from pipeline.tools.git import Git
from pipeline.tools.location import find, locate

FREE_BYTES = 2 << 30
FREE_MEMORY = 1 << 30


@dataclass(frozen=True, slots=True)
class Look:
    """One line of the answer. `state`: `bad` means that something needed is missing; `absent` that something optional is."""

    name: str
    state: str
    detail: str
    mend: str = ""


def examine(context: Context) -> list[Look]:
    """Look at everything side by side, in the order in which a release needs it. Raises nothing for what is missing."""
    looks = [LOOKS[name] for name in needed()] + [_disk, _memory]
    with ThreadPoolExecutor(max_workers=len(looks)) as pool:
        return [one for found in pool.map(lambda look: list(_safely(look, context)), looks) for one in found]


def needed() -> list[str]:
    """The tools that the steps declare, in the order of a release."""
    steps = dict.fromkeys(step for stage in FLOWS["release"] for step in stage)
    return list(dict.fromkeys(tool for step in steps for tool in load(step).tools))


def _safely(look: Callable[[Context], Iterator[Look]], context: Context) -> Iterator[Look]:
    name = look.__name__.strip("_")
    try:
        yield from look(context)
    except PipelineError as error:
        yield Look(name, "bad", str(error), error.mend)


def _git(context: Context) -> Iterator[Look]:
    yield Look("git", "good", Git(context.root, context.environ, context.cancel).version())


def _docker(context: Context) -> Iterator[Look]:
    with contexts.engine(context) as client, engines.engine_errors("the engine does not answer"):
        info = client.info()
    store = "containerd image store" if "containerd" in str(info.get("DriverStatus", "")) else "classic image store"
    yield Look("docker", "good", f"engine {info.get('ServerVersion', '?')}, {store}, {engines.endpoint(context.environ)}")


def _buildx(context: Context) -> Iterator[Look]:
    env = process.environment(context.environ, *engines.CLI_NAMES)
    done = process.run(["docker", "buildx", "version"], env=env, timeout=30, cancel=context.cancel, check=False)
    if done.code:
        mend = "install the package docker-buildx (Debian 13, Ubuntu) or docker-buildx-plugin (download.docker.com)"
        yield Look("buildx", "bad", "the docker command has no buildx", mend)
    else:
        yield Look("buildx", "good", " ".join(done.text.split()[1:2]) or done.text.strip())


def _program(name: str, *arguments: str) -> Callable[[Context], Iterator[Look]]:
    def look(context: Context) -> Iterator[Look]:
        program = locate(name, context.environ, context.root)
        env = process.environment(context.environ)
        with tempfile.TemporaryDirectory() as elsewhere:  # a tool may read settings where it is started
            done = process.run([program, *arguments], env=env, timeout=60, cancel=context.cancel, cwd=Path(elsewhere))
        found = re.search(r"\d+\.\d+\.\d+\S*", done.text)
        yield Look(name, "good", f"{found[0] if found else 'of unknown version'}, {program}")

    look.__name__ = name
    return look


def _hadolint(context: Context) -> Iterator[Look]:
    program = find("hadolint", context.environ, context.root)
    if program:
        yield Look("hadolint", "good", str(program))
    else:
        yield Look("hadolint", "absent", "not installed: the Dockerfile is judged without it", "install hadolint for its rules too")


def _registry(context: Context) -> Iterator[Look]:
    if not context.settings.image.repository:
        yield Look("registry", "absent", "no image repository is configured", 'set [image] repository = "…" in pipeline.toml')
        return
    target = contexts.repository(context)
    with contexts.registry(context, target) as there:
        for one in there.probe():
            yield Look(f"registry {one.name}", "good" if one.ok else "bad", one.detail, one.mend)


def _disk(context: Context) -> Iterator[Look]:
    free = shutil.disk_usage(context.root).free
    enough = free >= FREE_BYTES
    yield Look("disk", "good" if enough else "bad", f"{free / 1e9:.1f} GB free", "" if enough else "free some space: docker system prune")


def _memory(context: Context) -> Iterator[Look]:  # noqa: ARG001 - a look is given the context
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        found = [line.split() for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:")]
        free = int(found[0][1]) * 1024 if found else free
    except (OSError, ValueError):
        yield Look("memory", "absent", "this system does not tell")
        return
    enough = free >= FREE_MEMORY
    mend = "" if enough else "stop something: Trivy and BuildKit need 1 GB"
    yield Look("memory", "good" if enough else "bad", f"{free / 1e9:.1f} GB available", mend)


LOOKS: dict[str, Callable[[Context], Iterator[Look]]] = {
    "git": _git,
    "docker": _docker,
    "buildx": _buildx,
    "trivy": _program("trivy", "--version"),
    "opa": _program("opa", "version"),
    "hadolint": _hadolint,
    "registry": _registry,
}
