"""The HTTP side: what each path answers, and a server that ends without dropping a request."""

from __future__ import annotations

import json
import os
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import urllib3

from agent import VERSION
from agent.settings import Settings, SettingsError, load

Answer = tuple[HTTPStatus, dict[str, Any]]
LONGEST_WORK = 10.0


class Agent:
    """What the process is, and the settings in force."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self.settings: Settings = load(config)
        self.version = os.environ.get("AGENT_VERSION") or VERSION
        self.commit = os.environ.get("AGENT_COMMIT") or "unknown"
        self.started = time.monotonic()

    def reload(self) -> None:
        """Read the file again. A file that is wrong changes nothing: the agent goes on with what it has."""
        try:
            self.settings = load(self._config)
        except SettingsError as error:
            say(f"not reloaded: {error}")
        else:
            say("reloaded")

    def greet(self, _: dict[str, list[str]]) -> Answer:
        return HTTPStatus.OK, {"greeting": self.settings.greeting, "seconds": round(time.monotonic() - self.started, 1)}

    def healthz(self, _: dict[str, list[str]]) -> Answer:
        missing = self.settings.missing
        if missing:
            return HTTPStatus.SERVICE_UNAVAILABLE, {"healthy": False, "missing": missing}
        return HTTPStatus.OK, {"healthy": True}

    def about(self, _: dict[str, list[str]]) -> Answer:
        return HTTPStatus.OK, {"version": self.version, "commit": self.commit}

    def work(self, query: dict[str, list[str]]) -> Answer:
        """A request that takes its time: `?seconds=`, at most ten."""
        try:
            seconds = float(query.get("seconds", ["1"])[0])
        except ValueError:
            return HTTPStatus.BAD_REQUEST, {"error": "seconds is not a number"}
        if not 0 <= seconds <= LONGEST_WORK:
            return HTTPStatus.BAD_REQUEST, {"error": f"seconds is not between 0 and {LONGEST_WORK:.0f}"}
        time.sleep(seconds)
        return HTTPStatus.OK, {"worked": seconds}

    def upstream(self, _: dict[str, list[str]]) -> Answer:
        if not self.settings.upstream:
            return HTTPStatus.NOT_FOUND, {"error": "no upstream is configured"}
        try:
            answer = urllib3.request("GET", self.settings.upstream, timeout=5.0, retries=False)
        except urllib3.exceptions.HTTPError as error:
            return HTTPStatus.BAD_GATEWAY, {"error": type(error).__name__}
        return HTTPStatus.OK, {"status": answer.status}


class Server(ThreadingHTTPServer):
    """One thread a request. Closing it waits for the requests in flight."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], agent: Agent) -> None:
        self.paths = {
            "/": agent.greet,
            "/healthz": agent.healthz,
            "/version": agent.about,
            "/work": agent.work,
            "/upstream": agent.upstream,
        }
        self._drained = False
        super().__init__(address, Handler)

    def drain(self) -> None:
        """Serve the connections that wait in the queue already: closing the socket would reset them."""
        self.timeout = 0
        while not self._drained:
            self.handle_request()

    def handle_timeout(self) -> None:
        self._drained = True


class Handler(BaseHTTPRequestHandler):
    """HTTP/1.0: a connection ends with its answer, so that none keeps the process from ending."""

    server: Server
    timeout = 5.0  # seconds in which a client has to say what it wants

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        found = self.server.paths.get(parts.path)
        status, body = found(parse_qs(parts.query)) if found else (HTTPStatus.NOT_FOUND, {"error": "there is no such path"})
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002 - the base class's
        """One line for each answer but the health checks'."""
        if not self.path.startswith("/healthz"):
            say(f"{self.command} {self.path!r} {int(code)}")

    def version_string(self) -> str:
        return "agent"


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
