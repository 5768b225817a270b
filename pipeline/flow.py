"""The product, in one page: which steps a command runs, in which order, side by side or one after the other."""

from __future__ import annotations

from types import ModuleType
from typing import Protocol

from pipeline.context import Context
from pipeline.core.finding import Threshold
from pipeline.core.record import Evidence

Stages = tuple[tuple[str, ...], ...]

FLOWS: dict[str, Stages] = {
    "version": (("version",),),
    "check": (("check",),),
    "build": (("version",), ("build",)),
    "scan": (("scan",),),
    "policy": (("policy",),),
    "push": (("stage",), ("publish",)),
    "deploy": (("deploy",),),
    "release": (("version",), ("check",), ("build",), ("stage", "scan", "policy"), ("publish",), ("deploy",)),
}


class Step(Protocol):
    """A module under `steps/`. `tools`: the programs and services it needs, by their names in `doctor`."""

    title: str
    tools: tuple[str, ...]

    def skip(self, context: Context) -> str:
        """Why there is nothing to do; empty when there is."""

    def run(self, context: Context) -> Evidence:
        """Do it. Raises `PipelineError`; in a gate a `ToolError` becomes an `error` verdict."""


class Gate(Step, Protocol):
    """A step that judges: the flow computes the verdict anew from its findings on each run."""

    def threshold(self, context: Context) -> Threshold: ...
