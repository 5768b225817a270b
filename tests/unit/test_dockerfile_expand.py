"""Variables, as BuildKit expands them."""

from __future__ import annotations

import pytest

from pipeline.core.dockerfile.expand import Rules, expand, split, unset
from pipeline.core.dockerfile.model import BadSyntaxError

VALUES = {"x": "one", "empty": "", "path": "a/b/a.tar.gz", "two": "p q"}


@pytest.mark.parametrize(
    ("word", "result"),
    [
        ("plain", "plain"),
        ("$x", "one"),
        ("${x}y$x.", "oney" + "one."),
        ("$xy", ""),
        ("a$", "a$"),
        ("${no:-d}", "d"),
        ("${no:-$x}", "one"),
        ("${empty:-d}", "d"),
        ("${empty-d}", ""),
        ("${x:+set}${no:+set}", "set"),
        ("${empty:+set}${empty+set}", "set"),
        ("${x:?no}", "one"),
        ("${path#*/}", "b/a.tar.gz"),
        ("${path##*/}", "a.tar.gz"),
        ("${path%.*}", "a/b/a.tar"),
        ("${path%%.*}", "a/b/a"),
        ("${path/a/z}", "z/b/a.tar.gz"),
        ("${path//a/z}", "z/b/z.tzr.gz"),
        ("${path//\\//_}", "a_b_a.tar.gz"),
        ("'$x'", "$x"),
        ('"$x \\$x \\n"', "one $x \\n"),
        ("\\$x", "$x"),
        ("a\\ b", "a b"),
    ],
)
def test_forms(word: str, result: str) -> None:
    assert expand(word, VALUES, Rules()) == result


def test_the_escape_is_the_one_of_the_file() -> None:
    assert expand("c:\\$x`$x", VALUES, Rules("`")) == "c:\\one$x"


@pytest.mark.parametrize(
    ("word", "result"), [("$no/$x", "$no/one"), ("${no}", "${no}"), ("${no:-$x}", "${no:-one}"), ("${no#a}", "${no#a}")]
)
def test_what_has_no_value_can_stay(word: str, result: str) -> None:
    assert expand(word, VALUES, Rules(keep_unset=True)) == result


@pytest.mark.parametrize(
    "word", ["${", "${x", "${}", "${:x}", "${x:=y}", "${x^y}", "'a", '"a', "${no?}", "${empty:?}", "${x:#a}", "${x#\\a}"]
)
def test_what_buildkit_refuses_is_refused(word: str) -> None:
    with pytest.raises(BadSyntaxError):
        expand(word, VALUES, Rules())


def test_a_value_with_spaces_becomes_several_words_unless_it_is_quoted() -> None:
    assert split("a $two b", VALUES, Rules()) == ["a", "p", "q", "b"]
    assert split('"$two" c\\ d', VALUES, Rules()) == ["p q", "c d"]


def test_the_missing_are_named() -> None:
    assert unset("$no ${nor:-d} $x", VALUES, Rules()) == ("no", "nor")
