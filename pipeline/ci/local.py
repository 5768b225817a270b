"""A laptop, or a CI that we do not know: nothing is set, nothing is promised."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core.job import Job

# How other CIs name a run: evidence that another run left in the same folder is not this one's.
RUNS = ("BUILD_TAG", "BUILD_BUILDID", "CIRCLE_WORKFLOW_JOB_ID", "BUILDKITE_JOB_ID", "DRONE_BUILD_NUMBER", "BITBUCKET_STEP_UUID")


def job(environ: Mapping[str, str]) -> Job:
    run = next((f"{name}-{environ[name]}" for name in RUNS if environ.get(name)), "local")
    return Job(id=run)


def defaults(environ: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG001 - the same call for every CI
    return {}
