"""Where the program starts and ends: signals in, exit codes out."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from pipeline.core.cancel import Cancel


def run() -> None:
    """The console script."""
    cancel = Cancel()

    def stop(number: int, _: FrameType | None) -> None:
        if cancel.requested:
            os._exit(128 + number)
        cancel.set(number)
        os.write(2, b"\nstopping: what runs is ended first; the same signal again stops at once\n")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    from pipeline.cli.main import main

    code = main(sys.argv[1:], dict(os.environ), cancel)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


if __name__ == "__main__":
    run()
