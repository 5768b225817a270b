"""A laptop, or a CI that we do not know: nothing is set, nothing is promised."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.core.job import Job


def job(environ: Mapping[str, str]) -> Job:  # noqa: ARG001 - the same call for every CI
    return Job()


def defaults(environ: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG001 - the same call for every CI
    return {}
