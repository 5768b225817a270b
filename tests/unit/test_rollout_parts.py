"""The lease, the journal, secrets by reference, what an end means, and which engine is asked."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pipeline.core.handoff import HandOff, Probe, Secret
from pipeline.errors import PipelineError, RollbackFailedError, RolledBackError, ToolError, UsageError
from pipeline.rollout import lease
from pipeline.rollout.engine import FINAL, State
from pipeline.rollout.journal import Entry, Journal
from pipeline.rollout.outcome import error, outcome
from pipeline.rollout.runner import Ended
from pipeline.rollout.secrets import resolve
from pipeline.tools.docker.client import connect, endpoint

HANDOFF = HandOff("r1", "staging", "docker", "replace", "agent", "1.0.0", "host/agent@sha256:1", Probe(tcp="127.0.0.1:1"))


def test_a_holder_that_lives_is_respected() -> None:
    with subprocess.Popen([sys.executable, "-c", "from pipeline.rollout import lease; print(lease.identity(), flush=True); input()"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:  # fmt: skip
        assert other.stdout
        assert other.stdin
        holder = other.stdout.readline().strip()
        assert not lease.gone(holder)
        other.stdin.write("\n")
    assert lease.gone(holder)


def test_a_holder_elsewhere_is_never_known_to_be_gone() -> None:
    assert not lease.gone("")
    assert not lease.gone("another-boot:pid:[1]/1/1")
    assert lease.gone(lease.identity())
    place, process, started = lease.identity().rsplit("/", 2)
    assert lease.gone(f"{place}/{process}/{int(started) + 1}")


def test_the_journal_has_the_intent_before_the_result(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl", "r1", lambda: datetime(2026, 1, 2, tzinfo=UTC))
    journal.intent("switching", "switch")
    journal.result("switching", "switch", "failed", "no\nluck")
    lines = (tmp_path / "j.jsonl").read_bytes().splitlines()
    entries = [msgspec.json.decode(one, type=Entry) for one in lines]
    assert [(one.phase, one.event, one.detail) for one in entries] == [("intent", "", ""), ("result", "failed", "no\nluck")]
    assert entries[0].time == "2026-01-02T00:00:00.000000Z"


def test_a_journal_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    Journal(tmp_path / "no" / "such" / "folder", "r1").intent("switching", "switch")


def test_secrets_come_from_where_they_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("abc\ndef\n")
    secrets = {"A": Secret(env="FROM"), "B": Secret(file="key")}
    assert resolve(secrets, tmp_path, {"FROM": "x"}) == {"A": "x", "B": "abc\ndef"}


@pytest.mark.parametrize("secret", [Secret(), Secret(env="A", file="b"), Secret(env="UNSET"), Secret(file="absent"), Secret(file="empty")])
def test_a_secret_that_is_not_there_is_an_error(secret: Secret, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(UsageError, match="the secret S"):
        resolve({"S": secret}, tmp_path, {})


def ended(state: State, **changes: Any) -> Ended:
    plain: dict[str, Any] = {
        "unchanged": False,
        "sick": "",
        "error": None,
        "back": None,
        "interrupted": 0,
        "previous": "old",
        "served": True,
    }
    return Ended(**{"state": state, "by_hand": "docker start agent", "log": (), "seconds": 1.0, **plain, **changes})


@pytest.mark.parametrize(
    ("end", "code", "says"),
    [
        (ended(State.ROLLED_BACK, sick="status 500"), 4, "the previous version serves again (old)"),
        (ended(State.ROLLED_BACK, sick="status 500", served=False, previous=""), 4, "nothing served before"),
        (ended(State.ROLLED_BACK, sick="status 500", served=False), 4, "is stopped, as it was before"),
        (ended(State.ROLLED_BACK, error=ToolError("a port is taken")), 3, "a port is taken; the previous version serves again"),
        (ended(State.ROLLED_BACK, interrupted=2), 130, "went back"),
        (ended(State.ROLLBACK_FAILED, sick="status 500", back=ToolError("gone")), 5, "status 500, and going back failed: gone"),
        (ended(State.ROLLBACK_FAILED, interrupted=2, back=ToolError("gone")), 5, "interrupted, and going back failed"),
        (ended(State.SUSPENDED, interrupted=15), 143, "left halfway"),
        (ended(State.SUSPENDED, error=ToolError("no engine")), 3, "the new version serves"),
        (ended(State.FAILED, error=UsageError("no digest")), 2, "no digest"),
        (ended(State.FAILED, interrupted=15), 143, "before the switch"),
    ],
)
def test_what_an_end_means(end: Ended, code: int, says: str) -> None:
    found = error(end, HANDOFF)
    assert isinstance(found, PipelineError)
    assert found.code == code
    assert says in found.what


def test_the_words_for_the_evidence() -> None:
    assert outcome(ended(State.SUCCEEDED)) == "succeeded"
    assert outcome(ended(State.SUCCEEDED, unchanged=True)) == "unchanged"
    assert error(ended(State.SUCCEEDED), HANDOFF) is None
    assert {str(outcome(ended(state))) for state in FINAL} == {"succeeded", "rolled-back", "rollback-failed", "failed"}
    assert isinstance(error(ended(State.ROLLED_BACK), HANDOFF), RolledBackError)
    assert isinstance(error(ended(State.ROLLBACK_FAILED), HANDOFF), RollbackFailedError)


def docker_context(folder: Path, name: str, host: str) -> None:
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}))


def test_the_engine_is_the_docker_commands(tmp_path: Path) -> None:
    docker_context(tmp_path, "far", "tcp://far:1")
    docker_context(tmp_path, "near", "tcp://near:2")
    (tmp_path / "config.json").write_text('{"currentContext": "near", "auths": {}}')
    environ = {"DOCKER_CONFIG": str(tmp_path)}
    assert endpoint({}) == "unix:///var/run/docker.sock"
    assert endpoint(environ) == "tcp://near:2"
    assert endpoint(environ | {"DOCKER_CONTEXT": "far"}) == "tcp://far:1"
    assert endpoint(environ | {"DOCKER_CONTEXT": "default"}) == "unix:///var/run/docker.sock"
    assert endpoint(environ | {"DOCKER_CONTEXT": "far", "DOCKER_HOST": "tcp://b:3"}) == "tcp://b:3"
    assert endpoint(environ | {"DOCKER_HOST": "tcp://b:3"}, "unix:///c") == "unix:///c"
    with pytest.raises(UsageError, match="does not exist"):
        endpoint(environ | {"DOCKER_CONTEXT": "unknown"})
    (tmp_path / "config.json").write_text("{broken")
    assert endpoint(environ) == "unix:///var/run/docker.sock"


@pytest.mark.parametrize("host", ["unix:///not/there.sock", "tcp://127.0.0.1:1", "nonsense://x"])
def test_no_engine_is_a_tool_error(host: str) -> None:
    with pytest.raises(ToolError, match="no Docker engine answers at"):
        connect({"DOCKER_HOST": host, "PATH": os.defpath})
