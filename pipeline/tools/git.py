"""git: what is checked out, its tags, its tree. By its command, one process a question; GitPython for remotes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.core.cancel import Cancel
from pipeline.errors import ToolError, UsageError
from pipeline.tools import process

TIMEOUT = 120.0
# What a repository may not bring: a program that watches files, and a bare repository of its own with its own configuration.
_GUARDS = ("-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-c", "safe.bareRepository=explicit")
_GITLINK = "160000 "
_ENVIRONMENT = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_SSL_CAINFO", "XDG_CONFIG_HOME", "GIT_CEILING_DIRECTORIES")


@dataclass(frozen=True, slots=True)
class Head:
    """`created`: the commit's time, RFC 3339 in UTC; `timestamp` the same in seconds. `shallow`: history is cut off."""

    root: Path
    commit: str
    tree: str
    timestamp: int
    shallow: bool

    @property
    def created(self) -> str:
        return datetime.fromtimestamp(self.timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Git:
    """Questions to the repository around `root`."""

    def __init__(self, root: Path, environ: Mapping[str, str], cancel: Cancel) -> None:
        self.root = root
        self._env = process.environment(environ, *_ENVIRONMENT, LC_ALL="C", GIT_TERMINAL_PROMPT="0", GIT_OPTIONAL_LOCKS="0")
        self._cancel = cancel

    def version(self) -> str:
        return self._ask("version").removeprefix("git version ").strip()

    def head(self) -> Head:
        """What is checked out. Raises `UsageError`: no repository, no commit yet, a repository of another user."""
        where = self._run("rev-parse", "--show-toplevel", "--is-shallow-repository")
        if where.code:
            raise _repository_error(self.root, where.error_text)
        top, shallow = where.text.splitlines()[:2]
        commit = self._run("log", "-1", "--no-show-signature", "--format=%H%n%T%n%ct", "HEAD", "--")
        if commit.code:
            raise UsageError("there is no commit yet", where=str(self.root), mend="commit something, then tag it: git tag v0.1.0")
        digest, tree, timestamp = commit.text.split()
        return Head(Path(top), digest, tree, int(timestamp), shallow == "true")

    def tags(self, *, merged: bool) -> dict[str, str]:
        """Tag name to the commit it points to, annotated or not; `merged`: only those that HEAD contains."""
        form = "%(refname:strip=2)%00%(objectname)%00%(*objectname)"
        listed = self._ask("for-each-ref", *(["--merged=HEAD"] if merged else []), f"--format={form}", "refs/tags")
        rows = (row.split("\0") for row in listed.splitlines())
        return {name: peeled or target for name, target, peeled in rows}

    def distance(self, base: str) -> int:
        """How many commits HEAD has that `base` has not; all of HEAD's where `base` is empty."""
        return int(self._ask("rev-list", "--count", f"{base}..HEAD" if base else "HEAD", "--"))

    def changed(self) -> tuple[str, ...]:
        """Tracked files that differ from HEAD, and those of submodules, whatever `.gitmodules` says is to be ignored."""
        listed = self._ask("status", "--porcelain=v1", "-z", "--untracked-files=no", "--ignore-submodules=dirty")
        own = [entry[3:] for entry in listed.split("\0") if len(entry) > 3]
        return (*own, *(f"{path}/{name}" for path, module in self._submodules() for name in module.changed()))

    def untracked(self) -> tuple[str, ...]:
        """Files that git does not track, ignored ones among them, as paths below `root`. A folder without a tracked file ends in `/`.

        A submodule is asked too; one that is not checked out has no tracked file.
        """
        listed = self._ask("ls-files", "--others", "--directory", "--no-empty-directory", "-z")
        own = [path for path in listed.split("\0") if path]
        own += [f"{path}/" for path in self._gitlinks(".") if not (self.root / path / ".git").exists() and (self.root / path).is_dir()]
        return (*own, *(f"{path}/{name}" for path, module in self._submodules(".") for name in module.untracked()))

    def tracked(self, folder: str) -> tuple[str, ...]:
        """The files under `folder` that git tracks."""
        return tuple(path for path in self._ask("ls-files", "-z", "--", folder).split("\0") if path)

    def _submodules(self, below: str = ":/") -> Iterator[tuple[str, Git]]:
        """Those that are checked out: the path from `root`, and how to ask them; a broken one is not taken for its parent."""
        for path in self._gitlinks(below):
            folder = self.root / path
            if (folder / ".git").exists():
                yield path, Git(folder, self._env | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}, self._cancel)

    def _gitlinks(self, below: str) -> list[str]:
        listed = self._ask("ls-files", "--stage", "-z", "--", below).split("\0")
        return list(dict.fromkeys(entry.partition("\t")[2] for entry in listed if entry.startswith(_GITLINK)))

    def _ask(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.code:
            raise ToolError(f"git {arguments[0]} failed\n{done.error_text}".rstrip(), where=str(self.root))
        return done.text

    def _run(self, *arguments: str) -> process.Completed:
        argv = ("git", *_GUARDS, *arguments)
        return process.run(argv, env=self._env, timeout=TIMEOUT, cancel=self._cancel, cwd=self.root, check=False)


def untracked(root: Path, environ: Mapping[str, str], cancel: Cancel) -> tuple[str, ...]:
    """See `Git.untracked`."""
    return Git(root, environ, cancel).untracked()


def remote_url(root: Path) -> str:
    """Where `origin` is on the web, without credentials; empty where there is none. Raises `ToolError` without git."""
    try:
        import git
    except ImportError as error:
        raise ToolError("git is not installed", mend="install git") from error
    try:
        repository = git.Repo(root, search_parent_directories=True)
        with repository.config_reader() as reader:
            url = str(reader.get_value('remote "origin"', "url", default=""))
    except (git.InvalidGitRepositoryError, git.NoSuchPathError, OSError, ValueError):
        return ""
    return web_address(url)


def web_address(url: str) -> str:
    """The https address of a git remote: `git@host:path.git` and `https://user:token@host/path.git` become `https://host/path`."""
    scp = re.fullmatch(r"(?:[\w.-]+@)?([\w.-]+):(?!//)(.+?)(?:\.git)?/?", url)
    if scp:
        return f"https://{scp[1]}/{scp[2].lstrip('/')}"
    plain = re.fullmatch(r"(?:https?|ssh|git)://(?:[^@/]*@)?([\w.-]+)(?::\d+)?/(.+?)(?:\.git)?/?", url)
    return f"https://{plain[1]}/{plain[2]}" if plain else ""


def _repository_error(root: Path, said: str) -> UsageError:
    if "dubious ownership" in said:
        mend = f"git config --global --add safe.directory {root}"
        return UsageError("the repository belongs to another user, and git refuses it", where=str(root), mend=mend)
    if "must be run in a work tree" in said or "bare repository" in said:
        return UsageError("this is a bare repository: there is nothing checked out", where=str(root), mend="run in a clone of it")
    return UsageError("there is no git repository here", where=str(root), mend="run in a clone, or: git init, commit, git tag v0.1.0")
