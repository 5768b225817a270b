"""Real git repositories for tests, with a clock of their own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


def clean_environ(home: Path, **values: str) -> dict[str, str]:
    """An environment with nothing of the developer's: no CI, no git configuration, an empty home."""
    named = {name: os.environ[name] for name in ("PATH", "DOCKER_HOST", "LANG") if name in os.environ}
    home.mkdir(parents=True, exist_ok=True)
    return named | {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "GIT_CONFIG_NOSYSTEM": "1"} | values


@dataclass
class Repo:
    """A repository at `path`; each commit is one second after the last."""

    path: Path
    clock: int = 1_700_000_000

    def git(self, *arguments: str) -> str:
        when = f"{self.clock} +0000"
        env = clean_environ(self.path.parent / "git-home", GIT_AUTHOR_DATE=when, GIT_COMMITTER_DATE=when) | {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", "Ada"), ("EMAIL", "ada@example.com"))
        }
        return subprocess.run(["git", *arguments], cwd=self.path, env=env, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, **files: str) -> None:
        for name, text in files.items():
            self.file(name.replace("__", "."), text)

    def file(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def commit(self, message: str = "change") -> str:
        self.clock += 1
        self.git("add", "-A")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")

    def tag(self, name: str, *, annotated: bool = False) -> None:
        self.git("tag", *(["-a", "-m", name] if annotated else []), name)


def new(path: Path) -> Repo:
    path.mkdir(parents=True)
    repo = Repo(path)
    repo.git("init", "--quiet", "--initial-branch=main")
    return repo
