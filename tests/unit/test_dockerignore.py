"""`.dockerignore` as moby's patternmatcher reads it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.dockerignore import Ignore
from pipeline.errors import UsageError


@pytest.mark.parametrize(
    ("pattern", "out", "kept"),
    [
        ("foo", ["foo", "foo/bar"], ["a/foo", "foobar"]),
        ("/foo/", ["foo", "foo/bar"], ["a/foo"]),
        ("./a/../foo//bar", ["foo/bar"], ["foo"]),
        ("*.log", ["x.log"], ["a/x.log"]),
        ("*/x", ["a/x"], ["x", "a/b/x"]),
        ("**/x", ["x", "a/x", "a/b/x", "a/x/y"], ["ax", "a/bx"]),
        ("**x", ["x", "ax", "a/bx"], ["xa"]),
        ("foo/**", ["foo/a", "foo/a/b"], ["foo"]),
        ("**", ["a", "a/b"], []),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["ab"]),
        ("a?c", ["abc"], ["a/c", "ac"]),
        ("[a-c]x", ["ax", "cx"], ["dx"]),
        ("[^a]x", ["bx"], ["ax"]),
        ("\\*x", ["*x"], ["ax"]),
        ("a.b", ["a.b"], ["axb"]),
        ("# comment", [], ["# comment", "comment"]),
        (" #x", ["#x"], []),
        ("..\n../foo\n.", [], ["a", "foo"]),
        ("\xef\xbb\xbfx \r", ["x"], []),
    ],
)
def test_patterns(pattern: str, out: list[str], kept: list[str]) -> None:
    ignore = Ignore.parse(pattern.encode("latin-1"))
    assert [path for path in (*out, *kept) if ignore.excludes(path)] == out


def test_the_last_match_decides_and_folders_count_for_what_is_in_them() -> None:
    ignore = Ignore.parse(b"docs\n!docs/keep\ndocs/keep/not\n!README.md\n*.md\n")
    assert ignore.excludes("docs/a")
    assert not ignore.excludes("docs/keep/a")
    assert ignore.excludes("docs/keep/not/a")
    assert ignore.excludes("README.md")


def test_everything_but() -> None:
    ignore = Ignore.parse(b"**\n!src\n!go.*\n")
    assert [path for path in ("src/a/b", "go.mod", "x", "x/src") if not ignore.excludes(path)] == ["src/a/b", "go.mod"]


def test_no_file_excludes_nothing_and_the_context_is_never_left_out() -> None:
    assert not Ignore().excludes("a/b")
    assert not Ignore.parse(b"**").excludes(".")


def test_a_folder_is_pruned_only_when_nothing_in_it_can_come_back() -> None:
    ignore = Ignore.parse(b"node_modules\nvendor\ndata\n!vendor/keep/me\n!data*/x\n")
    folders = ("node_modules", "vendor", "vendor/keep", "vendor/other", "data", "data/deep/er", "src")
    assert [folder for folder in folders if ignore.prunable(folder)] == ["node_modules", "vendor/other", "data/deep/er"]
    assert not Ignore.parse(b"a\n!**/x").prunable("a")


@pytest.mark.parametrize("pattern", ["!", "/!", "[a", "[]a]", "[^]", "[b-a]", "[-a]", "a\\", "\\d*", "[a*]"])
def test_what_docker_refuses_or_reads_in_a_strange_way_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError) as caught:
        Ignore.parse(f"ok\n{pattern}\n".encode(), "x.dockerignore")
    assert caught.value.where == "x.dockerignore:2"


LINES = st.lists(st.text(alphabet="ab/*?!.[]^-\\ ", max_size=6), max_size=4)
PATHS = st.lists(st.sampled_from(["a", "b", "ab", ".a", "-"]), min_size=1, max_size=4)


@settings(max_examples=300, deadline=None)
@given(LINES, PATHS)
def test_nothing_below_a_pruned_folder_would_be_sent(lines: list[str], path: list[str]) -> None:
    try:
        ignore = Ignore.parse("\n".join(lines).encode())
    except UsageError:
        return
    if any(ignore.prunable("/".join(path[:depth])) for depth in range(1, len(path))):
        assert ignore.excludes("/".join(path))
