"""`pipeline init`: a starting configuration for the project that is there. What exists is never overwritten."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from pipeline import resources
from pipeline.core import about, text
from pipeline.errors import ToolError

Ci = Literal["gitlab", "github"]

CI_FILES: dict[Ci, str] = {"gitlab": ".gitlab-ci.yml", "github": ".github/workflows/release.yml"}
# In order of asking: what in the folder says that a language is at home, and where its name for the project stands.
LANGUAGES: dict[str, tuple[str, ...]] = {
    "go": ("go.mod",),
    "rust": ("Cargo.toml",),
    "python": ("pyproject.toml", "setup.py", "requirements.txt"),
    "node": ("package.json",),
}
DOCKERFILES = ("Dockerfile", "Dockerfile.multistage")


class Entry(msgspec.Struct, frozen=True):
    """One file. `kept`: it was there already, and was not touched."""

    path: str
    state: Literal["written", "kept"]


class Started(msgspec.Struct, frozen=True):
    """What `init` found and did. `dockerfile` is empty where there is none."""

    name: str
    languages: tuple[str, ...]
    dockerfile: str
    files: tuple[Entry, ...]


def start(root: Path, *, ci: Sequence[Ci] = (), repository: str = "") -> Started:
    """Write what is missing of the starting files. `ci`: which CI files, else the one that fits; `repository`: where images go.

    Raises `ToolError` for a file that cannot be written, and without git in a repository.
    """
    remote = _remote(root)
    languages = tuple(language for language, signs in LANGUAGES.items() if any((root / sign).is_file() for sign in signs))
    name, dockerfile = project_name(root), find_dockerfile(root)
    contents = {
        "pipeline.toml": _configuration(name, dockerfile, repository, remote),
        "waivers.toml": _template("waivers.toml"),
        ".dockerignore": "".join(_template(f"dockerignore/{part}") for part in ("common", *languages)),
    }
    for system in ci or (_fitting(root, remote),):
        contents[CI_FILES[system]] = _ci_file(system, _environments(root))
    files = tuple(Entry(path, "written" if _create(root / path, content) else "kept") for path, content in contents.items())
    return Started(name, languages, dockerfile, files)


def as_text(started: Started) -> str:
    """What was done, and what comes next."""
    lines = [f"{entry.state:<8} {entry.path}" for entry in started.files]
    if started.dockerfile:
        lines += ["", "next: pipeline doctor, pipeline build --check, pipeline release --snapshot"]
        lines += ["a release: see that pipeline.toml names [image] repository, commit, git tag v0.1.0, pipeline release"]
    else:
        lines += ["", "next: write a Dockerfile, then: pipeline build --check"]
    return "\n".join(lines)


def project_name(root: Path) -> str:
    """The name that the project's own files give it, else the folder's."""
    for name in _names(root):
        if name and text.printable(name) and len(name) <= 100:
            return name
    return text.line(root.resolve().name, 100) or "project"


def find_dockerfile(root: Path) -> str:
    """The Dockerfile that a build would take, else the first that looks like one; empty where there is none."""
    others = sorted(
        path.relative_to(root).as_posix() for pattern in ("Dockerfile.*", "Containerfile", "*/Dockerfile") for path in root.glob(pattern)
    )
    found = (name for name in (*DOCKERFILES, *others) if (root / name).is_file() and not name.endswith(".dockerignore"))
    return next(found, "")


def _names(root: Path) -> Iterator[str]:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        words = (root / "go.mod").read_text(encoding="utf-8").split()
        parts = words[words.index("module") + 1].split("/") if "module" in words[:-1] else []
        yield from (part for part in reversed(parts) if not (part.startswith("v") and part[1:].isdigit()))
    for file, tables in (("Cargo.toml", ("package",)), ("pyproject.toml", ("project", "tool.poetry")), ("package.json", ("",))):
        data = _data(root / file)
        for table in tables:
            yield _named(data, [*table.split("."), "name"]).rpartition("/")[2]


def _named(data: Any, keys: Sequence[str]) -> str:
    for key in filter(None, keys):
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, str) else ""


def _data(file: Path) -> Any:
    """A project's own file as data; nothing where it is missing or does not parse: it only serves for a guess."""
    try:
        content = file.read_text(encoding="utf-8")
        return tomllib.loads(content) if file.suffix == ".toml" else json.loads(content)
    except (OSError, ValueError, RecursionError):
        return {}


def _remote(root: Path) -> str:
    if not (root / ".git").exists():
        return ""
    from pipeline.tools.git import remote_url

    return remote_url(root)


def _fitting(root: Path, remote: str) -> Ci:
    """What is there already decides, then the remote's host."""
    if (root / ".gitlab-ci.yml").exists():
        return "gitlab"
    if (root / ".github").exists() or "github" in (urlsplit(remote).hostname or ""):
        return "github"
    return "gitlab"


def _configuration(name: str, dockerfile: str, repository: str, remote: str) -> str:
    registries = {"github.com": "ghcr.io", "gitlab.com": "registry.gitlab.com"}
    address = urlsplit(remote)
    guess = f"{registries.get(address.hostname or '', 'registry.example.com')}/{address.path.strip('/').lower() or 'team/name'}"
    line = (
        f"repository = {_quoted(repository)}"
        if repository
        else f"# repository = {_quoted(guess)} # default in a job: the CI's own registry path"
    )
    file = f"dockerfile = {_quoted(dockerfile)}"
    if dockerfile in {"", *DOCKERFILES}:
        file = '# dockerfile = "Dockerfile" # default: Dockerfile, then Dockerfile.multistage'
    return _template("pipeline.toml", name=_quoted(name), repository=line, dockerfile=file)


def _environments(root: Path) -> tuple[str, ...]:
    """The environments of a configuration that is there already and that a release does not roll out to by itself, as job names."""
    data = _data(root / "pipeline.toml")
    known, release = data.get("environments"), data.get("release")
    automatic = release.get("deploy") if isinstance(release, dict) else None
    names = known if isinstance(known, dict) else ()
    return tuple(name for name in names if name not in (automatic or ()) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}", name))


def _ci_file(system: Ci, environments: Sequence[str]) -> str:
    head = _template("gitlab-ci.yml" if system == "gitlab" else "github-release.yml")
    if environments:
        return head + "".join(_template(f"{system}-deploy.yml", environment=name) for name in environments)
    example = _template(f"{system}-deploy.yml", environment="production").strip("\n")
    commented = "\n".join(f"# {line}".rstrip() for line in example.split("\n"))
    return f"{head}\n# With [environments.production] in pipeline.toml:\n{commented}\n"


def _template(file: str, **values: str) -> str:
    known = {"distribution": about.DISTRIBUTION, "version": about.VERSION, **values}
    content = (resources.templates() / file).read_text(encoding="utf-8")
    return re.sub(r"@([a-z]+)@", lambda found: known[found[1]], content)


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _create(path: Path, content: str) -> bool:
    """Write a file that is not there, whole or not at all; False where something has the name already. A link never replaces."""
    if os.path.lexists(path):
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", encoding="utf-8", newline="\n") as draft:
            draft.write(content)
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).chmod(0o644)
            path.hardlink_to(draft.name)
    except FileExistsError:
        return False
    except OSError as error:
        raise ToolError(
            f"cannot be written: {error.strerror}", where=str(path), mend="make the folder writable, or free some space"
        ) from error
    return True
