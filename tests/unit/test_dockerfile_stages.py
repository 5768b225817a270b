"""How stages hang together; every rule here was also seen in a real build."""

from __future__ import annotations

import pytest

from pipeline.core.dockerfile import arguments, stages
from pipeline.core.dockerfile.parser import parse
from pipeline.errors import UsageError

DIGEST = "sha256:" + "0" * 64


def test_bases_are_expanded_with_global_and_given_arguments() -> None:
    text = f"ARG V=1\nARG IMAGE=go:$V\nFROM $IMAGE AS build\nFROM build AS b2\nFROM alpine@{DIGEST}\nFROM scratch\n"
    found = stages.base_images(parse(text.encode()), {"V": "2"})
    assert [(one.reference, one.parent, one.is_image, one.pinned) for one in found] == [
        ("go:2", None, True, False),
        ("build", 0, False, False),
        (f"alpine@{DIGEST}", None, True, True),
        ("scratch", None, False, False),
    ]


def test_images_that_files_come_from_are_bases_too() -> None:
    text = b"FROM a\nCOPY --from=nginx:1 /x /y\nRUN --mount=type=bind,from=busybox,target=/b true\nADD x /y\n"
    found = stages.base_images(parse(text), {})
    assert [(one.reference, one.keyword, one.line) for one in found] == [("a", "FROM", 1), ("nginx:1", "COPY", 2), ("busybox", "RUN", 3)]


def test_platform_arguments_come_from_the_platform() -> None:
    parsed = parse(b"FROM base-$TARGETARCH$TARGETVARIANT\n")
    assert stages.base_images(parsed, arguments.of_platform("linux/arm64/v8"))[0].reference == "base-arm64v8"
    with pytest.raises(UsageError, match="depends on the platform"):
        stages.base_images(parsed, {})


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("FROM a:$V", ":1", "V, which has no value"),
        ("ARG V\nFROM $V", ":2", "V, which has no value"),
        ("FROM scratch AS Up\nFROM Up", ":2", "neither a stage nor"),
        ("FROM a AS b\nCOPY --from=b /x /y", ":2", "not built before"),
        ("FROM a AS b\nCOPY --from=c /x /y\nFROM a AS c", ":2", "not built before"),
        ("FROM a\nCOPY --from=3 /x /y", ":2", "no stage number"),
        ("FROM a\nCOPY --from=0 /x /y", ":2", "not built before"),
        ("FROM a AS x\nFROM a AS x\nCOPY --from=x /x /y", ":3", "not built before"),
        ("FROM a\nCOPY --from=No.Image! /x /y", ":2", "neither a stage nor"),
        ("ARG V=${\nFROM a", ":1", "bad substitution"),
    ],
)
def test_what_cannot_be_resolved_is_refused(text: str, where: str, what: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        stages.base_images(parse(text.encode()), {})
    assert caught.value.where == f"Dockerfile{where}"


def test_a_stage_is_found_by_number_and_by_name_in_any_case() -> None:
    parsed = parse(b"FROM a AS Build\nFROM b\nCOPY --from=0 /x /y\nCOPY --from=BUILD /x /y\nRUN --mount=from=build,target=/t x\n")
    for instruction in parsed.stages[1].instructions:
        assert stages.origins(parsed, 1, instruction) == (stages.Origin("stage", 0),)


def test_the_target_decides_what_is_needed() -> None:
    text = b"FROM a AS base\nFROM base AS build\nFROM a AS unused\nFROM scratch AS out\nCOPY --from=build /x /\nFROM a AS alone\n"
    parsed = parse(text)
    bases = stages.stage_bases(parsed, {})
    assert stages.final_stage(parsed).name == "alone"
    assert stages.needed(parsed, bases, 4) == {4}
    assert stages.needed(parsed, bases, stages.final_stage(parsed, "OUT").index) == {0, 1, 3}
    with pytest.raises(UsageError, match="no stage") as caught:
        stages.final_stage(parsed, "nope")
    assert "base, build, unused, out, alone" in caught.value.mend


def test_triggers_run_in_the_stage_that_is_built_on_theirs() -> None:
    parsed = parse(b"FROM a AS files\nFROM b AS base\nONBUILD COPY --from=files /x /y\nFROM base\nRUN z\n")
    bases = stages.stage_bases(parsed, {})
    assert [one.keyword for one in stages.executed(parsed, bases, 2)] == ["COPY", "RUN"]
    assert list(stages.executed(parsed, bases, 1)) == []
    assert stages.needed(parsed, bases, 2) == {0, 1, 2}


@pytest.mark.parametrize(
    ("syntax", "foreign"),
    [
        ("", False),
        ("docker/dockerfile", False),
        ("docker/dockerfile:1.7-labs", False),
        ("docker.io/docker/dockerfile-upstream:master", False),
        ("index.docker.io/docker/dockerfile:1", False),
        ("evil/dockerfile:1", True),
        ("ghcr.io/docker/dockerfile:1", True),
        (f"evil/dockerfile@{DIGEST}", False),
        ("docker/dockerfile@sha256:short", True),
        ("NOT an image", True),
    ],
)
def test_a_foreign_frontend_must_be_pinned(syntax: str, foreign: bool) -> None:
    parsed = parse(f"# syntax={syntax}\nFROM a\n".encode() if syntax else b"FROM a\n")
    assert bool(stages.foreign_frontend(parsed)) is foreign
