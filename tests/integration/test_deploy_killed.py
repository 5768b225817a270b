"""Rollouts that are interrupted, held up or killed: the next run finishes, or goes back."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from pipeline.core.cancel import Cancel
from pipeline.errors import CancelledError, RolledBackError
from pipeline.tools.docker import lock
from tests.integration.rollouts import Bench, bench, engine, images

__all__ = ["bench", "engine", "images"]
ROOT = Path(__file__).resolve().parents[2]


def test_a_signal_before_the_switch_changes_nothing(bench: Bench) -> None:
    bench.deploy("one")
    cancel = Cancel()
    cancel.set(signal.SIGTERM)
    done = bench.deploy("two", cancel)
    assert isinstance(done.error, CancelledError)
    assert done.error.code == 143
    assert (bench.version(), bench.names()) == ("one", {bench.name})


def test_a_signal_while_it_is_tried_goes_back(bench: Bench) -> None:
    bench.deploy("one")
    cancel = Cancel()
    threading.Timer(2.0, cancel.set, [signal.SIGINT]).start()
    slow = msgspec.structs.replace(bench.hand_off("sick").probe, timeout=60.0)
    started = time.monotonic()
    done = bench.deploy("sick", cancel, probe=slow)
    assert isinstance(done.error, CancelledError)
    assert "the previous version serves again" in done.error.what
    assert time.monotonic() - started < 10
    assert (bench.version(), bench.names()) == ("one", {bench.name})


def test_a_rollout_waits_for_another_and_takes_over_a_dead_ones_lock(bench: Bench) -> None:
    bench.deploy("one")
    image = bench.inspect()["Image"]
    assert lock.take(bench.client, f"{bench.name}.rc-lock", image, "somebody", 600) is None
    release = threading.Timer(1.5, lock.give_back, [bench.client, f"{bench.name}.rc-lock", "somebody"])
    release.start()
    done = bench.deploy("two")
    release.join()
    assert done.outcome == "succeeded"
    assert any("another rollout is at work" in one for one in done.said)
    assert lock.take(bench.client, f"{bench.name}.rc-lock", image, "somebody", 0) is None
    assert bench.deploy("one").outcome == "succeeded"


def _killed(bench: Bench, kind: str, after: int) -> bool:
    """Whether a rollout in a process of its own was killed after that many changes; False when it ended before."""
    argv = [sys.executable, "-m", "tests.integration.rollouts"]
    plain = msgspec.structs.replace(bench.hand_off(kind).container, secrets={})
    handoff = msgspec.json.encode(bench.hand_off(kind, container=plain)).decode()
    ended = subprocess.run([*argv, handoff, str(bench.folder), str(after)], cwd=ROOT, check=False, capture_output=True)
    assert ended.returncode in {0, -signal.SIGKILL}, ended.stderr.decode()
    return ended.returncode != 0


def _kill_everywhere(bench: Bench, kind: str, before: Callable[[], object], after: Callable[[], object]) -> int:
    for count in range(1, 30):
        before()
        killed = _killed(bench, kind, count)
        after()
        if not killed:
            return count - 1
    raise AssertionError("it never ended")


def test_killed_after_any_change_the_next_run_finishes(bench: Bench) -> None:
    def before() -> None:
        assert bench.deploy("one").error is None
        assert bench.version() == "one"

    def after() -> None:
        assert bench.deploy("two").error is None
        assert (bench.version(), bench.names()) == ("two", {bench.name})

    # lock, create, stop, start, rename, rename, remove, unlock
    assert _kill_everywhere(bench, "two", before, after) >= 8


def test_killed_after_any_change_of_a_first_deployment_the_next_run_finishes(bench: Bench) -> None:
    def before() -> None:
        bench.clear()

    def after() -> None:
        assert bench.deploy("one").error is None
        assert (bench.version(), bench.names()) == ("one", {bench.name})

    assert _kill_everywhere(bench, "one", before, after) >= 4


def test_killed_while_going_back_the_next_run_goes_back(bench: Bench) -> None:
    def before() -> None:
        assert bench.deploy("one").error is None

    def after() -> None:
        assert isinstance(bench.deploy("crash").error, RolledBackError)
        assert (bench.version(), bench.names()) == ("one", {bench.name})

    # lock, create, stop, start, stop, start, remove, unlock
    assert _kill_everywhere(bench, "crash", before, after) >= 8


def test_killed_halfway_another_version_is_rolled_out_instead(bench: Bench) -> None:
    bench.deploy("one")
    assert _killed(bench, "sick", 4)
    done = bench.deploy("two")
    assert done.error is None
    assert any("died halfway" in one for one in done.said)
    assert (bench.version(), bench.names()) == ("two", {bench.name})
