"""Running `pipeline` as a user does: as a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Answer:
    code: int
    out: str
    err: str


def pipeline(*arguments: str, cwd: Path, env: Mapping[str, str], timeout: float = 300) -> Answer:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], cwd=cwd, env=dict(env), capture_output=True, timeout=timeout, check=False
    )
    answer = Answer(done.returncode, done.stdout.decode(), done.stderr.decode())
    assert "Traceback" not in answer.err, answer.err
    return answer
