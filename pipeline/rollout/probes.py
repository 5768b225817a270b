"""Asking a new version whether it serves: over HTTP, TCP or by a program inside it."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from urllib.parse import SplitResult, urlsplit

from pipeline.core.cancel import Cancel
from pipeline.core.handoff import Probe
from pipeline.core.text import line, printable
from pipeline.errors import UsageError
from pipeline.rollout.backend import Backend

ATTEMPT_SECONDS = 5.0
EXEC_POLL_SECONDS = 0.05


def check(probe: Probe) -> None:
    """Raise `UsageError` unless the probe says exactly one thing to ask, and what it says can be asked."""
    if sum(map(bool, (probe.http, probe.tcp, probe.exec))) != 1:
        raise UsageError("a probe needs exactly one of http, tcp and exec", mend='write for example probe = { tcp = "127.0.0.1:8080" }')
    if probe.http:
        _url(probe.http)
    if probe.tcp:
        _address(probe.tcp)
    if probe.successes < 1 or probe.interval <= 0 or probe.timeout <= 0:
        raise UsageError("a probe needs at least one success, and an interval and a timeout above zero")


def until_healthy(probe: Probe, backend: Backend, cancel: Cancel, *, successes: int, timeout: float) -> str:
    """Ask at each interval until `successes` good answers in a row; empty, or why it is not healthy.

    `timeout` in seconds bounds the whole, but for a second that the last question is always given. A container that does not run,
    or was restarted, is not waited for. Raises `ToolError`, `CancelledError`.
    """
    deadline, row, last = time.monotonic() + timeout, 0, "it was not asked in time"
    while True:
        cancel.check()
        trouble = backend.trouble()
        if trouble:
            return trouble
        left = deadline - time.monotonic()
        if left <= 0:
            return f"not healthy within {timeout:g} s: {last}"
        last = attempt(probe, backend, cancel, min(ATTEMPT_SECONDS, max(1.0, left)))
        row = 0 if last else row + 1
        if row >= successes:
            return backend.trouble()
        last = last or f"{row} of {successes} good answers in a row"
        cancel.wait(min(probe.interval, max(0.0, deadline - time.monotonic())))


def attempt(probe: Probe, backend: Backend, cancel: Cancel, seconds: float) -> str:
    """One question, answered within `seconds`; empty for a good answer, else what was wrong."""
    if probe.http:
        return _http(probe.http, seconds)
    if probe.tcp:
        return _tcp(probe.tcp, seconds)
    return _exec(probe.exec, backend, cancel, seconds)


def _http(url: str, seconds: float) -> str:
    """Good is 2xx. Redirects are not followed, and the body is not read: the status line is the answer."""
    parts = _url(url)
    host, path = parts.hostname or "", parts.path or "/"
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=ssl.create_default_context())
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=seconds)
    with contextlib.closing(connection):
        try:
            connection.request("GET", f"{path}?{parts.query}" if parts.query else path, headers={"Accept": "*/*", "Connection": "close"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"no HTTP answer from {url}: {line(str(error) or type(error).__name__, 200)}"
    return "" if 200 <= status < 300 else f"{url} answered with status {status}"


def _tcp(address: str, seconds: float) -> str:
    try:
        socket.create_connection(_address(address), timeout=seconds).close()
    except OSError as error:
        return f"no connection to {address}: {line(str(error), 200)}"
    return ""


def _exec(argv: tuple[str, ...], backend: Backend, cancel: Cancel, seconds: float) -> str:
    deadline = time.monotonic() + seconds
    handle = backend.begin(argv)
    while (code := backend.ended(handle)) is None:
        if time.monotonic() > deadline:
            return f"{line(argv[0], 100)} did not end within {seconds:.1f} s"
        cancel.wait(EXEC_POLL_SECONDS)
        cancel.check()
    return "" if code == 0 else f"{line(argv[0], 100)} ended with exit code {code}"


def _url(text: str) -> SplitResult:
    mend = "write it as http://127.0.0.1:8080/healthz"
    try:
        parts = urlsplit(text)
        good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.username
    except ValueError:
        good = None
    if not good or not printable(text) or " " in text or not text.isascii():
        raise UsageError(f"{line(text, 200)} is not a URL that a probe can ask", mend=mend)
    return parts


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"{line(text, 200)} is not host:port", mend="write it as 127.0.0.1:8080")
    return host.strip("[]"), int(port)
