"""Where things stand in a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import positions

FILE = """\
# a comment

[scan]
timeout = "5m"   # one key
fail-on = [
  "HIGH",

  # between
  "LOW",
]

[policy]
timeout = "5m"
release.deploy = ["a", "b"]
"quoted key" = 1
inline = { a = 1, b = { c = 2 } }
open = { list = [
  1,
  2,
] }
text = \"\"\"
[not.a.table]
a = 1
\"\"\"

[[entry]]
a = 1

[[entry]]
a = 2
tags = [
  ["x"],
  [
    "y",
  ],
]
last = true
"""

EXPECTED: dict[positions.KeyPath, int] = {
    ("scan",): 3,
    ("scan", "timeout"): 4,
    ("scan", "fail-on"): 5,
    ("scan", "fail-on", 0): 6,
    ("scan", "fail-on", 1): 9,
    ("policy",): 12,
    ("policy", "timeout"): 13,
    ("policy", "release"): 14,
    ("policy", "release", "deploy", 1): 14,
    ("policy", "quoted key"): 15,
    ("policy", "inline", "b", "c"): 16,
    ("policy", "open"): 17,
    ("policy", "open", "list", 1): 19,
    ("policy", "text"): 21,
    ("entry", 0): 26,
    ("entry", 0, "a"): 27,
    ("entry", 1): 29,
    ("entry", 1, "a"): 30,
    ("entry", 1, "tags"): 31,
    ("entry", 1, "tags", 0): 32,
    ("entry", 1, "last"): 37,
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines(newline: str) -> None:
    found = positions.lines(FILE.replace("\n", newline))
    assert {path: found.get(path) for path in EXPECTED} == EXPECTED


def test_every_path_has_a_line() -> None:
    assert set(positions.paths(tomllib.loads(FILE))) == set(positions.lines(FILE))


def test_lines_up_to_where_the_file_breaks() -> None:
    found = positions.lines('[a]\nb = 1\n[c\nd = "')
    assert found == {("a",): 1, ("a", "b"): 2}


def test_nearest_is_the_table_around() -> None:
    found = positions.lines("[a.b]\nc = 1\n")
    assert positions.nearest(found, ("a", "b", "missing", 3)) == 1
    assert positions.nearest(found, ("z",)) == 0


def quoted(key: str) -> str:
    return '"' + "".join(f"\\U{ord(character):08X}" for character in key) + '"'


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), st.integers(-99, 99) | st.booleans(), max_size=8))
def test_one_key_a_line(keys: Mapping[str, int | bool]) -> None:
    rows = [f"{quoted(key)} = {str(value).lower()}" for key, value in keys.items()]
    assert positions.lines("\n".join(rows)) == {(key,): number for number, key in enumerate(keys, 1)}


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nb = \n", 2), ("a = 1\na = 2", 2), ("[a]\n[b]\n[a]", 3), ('a = 1\n\nb = """\nx', 3), ("x = [\n1,\n", 1), ("[a]\nb = 'c", 2)],
)
def test_the_line_of_a_syntax_error(text: str, line: int) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    assert positions.of_syntax_error(text, caught.value) == line


@pytest.mark.parametrize(
    ("path", "text"), [(("a", "b-c"), "a.b-c"), (("waiver", 1, "id"), "waiver[1].id"), (("args", "a key"), 'args."a key"'), ((), "")]
)
def test_dotted(path: positions.KeyPath, text: str) -> None:
    assert positions.dotted(path) == text
