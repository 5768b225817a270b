"""Probes against small real servers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, cast

import pytest

from pipeline.core.cancel import Cancel
from pipeline.core.handoff import Probe
from pipeline.errors import CancelledError, UsageError
from pipeline.rollout.backend import Backend
from pipeline.rollout.probes import attempt, check, until_healthy


class Inside:
    """The part of a backend that probes use: a container that ends its programs with given codes, then stops running."""

    def __init__(self, codes: tuple[int | None, ...] = (), lives: int = 10_000) -> None:
        self.codes, self.lives, self.asked = list(codes), lives, 0

    def trouble(self) -> str:
        self.lives -= 1
        return "" if self.lives >= 0 else "the container does not run"

    def begin(self, argv: tuple[str, ...]) -> str:
        self.asked += 1
        return "handle"

    def ended(self, handle: str) -> int | None:
        return self.codes.pop(0) if self.codes else 0


def inside(*codes: int | None, lives: int = 10_000) -> Backend:
    return cast(Backend, Inside(codes, lives))


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = int(self.path.rsplit("/", 1)[-1].partition("?")[0])
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/200")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answers) as one:
        thread = threading.Thread(target=one.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()
        thread.join()


@contextlib.contextmanager
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(("path", "good"), [("200", True), ("204?a=b", True), ("302", False), ("404", False), ("500", False)])
def test_http_is_good_at_2xx_and_follows_nothing(server: str, path: str, good: bool) -> None:
    said = attempt(Probe(http=f"{server}/{path}"), inside(), Cancel(), 2)
    assert bool(said) != good
    if not good:
        assert f"status {path}" in said


def test_a_server_that_never_answers_is_left_in_time() -> None:
    with silent() as address:
        started = time.monotonic()
        assert "no HTTP answer" in attempt(Probe(http=f"http://{address}/"), inside(), Cancel(), 0.2)
        assert time.monotonic() - started < 2
        assert attempt(Probe(tcp=address), inside(), Cancel(), 1) == ""
    assert "no connection" in attempt(Probe(tcp=address), inside(), Cancel(), 1)


def test_what_is_no_http_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            taken, _ = listening.accept()
            with taken:
                taken.recv(1000)
                taken.sendall(b"\x1b[31mhello\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        said = attempt(Probe(http=f"http://127.0.0.1:{listening.getsockname()[1]}"), inside(), Cancel(), 2)
        thread.join()
    assert "no HTTP answer" in said
    assert "\x1b" not in said


def test_a_program_inside_is_waited_for() -> None:
    probe = Probe(exec=("ready",))
    assert attempt(probe, inside(None, None, 0), Cancel(), 2) == ""
    assert attempt(probe, inside(None, 3), Cancel(), 2) == "ready ended with exit code 3"
    assert "did not end" in attempt(probe, inside(*[None] * 100), Cancel(), 0.1)


def test_successes_count_in_a_row() -> None:
    container = Inside((0, 1, 0, 0, 1, 0, 0, 0))
    probe = Probe(exec=("ready",), interval=0.001)
    assert until_healthy(probe, cast(Backend, container), Cancel(), successes=3, timeout=5) == ""
    assert container.asked == 8


def test_a_container_that_ends_is_not_waited_for() -> None:
    probe = Probe(exec=("ready",), interval=0.001)
    started = time.monotonic()
    assert until_healthy(probe, inside(*[1] * 100, lives=3), Cancel(), successes=1, timeout=60) == "the container does not run"
    assert until_healthy(probe, inside(lives=1), Cancel(), successes=1, timeout=60) == "the container does not run"
    assert time.monotonic() - started < 5


def test_it_gives_up_and_says_why() -> None:
    probe = Probe(exec=("ready",), interval=0.01)
    assert until_healthy(probe, inside(*[1] * 1000), Cancel(), successes=1, timeout=0.1).startswith("not healthy within 0.1 s: ready ended")


def test_a_signal_ends_the_wait() -> None:
    cancel = Cancel()
    threading.Timer(0.1, cancel.set, [15]).start()
    with pytest.raises(CancelledError):
        until_healthy(Probe(exec=("ready",), interval=60), inside(1), cancel, successes=1, timeout=60)


@pytest.mark.parametrize(
    "probe",
    [
        Probe(),
        Probe(tcp="a:1", http="http://a"),
        Probe(http="ftp://a"),
        Probe(http="http://"),
        Probe(http="http://a:99999"),
        Probe(http="http://me:pw@a"),
        Probe(http="http://a/\r\nX: y"),
        Probe(http="http://a/b c"),
        Probe(tcp="a"),
        Probe(tcp=":80"),
        Probe(tcp="a:0"),
        Probe(tcp="a:1", successes=0),
        Probe(tcp="a:1", interval=0),
    ],
    ids=str,
)
def test_a_probe_that_cannot_be_asked_is_refused(probe: Probe) -> None:
    with pytest.raises(UsageError):
        check(probe)


def test_good_probes_are_taken() -> None:
    for probe in (Probe(http="https://a.example/x?y=1"), Probe(tcp="[::1]:80"), Probe(exec=("a",))):
        check(probe)
