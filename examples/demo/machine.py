"""What the demonstration needs of a machine: a registry, a base image, a vulnerability database. All of it below `.demo/`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import database

from pipeline.tools.location import locate

ROOT = Path(__file__).resolve().parents[2]
STATE = ROOT / ".demo"
BASE = "rc-demo-base:bookworm"
REGISTRY_IMAGES = ("docker.io/library/registry:3", "docker.io/library/registry:2")
REGISTRY_CONTAINER = "rc-demo-registry"
PULL_SECONDS = 90
FRESH = timedelta(hours=24)
BASE_KEPT = timedelta(days=7)
BASE_DOCKERFILE = """\
FROM docker.io/library/debian:bookworm-slim
RUN apt-get update && apt-get upgrade -y \\
 && apt-get install -y --no-install-recommends ca-certificates python3 && rm -rf /var/lib/apt/lists/*
"""
MANIFESTS = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class DemoError(Exception):
    """The demonstration cannot go on: what happened, and what to do."""


def say(message: str) -> None:
    print(f"demo: {message}", file=sys.stderr, flush=True)


def call(argv: Sequence[str], *, seconds: float = 120, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
    """A program's stdout. Raises `DemoError` with the last of what it said."""
    try:
        done = subprocess.run(argv, input=stdin, env=env, capture_output=True, text=True, timeout=seconds, check=False)
    except FileNotFoundError as error:
        raise DemoError(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"{' '.join(argv[:3])} did not end within {seconds:.0f} s") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise DemoError(f"{' '.join(argv[:3])} ended with {done.returncode}: " + " / ".join(last))
    return done.stdout


def get(url: str, accept: str = "*/*") -> tuple[int, Mapping[str, str], bytes]:
    """Ask something on this machine, by no proxy. Raises `OSError` where nothing answers."""
    try:
        with _DIRECT.open(urllib.request.Request(url, headers={"Accept": accept}), timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


def port(name: str, first: int) -> int:
    """The port that was used last time, else `first`, if it is free now; else another free one. It is kept for the next run."""
    kept = STATE / f"{name}.port"
    wanted = int(kept.read_text()) if kept.exists() else first
    chosen = next(number for number in (_bind(wanted), _bind(0)) if number)
    kept.write_text(str(chosen))
    return chosen


def _bind(number: int) -> int:
    """The number of a port that could be bound just now; 0 when it is taken."""
    try:
        with socket.create_server(("127.0.0.1", number)) as listening:
            return int(listening.getsockname()[1])
    except OSError:
        return 0


def registry() -> str:
    """Start a registry with its data below `.demo/registry`, without what an earlier run released, and return its address."""
    stop_registry()
    data = STATE / "registry"
    data.mkdir(parents=True, exist_ok=True)
    released = data / "docker/registry/v2/repositories/demo/agent"
    if released.exists():
        shutil.rmtree(released)
    address = f"127.0.0.1:{port('registry', 5000)}"
    program = shutil.which("docker-registry", path=f"{os.environ['PATH']}:{STATE / 'bin'}")
    if program:
        _start_program(program, address, data)
    else:
        _start_image(address, data)
    for _ in range(100):
        with contextlib.suppress(OSError):
            if get(f"http://{address}/v2/")[0] == 200:
                say(f"a registry answers on {address}")
                return address
        time.sleep(0.1)
    raise DemoError(f"the registry does not answer on {address}: see .demo/registry.log")


def _start_program(program: str, address: str, data: Path) -> None:
    config = STATE / "registry.json"  # JSON is YAML
    storage = {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}}
    config.write_text(json.dumps({"version": 0.1, "log": {"level": "warn"}, "storage": storage, "http": {"addr": address}}))
    with (STATE / "registry.log").open("wb") as log:
        child = subprocess.Popen([program, "serve", str(config)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    (STATE / "registry.pid").write_text(str(child.pid))


def _start_image(address: str, data: Path) -> None:
    for image in REGISTRY_IMAGES:
        with contextlib.suppress(DemoError):
            call(["docker", "pull", "-q", image], seconds=PULL_SECONDS)
            user, volume = f"{os.getuid()}:{os.getgid()}", f"{data}:/var/lib/registry"
            options = [f"--name={REGISTRY_CONTAINER}", f"--user={user}", f"--publish={address}:5000", f"--volume={volume}"]
            call(["docker", "run", "--detach", *options, image])
            return
    raise DemoError("there is no registry: install the program docker-registry (Debian, Ubuntu), or make it possible to pull registry:3")


def stop_registry() -> None:
    """End the registry of an earlier run, if it still runs."""
    stop("registry", str(STATE / "registry.json"))
    with contextlib.suppress(DemoError):
        call(["docker", "rm", "--force", REGISTRY_CONTAINER])


def stop(name: str, said: str) -> None:
    """End the process that an earlier run started, known by its command line: its number may be another's by now."""
    kept = STATE / f"{name}.pid"
    with contextlib.suppress(OSError, ValueError):
        pid = int(kept.read_text())
        kept.unlink()
        if said.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGTERM)
            _wait_for_end(pid)


def _wait_for_end(pid: int) -> None:
    for _ in range(100):
        os.kill(pid, 0)  # raises once it is gone
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)


