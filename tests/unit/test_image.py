from __future__ import annotations

import pytest
from hypothesis import given

from pipeline.core import image
from pipeline.core.version import parse
from pipeline.errors import UsageError
from tests.unit.test_version import VERSIONS, Version

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "host", "path"),
    [
        ("nginx", image.HUB, "library/nginx"),
        ("team/app", image.HUB, "team/app"),
        ("docker.io/team/app", image.HUB, "team/app"),
        ("localhost/app", "localhost", "app"),
        ("127.0.0.1:5000/team/app", "127.0.0.1:5000", "team/app"),
        ("registry.example.com/a/b/c", "registry.example.com", "a/b/c"),
        ("[::1]:5000/app", "[::1]:5000", "app"),
    ],
)
def test_a_repository_is_read_as_docker_reads_it(text: str, host: str, path: str) -> None:
    assert image.parse_repository(text) == image.Repository(host, path)


@pytest.mark.parametrize("text", ["", "registry.example.com/", "a//b", "a b", "host:port/x", "x:tag", "../x", "a/-b"])
def test_what_is_no_repository_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        image.parse_repository(text)


def test_references() -> None:
    assert image.parse_reference(f"127.0.0.1:5000/a:1.0@{DIGEST}") == image.Reference(
        image.Repository("127.0.0.1:5000", "a"), "1.0", DIGEST
    )
    assert image.parse_reference("127.0.0.1:5000/a").tag == ""
    for bad in ("a@sha256:12", "a:-x", "a@"):
        with pytest.raises(UsageError):
            image.parse_reference(bad)


def test_loopback() -> None:
    assert all(image.Repository(host, "a").loopback for host in ("localhost", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000"))
    assert not any(image.Repository(host, "a").loopback for host in ("localhost.example.com", "127.0.0.1.example.com", "10.0.0.1"))


@given(VERSIONS)
def test_two_versions_never_share_a_tag(version: Version) -> None:
    tag = image.tag_of_version(str(version))
    assert image.is_tag(tag)
    assert parse(tag.replace("_", "+")) == version


def test_a_tag_that_is_too_long_is_never_cut() -> None:
    with pytest.raises(UsageError, match="128"):
        image.tag_of_version("1.0.0-" + "a" * 130)
