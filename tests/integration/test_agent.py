"""The example service as a process: what it answers, that it reloads, and that it ends without dropping a request."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

AGENT = Path(__file__).parents[2] / "examples" / "agent"


class Running:
    def __init__(self, child: subprocess.Popen[str], port: int, config: Path) -> None:
        self.child, self.port, self.config = child, port, config

    def get(self, path: str) -> tuple[int, dict[str, object]]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def hear(self, expected: str) -> str:
        assert self.child.stderr
        for line in self.child.stderr:
            if expected in line:
                return line
        raise AssertionError(f"the agent ended without saying {expected!r}")


@contextmanager
def agent(folder: Path, settings: str = "", **environ: str) -> Iterator[Running]:
    config = folder / "agent.toml"
    config.write_text(settings, encoding="utf-8")
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(AGENT), "AGENT_CONFIG": str(config), "AGENT_ADDRESS": "127.0.0.1"}
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-B", "-m", "agent"]
    child = subprocess.Popen(command, env=env | {"AGENT_PORT": str(port)} | environ, stderr=subprocess.PIPE, text=True, cwd=folder)
    try:
        running = Running(child, port, config)
        running.hear("serves on port")
        yield running
    finally:
        child.kill()
        child.communicate()


def test_what_it_answers(tmp_path: Path) -> None:
    with agent(tmp_path, 'greeting = "good day"', AGENT_VERSION="1.2.3", AGENT_COMMIT="abc") as running:
        assert running.get("/version") == (200, {"version": "1.2.3", "commit": "abc"})
        assert running.get("/healthz") == (200, {"healthy": True})
        assert running.get("/")[1]["greeting"] == "good day"
        assert running.get("/upstream")[0] == 404
        assert running.get("/nowhere")[0] == 404
        assert running.get("/work?seconds=x")[0] == 400
        assert running.get("/work?seconds=nan")[0] == 400


def test_it_is_sick_without_what_it_needs(tmp_path: Path) -> None:
    with agent(tmp_path, f'requires = ["{tmp_path}/index"]') as running:
        assert running.get("/healthz") == (503, {"healthy": False, "missing": [f"{tmp_path}/index"]})
        (tmp_path / "index").touch()
        assert running.get("/healthz")[0] == 200


def test_it_asks_its_upstream(tmp_path: Path) -> None:
    with agent(tmp_path) as above, agent(tmp_path, f'upstream = "http://127.0.0.1:{above.port}/healthz"') as running:
        assert running.get("/upstream") == (200, {"status": 200})
        above.child.send_signal(signal.SIGTERM)
        above.child.wait(10)
        assert running.get("/upstream")[0] == 502


def test_sighup_reads_the_file_again(tmp_path: Path) -> None:
    with agent(tmp_path, 'greeting = "old"') as running:
        running.config.write_text('greeting = "new"', encoding="utf-8")
        running.child.send_signal(signal.SIGHUP)
        running.hear("reloaded")
        assert running.get("/")[1]["greeting"] == "new"


@pytest.mark.parametrize("wrong", ["greeting = ", "greeting = 1", "greting = 'a'", 'requires = ["a", 1]'])
def test_a_wrong_file_changes_nothing(tmp_path: Path, wrong: str) -> None:
    with agent(tmp_path, 'greeting = "old"') as running:
        running.config.write_text(wrong, encoding="utf-8")
        running.child.send_signal(signal.SIGHUP)
        running.hear("not reloaded")
        assert running.get("/")[1]["greeting"] == "old"


def test_a_wrong_file_at_the_start(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(AGENT), "AGENT_CONFIG": str(tmp_path / "missing.toml")}
    done = subprocess.run([sys.executable, "-B", "-m", "agent"], env=env, capture_output=True, text=True, timeout=10, check=False)
    assert (done.returncode, "missing.toml" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_sigterm_finishes_what_is_in_flight(tmp_path: Path) -> None:
    with agent(tmp_path) as running, ThreadPoolExecutor(max_workers=20) as pool:
        waiting = [pool.submit(running.get, "/work?seconds=1") for _ in range(20)]
        time.sleep(0.5)
        running.child.send_signal(signal.SIGTERM)
        assert [one.result()[0] for one in waiting] == [200] * 20
        assert running.child.wait(5) == 0
        with pytest.raises(urllib.error.URLError):
            running.get("/healthz")


def test_a_silent_client_does_not_keep_it_from_ending(tmp_path: Path) -> None:
    with agent(tmp_path) as running, socket.create_connection(("127.0.0.1", running.port)):
        time.sleep(0.2)
        running.child.send_signal(signal.SIGTERM)
        assert running.child.wait(8) == 0
