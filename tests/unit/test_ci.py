from __future__ import annotations

import pytest

from pipeline.ci import detect, github, gitlab, local

GITLAB = {
    "GITLAB_CI": "true",
    "CI_PROJECT_ID": "7",
    "CI_JOB_ID": "42",
    "CI_COMMIT_TAG": "v1.0.0",
    "CI_COMMIT_REF_PROTECTED": "true",
    "CI_REGISTRY": "registry.example.com",
    "CI_REGISTRY_IMAGE": "registry.example.com/team/app",
    "CI_REGISTRY_USER": "job",
    "CI_REGISTRY_PASSWORD": "secret-1",
    "CI_JOB_TOKEN": "secret-2",
    "CI_PROJECT_URL": "https://gitlab.example.com/team/app",
}
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_REPOSITORY": "Team/App",
    "GITHUB_REPOSITORY_ID": "7",
    "GITHUB_RUN_ID": "42",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_JOB": "release",
    "GITHUB_REF_TYPE": "branch",
    "GITHUB_REF_NAME": "main",
    "GITHUB_TOKEN": "secret-3",
}


def test_each_ci_is_known_by_its_own_variable() -> None:
    assert detect.detect(GITLAB) is gitlab
    assert detect.detect(GITHUB) is github
    assert detect.detect({"CI": "true"}) is local


def test_gitlab_facts() -> None:
    job = gitlab.job(GITLAB)
    assert (job.id, job.tag, job.protected, job.registry_user) == ("gitlab-7-42", "v1.0.0", True, "job")
    assert set(job.secrets) == {"secret-1", "secret-2"}
    assert "secret" not in repr(job)
    assert gitlab.defaults(GITLAB)["image.repository"] == "registry.example.com/team/app"


def test_github_facts() -> None:
    job = github.job(GITHUB)
    assert (job.id, job.tag, job.branch, job.protected) == ("github-7-42-2-release", "", "main", False)
    assert "secret-3" in job.secrets
    assert github.defaults(GITHUB)["image.repository"] == "ghcr.io/team/app"


def test_dotenv_is_what_gitlab_takes() -> None:
    assert gitlab.dotenv({"version": "1.0.0"}) == "PIPELINE_VERSION=1.0.0\n"
    for bad in ({"a": "x\ny"}, {str(i): "" for i in range(11)}, {"a": "x" * 5000}):
        with pytest.raises(ValueError, match=r"lines|values|bytes"):
            gitlab.dotenv(bad)


def test_github_outputs_are_one_line_each() -> None:
    assert github.output({"image": "a@sha256:b"}) == "image=a@sha256:b\n"
    with pytest.raises(ValueError, match="lines"):
        github.output({"a": "x\nEVIL=1"})


def test_a_group_title_cannot_break_out() -> None:
    assert github.Commands().group("x", "a\n::error::b")[0] == "::group::a%0A::error::b"
