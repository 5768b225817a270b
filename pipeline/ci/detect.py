"""Which CI this is. One list, in order of asking."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from pipeline.ci import github, gitlab, local


def detect(environ: Mapping[str, str]) -> ModuleType:
    """The module that knows this CI: `job(environ)` and `defaults(environ)`."""
    if environ.get("GITLAB_CI") == "true":
        return gitlab
    if environ.get("GITHUB_ACTIONS") == "true":
        return github
    return local
