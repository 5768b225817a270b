"""What rollout tests share: images of an application in several states of health, and one rollout from values.

Run as a program, it does one rollout and kills itself after the N-th call that changes something at the engine.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import msgspec

from pipeline.core.cancel import Cancel
from pipeline.core.handoff import HandOff
from pipeline.errors import PipelineError
from pipeline.rollout import outcome, runner
from pipeline.rollout.backends.docker import Docker
from pipeline.rollout.journal import Journal
from pipeline.tools.docker.client import connect

BUSYBOX = Path("/bin/busybox")
SERVE = 'CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]'
# `STOPSIGNAL SIGKILL`: busybox ignores SIGTERM as process 1, and a test need not wait for that.
DOCKERFILE = """FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /www /empty && echo {version} > /www/version && echo ok > /www/healthz
ENV FROM_IMAGE={version} SHARED=image
LABEL of.image={version}
VOLUME /kept
STOPSIGNAL SIGKILL
{rest}
"""
SICK = r"""CMD ["sh", "-c", "echo starting; echo key=$API_KEY; printf 'bad \\033[31mred\\n::error::no\\n'; \
exec httpd -f -p 8080 -h /empty"]"""
KINDS = {
    "one": SERVE,
    "two": SERVE,
    "sick": SICK,
    "crash": 'CMD ["sh", "-c", "echo dying; exit 7"]',
    "broken": 'CMD ["/not/there"]',
}


def build(client: docker.DockerClient, folder: Path, address: str, kind: str, auth: dict[str, str] | None = None) -> str:
    """Build and push one image; `repository@sha256:…`."""
    context = folder / kind
    context.mkdir()
    os.link(BUSYBOX, context / "busybox") if BUSYBOX.stat().st_dev == folder.stat().st_dev else (context / "busybox").write_bytes(
        BUSYBOX.read_bytes()
    )
    (context / "busybox").chmod(0o755)
    (context / "Dockerfile").write_text(DOCKERFILE.format(version=kind, rest=KINDS[kind]))
    repository = f"{address}/rc-test-{kind}"
    subprocess.run(
        ["docker", "buildx", "build", "--load", "--provenance=false", "-q", "-t", repository, str(context)], check=True, capture_output=True
    )
    pushed = client.api.push(repository, tag="latest", stream=True, decode=True, auth_config=auth or {})
    digest = next(one["aux"]["Digest"] for one in pushed if "aux" in one)
    return f"{repository}@{digest}"


@dataclass
class Done:
    ended: runner.Ended
    outcome: str
    error: PipelineError | None
    said: list[str]


def roll_out(
    handoff: HandOff, folder: Path, cancel: Cancel | None = None, environ: dict[str, str] | None = None, kill_after: int = 0
) -> Done:
    """One rollout on the engine of this environment."""
    said: list[str] = []
    with contextlib.closing(connect(os.environ)) as client:
        if kill_after:
            client.api.hooks["response"].append(_Killer(kill_after))
        backend = Docker(client, handoff, folder, environ or {}, {})
        ended = runner.roll_out(handoff, backend, Journal(folder / "journal.jsonl", handoff.rollout), cancel or Cancel(), said.append)
    return Done(ended, outcome.outcome(ended), outcome.error(ended, handoff), said)


class _Killer:
    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, response: Any, *args: object, **named: object) -> None:
        if response.request.method in {"POST", "DELETE", "PUT"}:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    roll_out(msgspec.json.decode(sys.argv[1], type=HandOff), Path(sys.argv[2]), kill_after=int(sys.argv[3]))
