from __future__ import annotations

import io
import logging
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.ci.github import Commands
from pipeline.ci.gitlab import Sections
from pipeline.console import Console, attach_handlers

NASTY = "::set-output name=x::y\r\x1b[2Jsection_start:1:x"


def test_secrets_are_replaced_everywhere(tmp_path: Path) -> None:
    stream = io.StringIO()
    console = Console(stream, verbose=True)
    console.secret("hunter2-and-more")
    attach_handlers(console, debug=True, debug_file=tmp_path / "debug.jsonl")
    console.line("the password is hunter2-and-more")
    console.foreign("tool says hunter2-and-more")
    logging.getLogger("pipeline.test").debug("argv %s", ["--password", "hunter2-and-more"])
    attach_handlers(console, debug=False, debug_file=None)
    assert "hunter2" not in stream.getvalue()
    assert "hunter2" not in (tmp_path / "debug.jsonl").read_text()
    assert stat.S_IMODE((tmp_path / "debug.jsonl").stat().st_mode) == 0o600


def test_a_secret_of_several_lines_is_replaced_line_by_line() -> None:
    stream = io.StringIO()
    console = Console(stream, verbose=True)
    console.secret("-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----")
    console.foreign("abcdefgh")
    assert "abcdefgh" not in stream.getvalue()


@pytest.mark.parametrize("dialect", [Commands(), Sections()])
def test_foreign_output_cannot_command_the_job(dialect: Commands | Sections) -> None:
    stream = io.StringIO()
    console = Console(stream, dialect)
    with console.section("build", "Build"):
        console.foreign(NASTY)
    inside = [line for line in stream.getvalue().splitlines() if "set-output" in line]
    assert len(inside) == 1
    assert not re.match(r"\s*::", inside[0])
    assert "section_start" not in inside[0]
    assert "\x1b" not in inside[0]


def test_on_github_foreign_output_stands_between_stop_commands() -> None:
    stream = io.StringIO()
    console = Console(stream, Commands())
    with console.section("build", "Build"):
        console.foreign("output")
    opening, stop, output, resume, closing = stream.getvalue().splitlines()
    assert (opening, closing) == ("::group::Build", "::endgroup::")
    assert stop == f"::stop-commands::{resume.strip(':')}"
    assert output.endswith("output")


def test_steps_side_by_side_do_not_mix() -> None:
    stream = io.StringIO()
    console = Console(stream, verbose=True)

    def step(name: str) -> None:
        with console.step(live=False) as lines:
            for _ in range(50):
                console.line(name)
                console.foreign(name)
            lines.headline.append(f"[{name}]")
        console.show(lines)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(step, "abcd"))
    blocks = re.findall(r"((?:  │ (\w)\n){50})\[(\w)\]\n((?:(\w)\n){50})", stream.getvalue())
    assert sorted(block[1] for block in blocks) == list("abcd")
    assert all(block[1] == block[2] == block[4] for block in blocks)


def test_a_live_step_shows_foreign_output_as_it_comes() -> None:
    stream = io.StringIO()
    console = Console(stream, verbose=True)
    with console.step(live=True) as lines:
        console.line("ours")
        console.foreign("theirs")
        assert stream.getvalue() == "  │ theirs\n"
        lines.headline.append("headline")
    console.show(lines)
    assert stream.getvalue() == "  │ theirs\nheadline\nours\n"


def test_a_terminal_is_not_flooded() -> None:
    quiet, loud = io.StringIO(), io.StringIO()
    Console(quiet).foreign("line")
    Console(loud, verbose=True).foreign("line")
    assert quiet.getvalue() == ""
    assert "line" in loud.getvalue()


def test_a_passing_line_never_stands_before_a_ci_marker() -> None:
    for dialect, shown in ((None, True), (Commands(), False), (Sections(), False)):
        stream = io.StringIO()
        Console(stream, dialect, color=True).busy("Build")
        assert ("Build" in stream.getvalue()) is shown


def test_what_tools_say_in_steps_side_by_side_commands_nothing() -> None:
    stream = io.StringIO()
    console = Console(stream, Commands())
    with console.step(live=False) as lines:
        console.foreign("output")
        console.secret("hunter22")
        lines.headline.append("✓ Stage")
    console.show(lines)
    mask, stop, output, resume, headline = stream.getvalue().splitlines()
    assert (mask, output, headline) == ("::add-mask::hunter22", "  │ output", "✓ Stage")
    assert stop == f"::stop-commands::{resume.strip(':')}"
