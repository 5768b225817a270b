"""Is a registry ready for us? One layer of the network after the other, so that the first red line is the cause."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.core.address import origin, shown
from pipeline.core.text import line
from pipeline.errors import RefusedError, ToolError, UsageError

CONNECT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the answer. `mend` is empty where there is nothing to mend."""

    name: str
    ok: bool
    detail: str
    mend: str = ""


def checks(root: str, proxy: str, further: Mapping[str, Callable[[], str]]) -> Iterator[Check]:
    """DNS and TCP of the registry (or of the proxy before it), then `further` in their order; ends after the first that fails."""
    target = proxy or root
    for name, look in {"DNS": lambda: _names(target), "TCP": lambda: _connects(target), **further}.items():
        try:
            yield Check(name, True, look())
        except (ToolError, RefusedError, UsageError) as error:
            yield Check(name, False, str(error), error.mend)
            return


def _names(target: str) -> str:
    host, port = _endpoint(target)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        mend = "look for a typing error, and at DNS and HTTPS_PROXY"
        raise ToolError(f"the name {line(host, 100)} is not known: {line(str(error), 100)}", mend=mend) from error
    return f"{line(host, 100)} is {found[0][4][0]}"


def _connects(target: str) -> str:
    host, port = _endpoint(target)
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except OSError as error:
        mend = "see whether it runs, and at the firewall and HTTPS_PROXY"
        raise ToolError(
            f"no connection to port {port}: {line(error.strerror or str(error), 100)}", where=shown(target), mend=mend
        ) from error
    return f"port {port} answers"


def _endpoint(target: str) -> tuple[str, int]:
    _, host, port = origin(target)
    return host, port
