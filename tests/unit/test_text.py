from __future__ import annotations

import json
import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core import text

NASTY = st.lists(
    st.sampled_from(
        ["\x1b[2J", "\r", "\n", "::set-output name=x::y", "::", "##[error]", "section_start:1:a", "\u202e", "ok ", "\x9b", "\0"]
    )
).map("".join)


@given(NASTY | st.text())
def test_a_line_is_one_harmless_line(raw: str) -> None:
    shown = text.line(raw)
    assert "\n" not in shown
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    assert not re.match(r"\s*::", shown)
    assert "##[" not in shown
    assert "section_start:" not in shown


@given(NASTY | st.text())
def test_each_line_of_a_block_is_harmless(raw: str) -> None:
    for shown in text.block(raw).split("\n"):
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
        assert not re.match(r"\s*::", shown)
        assert "##[" not in shown


def test_lengths_are_bounded_and_a_block_keeps_its_end() -> None:
    assert len(text.line("x" * 9999, 100)) == 100
    assert text.block("a" * 9999 + "the reason", 50).endswith("the reason")


@given(NASTY | st.text())
def test_json_is_printable_and_still_says_it_all(raw: str) -> None:
    shown = text.json_text(msgspec.json.encode({raw: raw}))
    assert re.fullmatch("[ -~]*", shown)
    assert "##[" not in shown
    assert "section_start:" not in shown
    assert json.loads(shown) == {raw: raw}
