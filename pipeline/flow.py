"""The product, in one page: which steps a command runs, in which order, side by side or one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import Protocol, TypeGuard, cast

from msgspec.structs import replace

from pipeline.console import StepLines
from pipeline.context import Context
from pipeline.core.finding import Outcome, Threshold, Verdict, judge
from pipeline.core.record import Evidence, Subject
from pipeline.errors import CancelledError, PipelineError, RefusedError, ToolError, UsageError
from pipeline.reports import junit, table

Stages = tuple[tuple[str, ...], ...]

GATES = ("check", "scan", "policy")
# The one step whose tool is worth watching, also beside others.
LIVE = "build"

FLOWS: dict[str, Stages] = {
    "version": (("version",),),
    "check": (("check",),),
    "build": (("version",), ("build",)),
    "scan": (("scan",),),
    "policy": (("policy",),),
    "push": (("version",), ("check",), ("scan", "policy"), ("stage",), ("publish",)),
    "deploy": (("version",), ("deploy",)),
    "release": (("version",), ("adopt",), ("check", "build"), ("stage", "scan", "policy"), ("publish",), ("deploy",)),
    "snapshot": (("version",), ("check", "build"), ("scan", "policy")),
}


class Step(Protocol):
    """A module under `steps/`. `tools`: the programs and services it needs, by their names in `doctor`."""

    title: str
    tools: tuple[str, ...]

    def skip(self, context: Context) -> str:
        """Why there is nothing to do; empty when there is."""

    def run(self, context: Context) -> Evidence:
        """Do it. Raises `PipelineError`; a gate's becomes an `error` verdict."""


class Gate(Step, Protocol):
    """A step that judges: the verdict is computed anew from its findings on each run."""

    def threshold(self, context: Context) -> Threshold: ...


@dataclass(slots=True)
class Ended:
    """How one step ended: exactly one of `evidence`, `skipped` and `error` is set; a gate's error is in its verdict too."""

    step: str
    evidence: Evidence | None = None
    verdict: Verdict | None = None
    skipped: str = ""
    error: PipelineError | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class Ran:
    """What a command did, in order."""

    ended: list[Ended] = field(default_factory=list)

    @property
    def verdicts(self) -> list[Verdict]:
        return [one.verdict for one in self.ended if one.verdict]


def perform(command: str, context: Context, ran: Ran) -> None:
    """Run a command's steps into `ran`. Raises the `PipelineError` that decides the exit code,
    after all that could be judged was judged."""
    for stage in FLOWS[command]:
        context.cancel.check()
        ran.ended += _side_by_side(_wanted(stage, ran), context)
        _stop_on_error(ran, all_judged=stage == FLOWS[command][-1] or "policy" in stage)


def load(step: str) -> Step:
    return cast(Step, import_module(f"pipeline.steps.{step}"))


def is_gate(step: Step) -> TypeGuard[Gate]:
    return hasattr(step, "threshold")


def verdict_of(gate: Gate, evidence: Evidence, context: Context) -> Verdict:
    """Today's verdict on what a gate found."""
    judged = judge(evidence.findings, gate.threshold(context), context.waivers, context.now.date())
    return Verdict(evidence.step, evidence.subject.digest, judged, evidence.error, evidence.seconds)


def _wanted(stage: Sequence[str], ran: Ran) -> tuple[str, ...]:
    """After a gate said no the others still judge, but nothing more leaves this machine."""
    stopped = any(verdict.status != "passed" for verdict in ran.verdicts)
    return tuple(step for step in stage if not (stopped and step == "stage"))


def _side_by_side(names: Sequence[str], context: Context) -> list[Ended]:
    """Run the steps of one tuple; what they printed is shown in the tuple's order when all have ended."""
    context.console.busy(", ".join(load(name).title for name in names))
    with ThreadPoolExecutor(max_workers=max(1, len(names)), thread_name_prefix="step") as pool:
        ran = list(pool.map(lambda name: _run(name, context, live=name == LIVE or len(names) == 1), names))
    for _, lines in ran:
        context.console.show(lines)
    return [ended for ended, _ in ran]


def _run(name: str, context: Context, *, live: bool) -> tuple[Ended, StepLines]:
    step = load(name)
    started = time.monotonic()
    with context.console.step(live=live) as lines:
        ended = _attempt(name, step, context)
        ended.seconds = time.monotonic() - started
        _record(ended, step, context)
        lines.headline.append(_headline(ended, step, context))
        if ended.error and not ended.verdict and not live:
            context.console.line(f"  {context.console.quote(str(ended.error))}")
        for line in table.lines(ended.verdict) if ended.verdict else ():
            context.console.line(line)
    return ended, lines


def _attempt(name: str, step: Step, context: Context) -> Ended:
    try:
        reason = step.skip(context)
        return Ended(name, skipped=reason) if reason else Ended(name, evidence=step.run(context))
    except PipelineError as error:
        return Ended(name, error=error)


def _record(ended: Ended, step: Step, context: Context) -> None:
    """Write the evidence and a gate's report. What a gate could not judge replaces what it judged before."""
    evidence = ended.evidence
    if ended.error and is_gate(step):
        evidence = Evidence(ended.step, Subject("commit", ""), "", error=str(ended.error))
    if not evidence:
        return
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    evidence = replace(evidence, job=context.job.id, started=stamp, seconds=round(ended.seconds, 3))
    context.evidence.write(evidence)
    if is_gate(step):
        ended.verdict = verdict_of(step, evidence, context)
        context.evidence.write_file(f"reports/{ended.step}.xml", junit.render([ended.verdict], junit.properties(evidence)))
    if ended.evidence:
        ended.evidence = evidence


def _headline(ended: Ended, step: Step, context: Context) -> str:
    console = context.console
    if ended.skipped:
        return f"{console.paint('·', 'dim')} {step.title:<9} {ended.skipped}"
    verdict = ended.verdict
    good = not ended.error and (not verdict or verdict.status == "passed")
    summary = table.summary(verdict) if verdict else "done" if good else "failed"
    mark = console.paint("✓", "good") if good else console.paint("✗", "bad")
    return f"{mark} {step.title:<9} {summary} {console.paint(f'({ended.seconds:.1f} s)', 'dim')}"


def _stop_on_error(ran: Ran, *, all_judged: bool) -> None:
    """Raise for what ended badly. A gate that failed, or could not judge, waits until every gate of the flow has had its turn."""
    errors = [one.error for one in ran.ended if one.error]
    at_once = [one.error for one in ran.ended if one.error and not (one.verdict and isinstance(one.error, ToolError))]
    if at_once or (errors and all_judged):
        raise min(errors, key=_rank)
    if all_judged:
        raise_on(ran.verdicts)


def raise_on(verdicts: Sequence[Verdict]) -> None:
    """Raise what the verdicts ask for: an error outranks a failure. Passed verdicts raise nothing."""
    unjudged = [verdict for verdict in verdicts if verdict.status == "error"]
    if unjudged:
        raise ToolError("could not judge: " + "; ".join(f"{verdict.gate}: {verdict.error}" for verdict in unjudged))
    failed = [verdict for verdict in verdicts if verdict.status == "failed"]
    if failed:
        what = ", ".join(f"{verdict.gate} ({verdict.count(Outcome.FAILED)})" for verdict in failed)
        raise RefusedError(
            f"judged and refused: {what}", mend="mend the findings above, or waive them in waivers.toml with an owner and a date"
        )


def _rank(error: PipelineError) -> int:
    order = (CancelledError, ToolError, UsageError, RefusedError)
    return next((place for place, kind in enumerate(order) if isinstance(error, kind)), len(order))
