"""What a rollout's end means: a word for the evidence, an error with its exit code for the command. Pure."""

from __future__ import annotations

from typing import Literal

from pipeline.core.handoff import HandOff
from pipeline.errors import CancelledError, PipelineError, RollbackFailedError, RolledBackError, ToolError
from pipeline.rollout.engine import State
from pipeline.rollout.runner import Ended

Outcome = Literal["succeeded", "unchanged", "failed", "rolled-back", "rollback-failed"]


def outcome(ended: Ended) -> Outcome:
    """`failed`: the old version was not touched, or the rollout was left halfway for the next run."""
    match ended.state:
        case State.SUCCEEDED:
            return "unchanged" if ended.unchanged else "succeeded"
        case State.ROLLED_BACK:
            return "rolled-back"
        case State.ROLLBACK_FAILED:
            return "rollback-failed"
        case _:
            return "failed"


def error(ended: Ended, handoff: HandOff) -> PipelineError | None:
    """What the command ends with; None for success.

    A first version that is sick is taken away again and ends as the others do (exit 4): the target is as it was before, and trying
    once more would not help. What is not the version's fault, such as a port that something else uses, keeps its own error (exit 3).
    """
    if ended.state == State.SUCCEEDED:
        return None
    again = f"run `pipeline deploy {handoff.environment}` again: it finishes, or goes back"
    match ended.state:
        case State.ROLLED_BACK:
            return _rolled_back(ended, handoff)
        case State.ROLLBACK_FAILED:
            what = f"{_cause(ended)}, and going back failed: {ended.back or 'for no known reason'}"
            return RollbackFailedError(what, where=handoff.environment, mend=ended.by_hand)
        case _ if ended.interrupted:
            halfway = ended.state == State.SUSPENDED
            how = f"interrupted, and left halfway; {again}" if halfway else "interrupted before the switch: what served before still does"
            return CancelledError(ended.interrupted, how)
        case State.SUSPENDED:
            return ToolError(f"the new version serves, but is not all in its place: {_cause(ended)}", where=handoff.environment, mend=again)
        case _:
            return ended.error or ToolError("the rollout failed for no known reason", where=handoff.environment)


def _rolled_back(ended: Ended, handoff: HandOff) -> PipelineError:
    now = _now(ended)
    if ended.interrupted:
        return CancelledError(ended.interrupted, f"interrupted, and went back: {now}")
    if ended.error:
        return type(ended.error)(f"{ended.error.what}; {now}", where=ended.error.where, mend=ended.error.mend)
    what = f"{handoff.image} did not become healthy: {ended.sick}; {now}"
    look = "read its last lines above" if ended.log else "it wrote nothing: try the probe on a container of it"
    return RolledBackError(what, where=handoff.environment, mend=f"{look}, mend it and release again")


def _cause(ended: Ended) -> str:
    return ended.sick or (
        str(ended.error) if ended.error else "an earlier rollout died halfway" if not ended.interrupted else "interrupted"
    )


def _now(ended: Ended) -> str:
    if ended.served:
        return f"the previous version serves again ({ended.previous})"
    return "the previous version is stopped, as it was before" if ended.previous else "nothing served before, and nothing does now"
