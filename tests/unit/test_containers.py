from __future__ import annotations

import contextlib
import json

import pytest

from pipeline.tools.docker.client import connect
from pipeline.tools.docker.containers import StartRefusedError, start
from tests.servers import Asked, Reply, serve

LOST = "unable to start container process: waiting for init preliminary setup: read init-p: connection reset by peer"


@pytest.mark.parametrize(
    ("said", "failures", "starts", "refused"), [(LOST, 2, 3, False), (LOST, 9, 3, True), ("no such program", 9, 1, True)]
)
def test_a_start_that_the_runtime_lost_is_tried_again_and_no_other(said: str, failures: int, starts: int, refused: bool) -> None:
    asked: list[str] = []

    def engine(request: Asked) -> Reply:
        if request.path.endswith("/version"):
            return Reply(body=json.dumps({"ApiVersion": "1.45"}).encode(), headers={"Content-Type": "application/json"})
        asked.append(request.path)
        if len(asked) > failures:
            return Reply(204)
        return Reply(500, json.dumps({"message": said}).encode(), {"Content-Type": "application/json"})

    ending = pytest.raises(StartRefusedError) if refused else contextlib.nullcontext()
    with serve(engine) as server, contextlib.closing(connect({}, f"tcp://{server.address}")) as client, ending:
        start(client, "one")
    assert len(asked) == starts
