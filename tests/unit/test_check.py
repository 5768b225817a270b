from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core import preflight
from pipeline.core.baked import Arrival, arrivals
from pipeline.core.cancel import Cancel
from pipeline.core.dockerfile.evaluate import evaluate
from pipeline.core.dockerfile.parser import parse
from pipeline.core.dockerfile.stages import stage_bases
from pipeline.core.dockerignore import Ignore
from pipeline.core.finding import Finding, Severity
from pipeline.core.inputs import digest, labels, local_name, recorded
from pipeline.core.preflight import Seen
from pipeline.core.record import BuildInputs, VersionFacts
from pipeline.errors import ToolError, UsageError
from pipeline.tools import files, hadolint


def reaching(dockerfile: str, *paths: str) -> dict[str, bool]:
    """Each file that reaches the last stage, and whether that is certain."""
    parsed = parse(dockerfile.encode())
    stages = evaluate(parsed, stage_bases(parsed, {}), {})
    return {one.file: one.certain for one in arrivals(stages, len(stages) - 1, paths)}


@pytest.mark.parametrize(
    ("copy", "path"),
    [
        ("COPY . /app", "conf/.env"),
        ("COPY .env /app/", ".env"),
        ("COPY ./conf /app/", "conf/deep/.env"),
        ("COPY conf/.e* /app/", "conf/.env"),
        ("COPY c?nf /app/", "conf/.env"),
        ("ADD / /app", ".env"),
        ("COPY a conf b/ /app/", "conf/.env"),
        ('COPY ["conf", "/app/"]', "conf/.env"),
        ("COPY --exclude=*.md . /app", "conf/.env"),
    ],
)
def test_what_is_copied_into_the_final_stage(copy: str, path: str) -> None:
    assert reaching(f"FROM scratch\n{copy}\n", path) == {path: True}


@pytest.mark.parametrize(
    ("copy", "path"),
    [
        ("COPY src /app", "conf/.env"),
        ("COPY *.txt /app/", ".env"),
        ("COPY --exclude=.env . /app", ".env"),
        ("COPY --exclude=.env conf /app", "conf/.env"),
        ("ADD https://example.com/.env /app/", ".env"),
        ("RUN --mount=type=bind,target=/src cat /src/.env", ".env"),
        ("COPY <<.env /app/\nA=b\n.env", ".env"),
    ],
)
def test_what_is_not(copy: str, path: str) -> None:
    assert reaching(f"FROM scratch\n{copy}\n", path) == {}


def test_a_stage_that_the_final_one_stands_on_counts_as_it() -> None:
    assert reaching("FROM scratch AS a\nCOPY . /app\nFROM a\nUSER 1\n", ".env") == {".env": True}


def test_through_an_earlier_stage_it_is_possible_but_not_certain() -> None:
    dockerfile = "FROM x AS build\nWORKDIR /src\nCOPY . .\nRUN make\nFROM scratch\nCOPY --from=build /src/conf /etc/conf\n"
    assert reaching(dockerfile, "conf/.env", ".env") == {"conf/.env": False}


def test_what_stays_in_an_earlier_stage_does_not_reach_the_image() -> None:
    assert reaching("FROM x AS build\nCOPY . /src\nFROM scratch\nCOPY --from=build /out/app /app\n", ".env") == {}


def test_the_place_is_where_the_file_lands() -> None:
    parsed = parse(b"FROM scratch\nCOPY conf /etc/app\n")
    (one,) = arrivals(evaluate(parsed, stage_bases(parsed, {}), {}), 0, ["conf/deep/.env"])
    assert one == Arrival("conf/deep/.env", "/etc/app/deep/.env", 2, certain=True)


def look(**changes: object) -> dict[str, Finding]:
    seen = Seen(dockerfile="Dockerfile", context=".", ignore_name=".dockerignore", paths=["a"], size=10, limit=100)
    values = {name: getattr(seen, name) for name in Seen.__slots__} | changes
    return {one.rule: one for one in preflight.findings(Seen(**values))}


def test_a_tidy_project_passes_every_rule() -> None:
    found = look()
    assert len(found) == 8
    assert {one.observed for one in found.values()} == {"passed"}


def test_each_thing_that_is_wrong_is_a_finding() -> None:
    found = look(ignore_name="", paths=["a", ".git/HEAD", "sub/.git/x"], size=101, args=["NPM_TOKEN", "V"], allow=["network.host"])
    wrong = {rule: one.severity for rule, one in found.items() if one.observed == "violation"}
    assert wrong == {
        "dockerignore": Severity.LOW,
        "git-in-context": Severity.MEDIUM,
        "context-size": Severity.MEDIUM,
        "secret-argument": Severity.HIGH,
        "entitlement": Severity.MEDIUM,
    }


def test_a_secret_that_is_copied_fails_whatever_the_threshold() -> None:
    found = look(suspects={".env": "secrets"}, arrivals=[Arrival(".env", "/app/.env", 3, certain=True)])["baked-secret"]
    assert (found.certain, found.observed, found.severity, found.where, found.line) == (
        True,
        "violation",
        Severity.CRITICAL,
        "Dockerfile",
        3,
    )


def test_a_secret_that_may_come_only_warns_unless_it_also_comes_for_certain() -> None:
    maybe, sure = Arrival(".env", "/a", 3, certain=False), Arrival(".env", "/b", 9, certain=True)
    assert look(suspects={".env": "secrets"}, arrivals=[maybe])["baked-secret"].observed == "warning"
    assert look(suspects={".env": "secrets"}, arrivals=[maybe, sure, maybe])["baked-secret"].certain


