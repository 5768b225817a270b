"""Four releases of the example agent on this machine: a first one, one over it, one that goes back by itself, one that a gate stops.

demo.py            the demonstration; ends with 1 as soon as something is not as it says
demo.py clean      stop and remove what it left: container, registry, images, `.demo/`
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from machine import BASE, ROOT, STATE, DemoError, base, call, get, port, registry, say, stop, stop_registry, vulnerabilities

AGENT = "rc-demo-agent"
PROJECT = STATE / "agent"
VULNERABLE = "urllib3==1.26.4 --hash=sha256:2f4da4594db7e1e110a944bb1b551fdf4e6c136ad42e4234131391e21eb5b0df\n"
ROLLED_BACK, REFUSED = 4, 10
RELEASE_SECONDS = 600


@dataclass(frozen=True)
class Act:
    """One release: what is changed before it, the exit code that it has to end with, and the version that serves afterwards."""

    version: str
    title: str
    change: Callable[[], None]
    code: int
    serves: str


@dataclass(frozen=True)
class Place:
    """Where things are on this machine."""

    registry: str
    base: str
    database: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def main() -> None:
    started = time.monotonic()
    STATE.mkdir(exist_ok=True)
    remove_containers()
    address = registry()
    folder, small = vulnerabilities()
    place = Place(address, base(address), folder, port("agent", 8080))
    make_repository(place)
    for act in (
        Act("1.0.0", "a first release, rolled out", lambda: None, 0, "1.0.0"),
        Act("1.1.0", "a new version, over the running one", greet_better, 0, "1.1.0"),
        Act("1.2.0", "a version whose health check fails: it goes back by itself", need_an_index, ROLLED_BACK, "1.1.0"),
        Act("1.2.1", "a version with a vulnerable dependency: the gate stops it", use_an_old_library, REFUSED, "1.1.0"),
    ):
        play(act, place)
    tags = tags_of(place)
    expect("1.2.1" not in tags, "the refused version has a tag in the registry")
    tell(place, tags, small, time.monotonic() - started)


def make_repository(place: Place) -> None:
    """A git repository of the example, with this machine's addresses in its configuration."""
    shutil.rmtree(PROJECT, ignore_errors=True)
    shutil.copytree(ROOT / "examples" / "agent", PROJECT, ignore=shutil.ignore_patterns("__pycache__", ".pipeline", "wheels"))
    edit(
        "pipeline.toml",
        ("registry.example.com/enterprise/agent", f"{place.registry}/demo/agent"),
        ("docker.io/library/python:3.13-slim-bookworm", place.base),
        ('name = "agent"', f'name = "{AGENT}"'),
        ("127.0.0.1:8080", f"127.0.0.1:{place.port}"),
    )
    with (PROJECT / "pipeline.toml").open("a") as out:
        out.write(f"\n[scan]\ndatabase = {json.dumps(str(place.database))}\n")
    vendor()
    git("init", "--quiet", "--initial-branch=main")


def greet_better() -> None:
    edit("config/agent.toml", ('"hello"', '"good day"'))


def need_an_index() -> None:
    edit("config/agent.toml", ("requires = []", 'requires = ["/var/lib/agent/index"]'))


def use_an_old_library() -> None:
    edit("config/agent.toml", ('requires = ["/var/lib/agent/index"]', "requires = []"))
    (PROJECT / "requirements.txt").write_text(VULNERABLE)
    vendor()


def play(act: Act, place: Place) -> None:
    """Change, commit, tag, release; then see that it ended as it should, and what serves now."""
    print(f"\n━━━ v{act.version}: {act.title}", file=sys.stderr, flush=True)
    act.change()
    if act.version != "1.0.0":
        source = (PROJECT / "agent" / "__init__.py").read_text().split('"')[-2]
        edit("agent/__init__.py", (f'VERSION = "{source}"', f'VERSION = "{act.version}"'))
    git("add", "--all")
    git("commit", "--quiet", f"--message={act.title}")
    git("tag", "--annotate", f"--message=v{act.version}", f"v{act.version}")
    code = pipeline("release", "--to", "local")
    expect(code == act.code, f"pipeline release ended with {code}, and should have ended with {act.code}")
    _, _, body = get(f"{place.url}/version")
    serves = json.loads(body)["version"]
    expect(serves == act.serves, f"version {serves} serves, and {act.serves} should")
    say(f"exit code {code}, as it should; {place.url} serves {serves}")


