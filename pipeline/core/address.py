"""Web addresses: which may be asked, what may be shown of one, where a redirect leads, which proxy serves it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urljoin, urlsplit

from pipeline.core.text import line
from pipeline.errors import RefusedError, ToolError

_URL = re.compile(r"https?://[!-\[\]-~]+\Z")


def checked(url: str) -> str:
    """`url` if it is an absolute http(s) one that every parser reads alike, without a user in it. Raises `ToolError`."""
    if not _URL.match(url) or _port(urlsplit(url)) < 0 or not urlsplit(url).hostname or "@" in urlsplit(url).netloc:
        raise ToolError("not an address we may ask", where=shown(url))
    return url


def shown(url: str) -> str:
    """The part of `url` fit for a message: no user, no query (signatures), printable."""
    parts = urlsplit(url) if _URL.match(url) else SplitResult("", "", url.partition("?")[0], "", "")
    host = parts.netloc.rpartition("@")[2]
    return line(f"{parts.scheme}://{host}{parts.path}" if host else parts.path, 300)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what an Authorization header must not leave."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", _port(parts)


def resolve(base: str, location: str) -> str:
    """Where a `Location` or `Link` of an answer from `base` leads. Raises `RefusedError` when it leaves TLS, `ToolError`."""
    target = checked(urljoin(base, location))
    if base.startswith("https:") and not target.startswith("https:"):
        mend = "set the external address of the server to https"
        raise RefusedError(f"leads from https to {shown(target)}, without TLS", where=shown(base), mend=mend)
    return target


def loopback(url: str) -> bool:
    """Whether the host of `url` is this machine by its very name: nothing is looked up."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: str, environ: Mapping[str, str]) -> str:
    """The proxy that `environ` names for `url`, by the rules Go programs follow; empty for none. Loopback never has one."""
    scheme, host, port = origin(url)
    proxy = environ.get(f"{scheme.upper()}_PROXY") or environ.get(f"{scheme}_proxy") or ""
    exempt = environ.get("NO_PROXY") or environ.get("no_proxy") or ""
    if not proxy or loopback(url) or any(_covers(one.strip().lower(), host, port) for one in exempt.split(",")):
        return ""
    return proxy if "://" in proxy else f"http://{proxy}"


def _port(parts: SplitResult) -> int:
    try:
        return parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return -1


def _covers(entry: str, host: str, port: int) -> bool:
    """One entry of NO_PROXY: `*`, a network, a host or a domain, the last two with or without a port."""
    if entry == "*" or not entry:
        return entry == "*"
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        name, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit() and int(wanted) != port:
        return False
    name = (name if colon and wanted.isdigit() else entry).removeprefix("*")
    return host == name.removeprefix(".") or host.endswith(f".{name.removeprefix('.')}")
