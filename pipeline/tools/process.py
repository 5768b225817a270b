"""Running a program: argument lists, a timeout, a named environment, its own process group, its output as data."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pipeline.core.cancel import Cancel
from pipeline.core.text import block
from pipeline.errors import ToolError

log = logging.getLogger(__name__)

GRACE_SECONDS = 10.0
LINGER_SECONDS = 2.0
KEEP_BYTES = 256 * 1024 * 1024
# What any program may see of our environment; everything else is given by name.
NAMED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended. `stdout` and `stderr` are what it wrote, undecoded."""

    argv: tuple[str, ...]
    code: int
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8", "replace")

    @property
    def error_text(self) -> str:
        """The last of what it said, printable, for an error message: stderr, or stdout where stderr is empty."""
        said = (self.stderr or self.stdout).decode("utf-8", "replace").strip()
        return block(said, 2000)


def environment(environ: Mapping[str, str], *names: str, home: Path | None = None, **values: str) -> dict[str, str]:
    """The environment of a child: the always allowed names, proxies, `names` where they are set, and `values`.

    `home` replaces HOME; without it HOME is kept, so give gates an empty private folder.
    """
    allowed = (*NAMED, *PROXIES, *names) if home else (*NAMED, *PROXIES, "HOME", *names)
    result = {name: environ[name] for name in allowed if name in environ}
    if home:
        result["HOME"] = str(home)
    return result | values


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    timeout: float,
    cancel: Cancel,
    cwd: Path | None = None,
    stdin: bytes = b"",
    on_line: Callable[[str], None] | None = None,
    check: bool = True,
) -> Completed:
    """Run a program to its end and keep what it wrote.

    `timeout` in seconds. `on_line` gets each line of stderr as it comes, raw: print it through the console only. With `check`,
    an exit code other than 0 raises. Raises `ToolError`: missing program, timeout, exit code; `CancelledError`.
    """
    cancel.check()
    log.debug("run %s", list(argv))
    started = time.monotonic()
    try:
        child = subprocess.Popen(
            list(argv),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        if cwd is not None and not cwd.is_dir():
            raise ToolError(f"the folder {cwd} does not exist", where=argv[0]) from error
        raise ToolError(f"{argv[0]} is not installed", mend="run `pipeline doctor` to see what is missing") from error
    except OSError as error:
        raise ToolError(f"{argv[0]} cannot be started: {error.strerror}", mend="run `pipeline doctor`") from error
    try:
        stdout, stderr = _Conversation(child, stdin, Path(argv[0]).name, on_line).hold(started + timeout, cancel)
    except BaseException:
        _end(child)
        raise
    done = Completed(tuple(argv), child.wait(), stdout, stderr, time.monotonic() - started)
    log.debug("exit %d after %.2f s: %s", done.code, done.seconds, argv[0])
    if check and done.code != 0:
        raise ToolError(f"{Path(argv[0]).name} ended with exit code {done.code}\n{done.error_text}".rstrip(), where=" ".join(argv[:3]))
    return done


class _Conversation:
    """Feeds a child's stdin and drains its pipes until all are closed, within the deadline; a program that the child left behind may
    hold them open, and is not waited for."""

    def __init__(self, child: subprocess.Popen[bytes], stdin: bytes, name: str, on_line: Callable[[str], None] | None) -> None:
        assert child.stdin and child.stdout and child.stderr  # noqa: S101 - all three are pipes: the caller made them
        self.child, self.name, self.on_line = child, name, on_line
        self.input: IO[bytes] = child.stdin
        self.output: IO[bytes] = child.stdout
        self.todo = memoryview(stdin)
        self.kept: dict[IO[bytes], bytearray] = {child.stdout: bytearray(), child.stderr: bytearray()}
        self.partial = b""
        self.selector = selectors.DefaultSelector()
        for stream in self.kept:
            self.selector.register(stream, selectors.EVENT_READ)
        os.set_blocking(self.input.fileno(), False)
        self.selector.register(self.input, selectors.EVENT_WRITE)

    def hold(self, deadline: float, cancel: Cancel) -> tuple[bytes, bytes]:
        last: float | None = None
        with self.selector:
            while self.selector.get_map() and (last is None or time.monotonic() < last):
                for key, _ in self.selector.select(0.2 if last else min(self._left(deadline, cancel), 0.2)):
                    if key.fileobj is self.input:
                        self._feed()
                    else:
                        self._drain(self.output if key.fileobj is self.output else next(s for s in self.kept if s is not self.output))
                cancel.check()
                if last is None and self.child.poll() is not None:
                    last = time.monotonic() + LINGER_SECONDS
        for stream in (self.input, *self.kept):
            with contextlib.suppress(OSError):
                stream.close()
        while self.child.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.child.wait(min(self._left(deadline, cancel), 0.2))
        if self.on_line and self.partial:
            self.on_line(self.partial.decode("utf-8", "replace"))
        stdout, stderr = self.kept.values()
        return bytes(stdout), bytes(stderr)

    def _left(self, deadline: float, cancel: Cancel) -> float:
        cancel.check()
        left = deadline - time.monotonic()
        if left <= 0:
            raise ToolError(f"{self.name} did not end in time and was stopped", mend="see why it hangs, or raise its timeout")
        return left

    def _feed(self) -> None:
        try:
            self.todo = self.todo[os.write(self.input.fileno(), self.todo[: 1 << 16]) :] if self.todo else self.todo
        except BrokenPipeError:
            self.todo = self.todo[:0]
        if not self.todo:
            self.selector.unregister(self.input)
            with contextlib.suppress(BrokenPipeError):
                self.input.close()

    def _drain(self, stream: IO[bytes]) -> None:
        chunk = os.read(stream.fileno(), 1 << 16)
        if not chunk:
            self.selector.unregister(stream)
            stream.close()
            return
        kept = self.kept[stream]
        kept += chunk
        if len(kept) > KEEP_BYTES:
            raise ToolError(f"{self.name} wrote more than {KEEP_BYTES >> 20} MiB and was stopped")
        if self.on_line and stream is not self.output:
            *lines, self.partial = (self.partial + chunk).split(b"\n")
            for one in lines:
                self.on_line(one.decode("utf-8", "replace"))


def _end(child: subprocess.Popen[bytes]) -> None:
    """TERM to the child's whole group, KILL after the grace time."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()