def base(address: str) -> str:
    """A Debian with Python in the registry, by its digest: made once a week, pulled where it can be, else built from packages."""
    if not _base_is_fresh():
        try:
            _pull_base()
        except DemoError as error:
            say(f"the base image cannot be pulled ({error})")
            _build_base()
    name = f"{address}/demo/base:bookworm"
    call(["docker", "tag", BASE, name])
    call(["docker", "push", "--quiet", name], seconds=300)
    digest = get(f"http://{address}/v2/demo/base/manifests/bookworm", MANIFESTS)[1]["Docker-Content-Digest"]
    say(f"the base image is {address}/demo/base@{digest[:19]}…")
    return f"{address}/demo/base@{digest}"


def _base_is_fresh() -> bool:
    try:
        created = call(["docker", "image", "inspect", "--format", "{{.Created}}", BASE]).strip()
    except DemoError:
        return False
    return datetime.now(UTC) - datetime.fromisoformat(created[:19] + "+00:00") < BASE_KEPT


def _pull_base() -> None:
    say("pulling debian:bookworm-slim, and adding Python to it")
    call(["docker", "pull", "--quiet", "docker.io/library/debian:bookworm-slim"], seconds=PULL_SECONDS)
    call(["docker", "buildx", "build", "--load", "--no-cache", f"--tag={BASE}", "-"], stdin=BASE_DOCKERFILE, seconds=600)


def _build_base() -> None:
    say("building a Debian from packages with mmdebstrap, half a minute")
    archive = STATE / "base.tar"
    slim = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")]
    argv = ["mmdebstrap", "--quiet", "--variant=essential", "--include=ca-certificates,python3", *slim, "bookworm", str(archive)]
    try:
        call(argv, seconds=900)
    except DemoError as error:
        raise DemoError(
            f"there is no base image: {error}. Install mmdebstrap (Debian, Ubuntu), or make it possible to pull images"
        ) from error
    call(["docker", "import", str(archive), BASE])
    archive.unlink()


def vulnerabilities() -> tuple[Path, bool]:
    """The folder of a vulnerability database of today, and whether it is the small one of a demonstration."""
    cache = STATE / "trivy"
    if not _is_fresh(cache):
        new = STATE / "trivy.new"
        shutil.rmtree(new, ignore_errors=True)
        say("fetching Trivy's vulnerability database")
        try:
            call([locate("trivy", os.environ), "image", "--download-db-only", "--no-progress", f"--cache-dir={new}"], seconds=PULL_SECONDS)
        except DemoError:
            say("it cannot be fetched here: a small one of real facts takes its place, and verdicts are marked as a demo's")
            database.write(new, datetime.now(UTC))
        shutil.rmtree(cache, ignore_errors=True)
        new.rename(cache)
    return cache, (cache / "db" / "DEMO").exists()


def _is_fresh(cache: Path) -> bool:
    try:
        updated = json.loads((cache / "db" / "metadata.json").read_text())["UpdatedAt"]
    except (OSError, ValueError, KeyError):
        return False
    return datetime.now(UTC) - datetime.fromisoformat(updated[:19] + "+00:00") < FRESH
