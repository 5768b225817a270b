from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from pipeline.core.cancel import Cancel
from pipeline.errors import CancelledError, ToolError
from pipeline.tools import process

ENV = process.environment({"PATH": os.environ["PATH"]})


def sh(script: str, **more: object) -> process.Completed:
    options: dict[str, object] = {"env": ENV, "timeout": 20, "cancel": Cancel()} | more
    return process.run(["sh", "-c", script], **options)  # type: ignore[arg-type]


def test_output_is_kept_apart_and_whole() -> None:
    done = sh("cat; echo error >&2", stdin=b"x" * 2_000_000)
    assert (len(done.stdout), done.stderr, done.code) == (2_000_000, b"error\n", 0)


def test_lines_come_one_by_one_however_they_are_written() -> None:
    lines: list[str] = []
    sh("printf 'one\\ntw' >&2; sleep 0.05; printf 'o\\nthree' >&2", on_line=lines.append)
    assert lines == ["one", "two", "three"]


def test_an_exit_code_is_an_error_that_quotes_the_end() -> None:
    with pytest.raises(ToolError, match=r"exit code 3\n(.|\n)*the reason") as caught:
        sh("echo the reason >&2; exit 3")
    assert caught.value.code == 3
    assert sh("exit 3", check=False).code == 3


def test_a_missing_program_is_an_error_with_a_mend() -> None:
    with pytest.raises(ToolError, match="not installed"):
        process.run(["no-such-program-of-ours"], env=ENV, timeout=5, cancel=Cancel())


def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(ToolError, match="did not end in time"):
        sh(f"sleep 60 & echo $! > {tmp_path}/pid; wait", timeout=0.5)
    assert time.monotonic() - started < 5
    pid = int((tmp_path / "pid").read_text())
    time.sleep(0.1)
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_cancel_ends_the_child() -> None:
    cancel = Cancel()
    threading.Timer(0.3, cancel.set, [signal.SIGTERM]).start()
    with pytest.raises(CancelledError) as caught:
        sh("sleep 60", cancel=cancel)
    assert caught.value.code == 143


def test_a_child_sees_named_variables_only(tmp_path: Path) -> None:
    environ = {"PATH": os.environ["PATH"], "CI_JOB_TOKEN": "secret", "HTTPS_PROXY": "http://proxy", "HOME": "/home/someone", "WANTED": "1"}
    done = sh("env", env=process.environment(environ, "WANTED", home=tmp_path, GIVEN="2"))
    seen = dict(line.split("=", 1) for line in done.text.splitlines())
    assert "CI_JOB_TOKEN" not in seen
    assert (seen["HOME"], seen["WANTED"], seen["GIVEN"], seen["HTTPS_PROXY"]) == (str(tmp_path), "1", "2", "http://proxy")


def test_a_child_that_does_not_read_its_input_is_no_error() -> None:
    assert sh("exec 0<&-; sleep 0.1; echo ok", stdin=b"x" * 5_000_000).text == "ok\n"


def test_a_program_left_behind_that_holds_the_pipes_is_not_waited_for(tmp_path: Path) -> None:
    started = time.monotonic()
    done = sh(f"sleep 30 & echo $! > {tmp_path}/pid; echo out; echo error >&2", timeout=20)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert (done.code, done.stdout, done.stderr) == (0, b"out\n", b"error\n")
    assert time.monotonic() - started < 10


def test_what_comes_shortly_after_the_program_has_ended_is_kept() -> None:
    assert sh("(sleep 0.5; echo late) & echo early").text == "early\nlate\n"


def test_a_program_that_has_ended_in_time_did_so_whatever_it_left(tmp_path: Path) -> None:
    done = sh(f"sleep 30 & echo $! > {tmp_path}/pid; echo out", timeout=1)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert done.text == "out\n"
