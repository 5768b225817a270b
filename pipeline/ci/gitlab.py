"""GitLab CI: https://docs.gitlab.com/ci/variables/predefined_variables/"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

from pipeline.core.job import Job

MAX_KEYS = 10
MAX_BYTES = 4096
_SECRET = re.compile(r"TOKEN|PASSWORD|SECRET|_JWT|PRIVATE_KEY")


def job(environ: Mapping[str, str]) -> Job:
    return Job(
        system="gitlab",
        id=f"gitlab-{environ.get('CI_PROJECT_ID', '')}-{environ.get('CI_JOB_ID', '')}",
        tag=environ.get("CI_COMMIT_TAG", ""),
        branch=environ.get("CI_COMMIT_BRANCH", ""),
        protected=environ.get("CI_COMMIT_REF_PROTECTED") == "true",
        url=environ.get("CI_JOB_URL", ""),
        source=environ.get("CI_PROJECT_URL", ""),
        registry=environ.get("CI_REGISTRY", ""),
        registry_user=environ.get("CI_REGISTRY_USER", ""),
        registry_password=environ.get("CI_REGISTRY_PASSWORD", ""),
        secrets=tuple(value for name, value in environ.items() if name.startswith("CI_") and _SECRET.search(name) and value),
    )


def defaults(environ: Mapping[str, str]) -> dict[str, str]:
    """What the configuration may leave out here."""
    found = {"image.repository": environ.get("CI_REGISTRY_IMAGE", ""), "project.source": environ.get("CI_PROJECT_URL", "")}
    return {key: value for key, value in found.items() if value}


class Sections:
    """GitLab's collapsible sections: https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections. It has no mask command,
    and takes no command from the log, so foreign lines need nothing around them."""

    def mask(self, value: str) -> str:  # noqa: ARG002 - the dialect's
        return ""

    def group(self, name: str, title: str) -> tuple[str, str]:
        now = int(time.time())
        return f"\x1b[0Ksection_start:{now}:{name}\r\x1b[0K{title}", f"\x1b[0Ksection_end:{now}:{name}\r\x1b[0K"

    def quiet(self) -> tuple[str, str]:
        return "", ""


def dotenv(values: Mapping[str, str]) -> str:
    """The text of a dotenv report: `PIPELINE_` keys, one line each.

    Raises `ValueError` for what GitLab would refuse: too many keys, a value of several lines, more than 4 kB together.
    """
    if len(values) > MAX_KEYS:
        raise ValueError(f"{len(values)} values, GitLab takes {MAX_KEYS}")
    if any("\n" in value or "\r" in value for value in values.values()):
        raise ValueError("a value has several lines")
    text = "".join(f"PIPELINE_{name.upper()}={value}\n" for name, value in values.items())
    if len(text.encode()) > MAX_BYTES:
        raise ValueError(f"{len(text.encode())} bytes, GitLab takes {MAX_BYTES}")
    return text
