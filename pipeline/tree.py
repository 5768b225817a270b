"""The files of a project as git sees them before a build reads them, and whether they are still the same afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.context import Context
from pipeline.core.record import VersionFacts
from pipeline.core.text import line
from pipeline.errors import UsageError
from pipeline.inputs import Definition, untracked
from pipeline.tools import git
from pipeline.tools.git import Git

_NAMED = 10
AGAIN = "build again, and let nothing change the files meanwhile"


@dataclass(frozen=True, slots=True)
class Tree:
    """`untracked`: the files that git does not track, that would enter the build, and that nobody allowed."""

    context: Context
    given: Definition
    version: VersionFacts
    untracked: tuple[str, ...]

    def admit(self) -> tuple[str, ...]:
        """The untracked files to record: nobody else can build with them. Raises `UsageError` for any in a release; before one they are
        named."""
        if not self.untracked:
            return ()
        console, shown = self.context.console, _shown(self.context, self.untracked)
        if self.context.options.release:
            mend = "commit them, exclude them in .dockerignore, or allow them: [image] include-untracked"
            raise UsageError(f"files that git does not track would enter the build: {shown}", where=self.given.name, mend=mend)
        console.line(f"  {console.paint('not tracked by git, and in the build:', 'warn')} {shown}")
        return tuple(console.quote(path, 200) for path in self.untracked[:_NAMED])

    def require_unmoved(self) -> None:
        """Raises `UsageError` when what was clean is not so any more: a file that is saved while the build begins may have entered it."""
        if not self.version.clean:
            return
        git = Git(self.context.root, self.context.environ, self.context.cancel)
        commit = git.head().commit
        moved = [*git.changed(), *sorted({*_untracked(self.context, self.given)} - {*self.untracked})]
        if commit != self.version.commit:
            moved.insert(0, f"HEAD is {commit}")
        if moved:
            what = f"the tree changed while it was built: {_shown(self.context, moved)}"
            raise UsageError(what, where=str(self.context.root), mend=AGAIN)


def look(context: Context, given: Definition, version: VersionFacts) -> Tree:
    return Tree(context, given, version, _untracked(context, given))


def require_tracked(context: Context, given: Definition) -> None:
    """A release reads nothing that a fresh clone would not have. Raises `UsageError` naming the first such file."""
    policy, folder = context.settings.file.policy, context.root
    names = ["pipeline.toml", "waivers.toml", given.name, given.ignore_name, *policy.paths]
    names += [path.relative_to(folder).as_posix() for pattern in policy.manifests for path in folder.glob(pattern)]
    wanted = {name.rstrip("/") for name in names if name and (folder / name).exists()}
    for path in git.untracked(context.root, context.environ, context.cancel):
        read = next((name for name in sorted(wanted) if _covers(path, name) or _covers(f"{name}/", path)), "")
        if read:
            what = "git does not track it, and the release reads it: nobody else could make this release"
            raise UsageError(what, where=line(path), mend="commit it")


def _covers(path: str, name: str) -> bool:
    """Whether `path` is `name`, or a folder (it ends in `/`) above it."""
    return name == path or (path.endswith("/") and name.startswith(path))


def _untracked(context: Context, given: Definition) -> tuple[str, ...]:
    return () if context.options.include_untracked else untracked(context, given)


def _shown(context: Context, paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(context.console.quote(path, 200) for path in paths[:_NAMED]) + more
