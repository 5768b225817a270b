"""Which version HEAD is, from git tags."""

from __future__ import annotations

from msgspec.structs import replace

from pipeline.context import Context
from pipeline.core import version as versions
from pipeline.core.record import Evidence, Subject, VersionFacts, key_of
from pipeline.errors import UsageError
from pipeline.tools.git import Git, Head

title = "Version"
tools: tuple[str, ...] = ("git",)


def skip(context: Context) -> str:  # noqa: ARG001 - the protocol's
    return ""


def run(context: Context) -> Evidence:
    """Raises `UsageError`: no repository, no commit, a shallow clone whose tags are cut off, a pushed tag that is not HEAD's."""
    git = Git(context.root, context.environ, context.cancel)
    head = git.head()
    facts = _facts(context, git, head)
    if facts.tag:
        context.console.line(f"  {facts.version}, commit {facts.commit[:12]}, tag {context.console.quote(facts.tag)}")
    else:
        context.console.line(f"  {facts.version}, commit {facts.commit[:12]}, {_untagged(facts)}")
    key = key_of(commit=facts.commit, tag=facts.tag, clean=facts.clean)
    return Evidence("version", Subject("commit", facts.commit), key, {"git": git.version()}, facts)


def _facts(context: Context, git: Git, head: Head) -> VersionFacts:
    prefix = context.settings.file.version.prefix
    reachable = git.tags(merged=True)
    here = [tag for tag, commit in reachable.items() if commit == head.commit]
    clean = not git.changed()
    exact = _pushed_tag(context, git, head, here, prefix) if context.job.tag else (versions.highest(here, prefix) or ("", None))[0]
    facts = VersionFacts(version="", commit=head.commit, tree=head.tree, created=head.created, clean=clean)
    if exact and clean:
        versions.check_unique(here, prefix, exact)
        return replace(facts, version=str(versions.of_tag(exact, prefix)), tag=exact, base=exact)
    if head.shallow and not exact:
        mend = "fetch the whole history: GIT_DEPTH: 0 in GitLab, fetch-depth: 0 in GitHub, or: git fetch --unshallow --tags"
        raise UsageError("this is a shallow clone: the last version's tag may be cut off", where=str(context.root), mend=mend)
    base, version = versions.highest(reachable, prefix) or ("", None)
    distance = git.distance(f"refs/tags/{base}" if base else "")
    derived = versions.between(version, distance, head.commit, dirty=not clean)
    return replace(facts, version=str(derived), base=base, distance=distance)


def _pushed_tag(context: Context, git: Git, head: Head, here: list[str], prefix: str | None) -> str:
    """The tag that started the job decides, whatever else is on HEAD."""
    tag = context.job.tag
    if not versions.of_tag(tag, prefix):
        wanted = "1.2.3 or v1.2.3" if prefix is None else f"{prefix}1.2.3"
        raise UsageError(f"the pushed tag {context.console.quote(tag)} is not a semantic version", mend=f"tag releases as {wanted}")
    if tag not in here:
        there = git.tags(merged=False).get(tag, "not fetched")
        mend = "run the job again for the tag's own commit, or fetch tags: git fetch --tags --force"
        raise UsageError(f"the pushed tag {context.console.quote(tag)} is {there[:12]}, but HEAD is {head.commit[:12]}", mend=mend)
    return tag


def _untagged(facts: VersionFacts) -> str:
    commits = f"{facts.distance} commit{'' if facts.distance == 1 else 's'} after" if facts.distance else "the commit of"
    after = f"{commits} {facts.base}" if facts.base else "no version tag yet"
    return after if facts.clean else f"{after}, with changed files"
