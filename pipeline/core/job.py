"""Where we run: the facts of a CI job, or of a laptop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Job:
    """`id` tells one job from another (`local` on a laptop): evidence of another job is not trusted.

    `tag`: the pushed tag, empty when the job is not for a tag. `branch`: the branch, empty on a tag. `protected`: the ref is
    protected as far as the CI tells; False where it does not tell. `outputs`, `summary`: files the CI reads, empty where it has
    none.
    """

    system: Literal["gitlab", "github", "local"] = "local"
    id: str = "local"
    tag: str = ""
    branch: str = ""
    protected: bool = False
    url: str = ""
    source: str = ""
    outputs: str = ""
    summary: str = ""
    registry: str = ""
    registry_user: str = ""
    registry_password: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