def test_a_secret_in_the_context_alone_warns() -> None:
    found = look(suspects={".env": "secrets"})
    assert found["baked-secret"].observed == "passed"
    assert (found["secret-in-context"].observed, found["secret-in-context"].where) == ("warning", ".env")


def test_the_walker_sees_what_buildkit_would_be_sent(tmp_path: Path) -> None:
    for name, text in {"a": "12345", "node_modules/x/y": "no", "keep/me": "1", "keep/not": "2", ".pipeline/evidence": "no"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "link").symlink_to("/etc")
    sent = files.sent(tmp_path, Ignore.parse(b"node_modules\nkeep\n!keep/me\n.pipeline\n"))
    assert sent.paths == ("a", "keep/me", "link")
    assert sent.size == 6


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        files.sent(tmp_path / "gone", Ignore())


def test_what_a_folder_would_add(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("")
    (tmp_path / "sub" / "b.md").write_text("")
    ignore = Ignore.parse(b"**/*.md\nsecret\n")
    assert files.under(tmp_path, "sub/", ignore) == ("sub/a",)
    assert files.under(tmp_path, "", ignore) == ("sub/a",)
    assert files.under(tmp_path, "x", ignore) == ("x",)
    assert files.under(tmp_path, "secret", ignore) == ()


def test_hadolint_is_not_told_by_the_repository_what_to_look_for() -> None:
    made = hadolint.arguments(Path("/c"))
    assert "--disable-ignore-pragma" in made
    assert made[-3:] == ("--config", "/c", "-")


def test_its_levels_become_severities() -> None:
    remarks = hadolint.decode(
        '[{"code":"DL3002","level":"warning","line":2,"message":"Last USER\\u001b[1m","column":1,"file":"-"},'
        '{"code":"SC2164","level":"error","line":3,"message":"cd"},{"code":"DL1000","level":"error","line":1,"message":"what"}]'
    )
    first, second, third = hadolint.findings(remarks, "Dockerfile")
    assert (first.rule, first.severity, first.observed, first.where, first.line) == (
        "DL3002",
        Severity.MEDIUM,
        "violation",
        "Dockerfile",
        2,
    )
    assert "\x1b" not in first.title
    assert second.severity is Severity.HIGH
    assert third.observed == "warning"


@pytest.mark.parametrize("answer", ["", "hello", "{}", '[{"code": "DL1"}]', '[{"code":"x","level":"new","line":1,"message":""}]'])
def test_another_answer_is_an_error(answer: str) -> None:
    with pytest.raises(ToolError, match="hadolint's answer cannot be read"):
        hadolint.decode(answer)


@pytest.mark.parametrize("script", ["exit 1", "kill -9 $$", "echo rubbish", "exit 0"])
def test_a_hadolint_that_does_not_judge_is_an_error(tmp_path: Path, script: str) -> None:
    program = tmp_path / "hadolint"
    program.write_text(f"#!/bin/sh\ncat >/dev/null\n{script}\n")
    program.chmod(0o755)
    found = hadolint.find({"PATH": f"{tmp_path}:/usr/bin:/bin"}, Cancel())
    assert found
    with pytest.raises(ToolError):
        found.judge(b"FROM scratch\n")


def test_no_hadolint_is_none(tmp_path: Path) -> None:
    assert hadolint.find({"PATH": str(tmp_path)}, Cancel()) is None


VERSION = VersionFacts("1.2.3", "c" * 40, "t" * 40, "2026-01-02T03:04:05Z", tag="v1.2.3")
INPUTS = BuildInputs(dockerfile="sha256:d", args={"A": "1"}, secrets=("npm",))


def test_the_digest_of_the_inputs_does_not_know_what_only_the_build_finds_out() -> None:
    resolved = BuildInputs(dockerfile="sha256:d", args={"A": "1"}, secrets=("npm",), bases={"debian": "sha256:x"})
    assert digest(INPUTS, VERSION) == digest(resolved, VERSION)


@pytest.mark.parametrize("change", [{"args": {"A": "2"}}, {"target": "x"}, {"snapshot": True}, {"dockerignore": "sha256:i"}])
def test_every_input_counts(change: dict[str, object]) -> None:
    from msgspec.structs import replace

    assert digest(INPUTS, VERSION) != digest(replace(INPUTS, **change), VERSION)
    assert digest(INPUTS, VERSION) != digest(INPUTS, replace(VERSION, commit="e" * 40))


def test_a_value_from_the_environment_is_recorded_as_a_digest() -> None:
    kept = recorded({"PLAIN": "x", "PRIVATE": "s3cret"}, {"PRIVATE"})
    assert kept["PLAIN"] == "x"
    assert kept["PRIVATE"].startswith("sha256:")


def test_the_projects_labels_say_nothing_else_about_the_version() -> None:
    own = {"org.opencontainers.image.title": "Mine", "org.opencontainers.image.version": "9.9.9", "team": "a"}
    made = labels(VERSION, "sha256:i", {"title": "agent", "source": "", "licenses": "MIT"}, own)
    assert made == {
        "org.opencontainers.image.title": "Mine",
        "org.opencontainers.image.licenses": "MIT",
        "team": "a",
        "org.opencontainers.image.version": "1.2.3",
        "org.opencontainers.image.revision": "c" * 40,
        "org.opencontainers.image.created": "2026-01-02T03:04:05Z",
        "dev.release-chain.inputs": "sha256:i",
    }


@pytest.mark.parametrize(("project", "name"), [("Agent", "agent:built"), ("my_App 2!", "my-app-2:built"), ("…", "project:built")])
def test_the_local_name_is_one_that_docker_takes(project: str, name: str) -> None:
    assert local_name(project) == name
