"""Every call that leaves the process, enumerated: wrappers around each external program, and proxies before the registry and the engine.

A `Recorder` numbers the start and the end of each program and of each HTTP request. Told to, it kills the process it watches
(SIGKILL) at one of them. The number of calls is what was seen, never a list kept by hand.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("docker", "git", "trivy", "opa", "hadolint")
_HEAD = re.compile(rb"(?:^|\r\n\r\n|\A)(GET|HEAD|POST|PUT|PATCH|DELETE) (\S+) HTTP/1\.1\r\n")

_WRAPPER = """#!{python} -IS
import os, socket, subprocess, sys
def tell(what):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect({address!r})
        s.sendall((what + "\\n").encode())
        return s.recv(16) == b"go"
name = {name!r} + " " + " ".join(sys.argv[1:4])
if not tell("start " + name): os._exit(137)
code = subprocess.call([{program!r}, *sys.argv[1:]])
if not tell("end " + name): os._exit(137)
os._exit(code if code >= 0 else 128 - code)
"""


class Recorder:
    """Counts events; at number `kill_at` (from 1) the watched process is killed before the event goes on."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.kill_at = 0
        self.pid = 0
        self.killed = ""
        self._lock = threading.Lock()

    def begin(self, kill_at: int = 0) -> None:
        with self._lock:
            self.events, self.kill_at, self.pid, self.killed = [], kill_at, 0, ""

    def event(self, what: str) -> bool:
        """Count one event; False when the watched process is dead, so that nothing more is done for it."""
        with self._lock:
            if self.killed:
                return False
            self.events.append(what)
            if len(self.events) == self.kill_at and self.pid:
                self.killed = what
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
                return False
            return True


@contextlib.contextmanager
def wrappers(folder: Path, recorder: Recorder, path: str) -> Iterator[str]:
    """Put a wrapper before each program on `path`; yields the PATH to give to the watched process."""
    folder.mkdir()
    address = str(folder / "s")
    for name in PROGRAMS:
        program = shutil.which(name, path=path)
        if program:
            wrapper = folder / name
            wrapper.write_text(_WRAPPER.format(python=sys.executable, address=address, name=name, program=program))
            wrapper.chmod(0o755)
    with _listening(socket.AF_UNIX, address, lambda connection: _answer(connection, recorder)):
        yield f"{folder}:{path}"


def _answer(connection: socket.socket, recorder: Recorder) -> None:
    with connection:
        what = connection.makefile().readline().strip()
        connection.sendall(b"go" if recorder.event(what) else b"die")


@contextlib.contextmanager
def registry_proxy(upstream: str, recorder: Recorder) -> Iterator[str]:
    """A proxy before a registry on `host:port`; yields its own `127.0.0.1:port`."""
    host, port = upstream.rsplit(":", 1)

    def connect() -> socket.socket:
        return socket.create_connection((host, int(port)))

    with _listening(socket.AF_INET, ("127.0.0.1", 0), lambda one: _relay(one, connect, recorder, "registry")) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def engine_proxy(path: Path, upstream: str, recorder: Recorder) -> Iterator[str]:
    """A proxy before an engine's socket; yields the DOCKER_HOST to give to the watched process."""

    def connect() -> socket.socket:
        there = socket.socket(socket.AF_UNIX)
        there.connect(upstream)
        return there

    with _listening(socket.AF_UNIX, str(path), lambda one: _relay(one, connect, recorder, "engine")):
        yield f"unix://{path}"


def _relay(client: socket.socket, connect: object, recorder: Recorder, name: str) -> None:
    """Pass bytes both ways; note where a request starts, and where its answer does. After an upgrade only bytes pass."""
    assert callable(connect)
    with client, connect() as server, selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, server)
        selector.register(server, selectors.EVENT_READ, client)
        open_request = ""
        upgraded = False
        while True:
            for key, _ in selector.select():
                source: socket.socket = key.fileobj  # type: ignore[assignment]
                try:
                    data = source.recv(1 << 16)
                except OSError:
                    return
                if not data:
                    return
                if source is client and not upgraded:
                    found = _HEAD.search(data)
                    if found:
                        open_request = f"{found[1].decode()} {found[2].decode().split('?')[0]}"
                        upgraded = b"\r\nupgrade:" in data.lower()
                        if not recorder.event(f"start {name} {open_request}"):
                            return
                elif open_request:
                    if not recorder.event(f"end {name} {open_request}"):
                        return
                    open_request = ""
                try:
                    key.data.sendall(data)
                except OSError:
                    return


@contextlib.contextmanager
def _listening(family: int, address: object, serve: object) -> Iterator[socket.socket]:
    assert callable(serve)
    listener = socket.socket(family)
    listener.bind(address)  # type: ignore[arg-type]
    listener.listen(64)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_quietly, args=(serve, connection), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def _quietly(serve: object, connection: socket.socket) -> None:
    assert callable(serve)
    with contextlib.suppress(OSError):
        serve(connection)