def pipeline(*arguments: str) -> int:
    print(f"$ pipeline {' '.join(arguments)}", file=sys.stderr, flush=True)
    program = Path(sys.executable).with_name("pipeline")
    try:
        return subprocess.run([program, *arguments], cwd=PROJECT, env=environment(), timeout=RELEASE_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired as error:
        raise DemoError(f"pipeline {arguments[0]} did not end within {RELEASE_SECONDS} s") from error


def environment() -> dict[str, str]:
    """This process's, without what a CI job says of itself: here nobody pushed a tag but we."""
    return {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith(("CI_", "GITLAB_", "GITHUB_"))}


def git(*arguments: str) -> str:
    who = {
        f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "Demo"), ("EMAIL", "demo@example.com"))
    }
    isolated = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    return call(["git", "-C", str(PROJECT), *arguments], env=environment() | who | isolated)


def vendor() -> None:
    """Put the wheels that requirements.txt pins into the repository; pip checks their hashes, and an earlier download is taken again."""
    wanted = PROJECT / "requirements.txt"
    kept = STATE / "wheels" / wanted.read_text().partition(" ")[0]
    if not list(kept.glob("*.whl")):
        options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps", "--only-binary=:all:"]
        call([sys.executable, "-m", "pip", "download", *options, f"--requirement={wanted}", f"--dest={kept}"])
    shutil.rmtree(PROJECT / "wheels", ignore_errors=True)
    shutil.copytree(kept, PROJECT / "wheels")


def edit(name: str, *changes: tuple[str, str]) -> None:
    """Replace texts in a file of the repository, each of which has to be there."""
    path = PROJECT / name
    content = path.read_text()
    for old, new in changes:
        expect(old in content, f"{name} has no {old!r} any more: the demonstration does not fit the example")
        content = content.replace(old, new)
    path.write_text(content)


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemoError(otherwise)


def tags_of(place: Place) -> list[str]:
    _, _, body = get(f"http://{place.registry}/v2/demo/agent/tags/list")
    return sorted(tag for tag in json.loads(body)["tags"] or [] if not tag.startswith("staging-"))


def tell(place: Place, tags: list[str], small: bool, seconds: float) -> None:
    reports = "\n".join(f"              {path.relative_to(ROOT)}" for path in sorted(PROJECT.glob(".pipeline/reports/*")))
    note = "\n  Judged by the small database of a demonstration: it knows a few vulnerabilities only.\n" if small else ""
    print(f"""
━━━ All four releases ended as they should, in {seconds:.0f} s. Where to look:

  running     {place.url}/version   {place.url}/   (container {AGENT})
  registry    {place.registry}/demo/agent: {", ".join(tags)}
              curl http://{place.registry}/v2/demo/agent/tags/list
  repository  {PROJECT.relative_to(ROOT)} (git log, pipeline.toml)
  reports     of the last release, which the gate stopped:
{reports}
{note}
  `make demo` plays it again; `make demo-clean` removes all of it.""")


def remove_containers() -> None:
    """The agent, its predecessor, and what a rollout that was killed may have left beside it."""
    found = call(["docker", "ps", "--all", "--quiet", f"--filter=name=^/?{AGENT}(\\.rc-.*)?$"]).split()
    if found:
        call(["docker", "rm", "--force", "--volumes", *found])


def clean() -> None:
    """Remove everything but `.venv` and the tools in the user's cache."""
    with contextlib.suppress(DemoError):
        remove_containers()
    stop_registry()
    with contextlib.suppress(DemoError):
        images = call(["docker", "image", "ls", "--format={{.Repository}}:{{.Tag}}@{{.ID}}"]).split()
        ours = [
            one.partition("@") for one in images if "/demo/agent:" in one or "/demo/base:" in one or one.startswith((BASE, f"{AGENT}:"))
        ]
        for name, _, identity in ours:
            call(["docker", "image", "rm", "--force", identity if name.endswith("<none>") else name])
    stop("dockerd", "dockerd")
    shutil.rmtree(STATE, ignore_errors=True)


if __name__ == "__main__":
    try:
        clean() if sys.argv[1:] == ["clean"] else main()
    except DemoError as error:
        sys.exit(f"demo: {error}")
