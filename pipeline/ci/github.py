"""GitHub Actions: https://docs.github.com/actions/reference/workflow-commands-for-github-actions"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from pipeline.core.job import Job


def job(environ: Mapping[str, str]) -> Job:
    kind, name = environ.get("GITHUB_REF_TYPE", ""), environ.get("GITHUB_REF_NAME", "")
    source = "/".join((environ.get("GITHUB_SERVER_URL", "https://github.com"), environ.get("GITHUB_REPOSITORY", "")))
    run = environ.get("GITHUB_RUN_ID", "")
    return Job(
        system="github",
        id="-".join(("github", *(environ.get(f"GITHUB_{name}", "") for name in ("REPOSITORY_ID", "RUN_ID", "RUN_ATTEMPT", "JOB")))),
        tag=name if kind == "tag" else "",
        branch=name if kind == "branch" else "",
        protected=environ.get("GITHUB_REF_PROTECTED") == "true",
        url=f"{source}/actions/runs/{run}" if run else "",
        source=source if environ.get("GITHUB_REPOSITORY") else "",
        outputs=environ.get("GITHUB_OUTPUT", ""),
        summary=environ.get("GITHUB_STEP_SUMMARY", ""),
        registry="ghcr.io" if environ.get("GITHUB_TOKEN") else "",
        registry_user=environ.get("GITHUB_ACTOR", ""),
        registry_password=environ.get("GITHUB_TOKEN", ""),
        secrets=tuple(
            environ[name] for name in ("GITHUB_TOKEN", "ACTIONS_RUNTIME_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_TOKEN") if environ.get(name)
        ),
    )


def defaults(environ: Mapping[str, str]) -> dict[str, str]:
    """What the configuration may leave out here: the container registry's path of this repository, in lower case as it demands."""
    repository = environ.get("GITHUB_REPOSITORY", "")
    if not repository:
        return {}
    return {"image.repository": f"ghcr.io/{repository.lower()}", "project.source": job(environ).source}


class Commands:
    """Groups and masks as workflow commands; a child's output stands between `stop-commands` and a token it cannot guess."""

    def mask(self, value: str) -> str:
        return f"::add-mask::{_data(value)}"

    def group(self, name: str, title: str) -> tuple[str, str]:  # noqa: ARG002 - the dialect's
        return f"::group::{_data(title)}", "::endgroup::"

    def quiet(self) -> tuple[str, str]:
        token = secrets.token_hex(16)
        return f"::stop-commands::{token}", f"::{token}::"


def output(values: Mapping[str, str]) -> str:
    """What to append to `GITHUB_OUTPUT`. Raises `ValueError` for a value of several lines: none of ours has them."""
    if any("\n" in value or "\r" in value for value in values.values()):
        raise ValueError("a value has several lines")
    return "".join(f"{name.replace('_', '-')}={value}\n" for name, value in values.items())


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
