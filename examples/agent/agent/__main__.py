"""Start, reload on SIGHUP, end on SIGTERM with the requests in flight finished."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from agent.service import Agent, Server, say
from agent.settings import SettingsError

SIGNALS = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}


def main() -> int:
    # Blocked before any thread is there, so that only this one takes them.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        agent = Agent(Path(os.environ.get("AGENT_CONFIG") or "/etc/agent/agent.toml"))
    except SettingsError as error:
        say(f"agent: {error}")
        return 2
    with Server((os.environ.get("AGENT_ADDRESS") or "0.0.0.0", int(os.environ.get("AGENT_PORT") or "8080")), agent) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        say(f"agent {agent.version} serves on port {server.server_port}")
        while signal.sigwait(SIGNALS) == signal.SIGHUP:
            agent.reload()
        say("ending: the requests in flight are finished first")
        server.shutdown()
        serving.join()
        server.drain()
    say("ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
