"""HTTP for everything we ask ourselves: nothing taken from the process's environment, every wait and every body bounded."""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urljoin

from pipeline.core.address import checked, origin, proxy_for, resolve, shown
from pipeline.core.cancel import Cancel
from pipeline.errors import ToolError
from pipeline.tools.http.session import ConnectionLostError, explain, new_session, trust

if TYPE_CHECKING:
    import requests

log = logging.getLogger(__name__)

BODY_LIMIT = 4 * 1024 * 1024
REDIRECTS = 5
LONGEST_PAUSE = 60.0
BUSY = frozenset({429, 502, 503, 504})
MOVED = frozenset({301, 302, 303, 307, 308})
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `url` is where it came from, after redirects; `headers` ignore case."""

    status: int
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class Stream:
    """An answer whose body is still on the wire, as the server sent it (no content decoding)."""

    def __init__(self, response: requests.Response, url: str, cancel: Cancel) -> None:
        self.status, self.url = response.status_code, url
        self.headers: Mapping[str, str] = response.headers
        self._response, self._cancel = response, cancel

    def chunks(self, size: int = 1 << 16) -> Iterator[bytes]:
        """Pieces of at most `size` bytes. Raises `ConnectionLostError` when the body ends early or stalls, `CancelledError`."""
        from urllib3.exceptions import HTTPError

        while True:
            self._cancel.check()
            try:
                chunk = self._response.raw.read1(size, decode_content=False)
            except (HTTPError, OSError) as error:
                raise explain(error, self.url) from None
            if not chunk:
                return
            yield chunk

    def whole(self, limit: int = BODY_LIMIT, seconds: float = 120.0) -> Answer:
        """The answer with its body. Raises `ToolError` when that is longer than `limit` bytes, or not there after `seconds`."""
        body, deadline = bytearray(), time.monotonic() + seconds
        for chunk in self.chunks():
            body += chunk
            if len(body) > limit:
                raise ToolError(f"the answer is longer than {limit >> 10} KiB, and was not read on", where=shown(self.url))
            if time.monotonic() > deadline:
                raise ConnectionLostError("the answer came too slowly", where=shown(self.url), mend="look at the network")
        return Answer(self.status, self.url, self.headers, bytes(body))

    def close(self) -> None:
        self._response.close()


class Client:
    """One session. `ca_bundle` is trusted besides the system's (or SSL_CERT_FILE's, REQUESTS_CA_BUNDLE's) certificates.

    Connection errors and busy answers (429, 502, 503, 504) are tried again up to `attempts` times within `patience` seconds;
    what is still busy then is returned as it is. GET and HEAD follow redirects; Authorization stays with its origin.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        cancel: Cancel,
        *,
        ca_bundle: Path | None = None,
        attempts: int = 4,
        connect_timeout: float = 10.0,
        read_timeout: float = 30.0,
        patience: float = 120.0,
    ) -> None:
        self._environ, self._cancel, self._ca_bundle = environ, cancel, ca_bundle
        self._attempts, self._patience = attempts, patience
        self._timeout = (connect_timeout, read_timeout)
        self._lock = threading.Lock()
        self._opened: requests.Session | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            if self._opened:
                self._opened.close()
                self._opened = None

    def proxy(self, url: str) -> str:
        """The proxy through which `url` is asked; empty for none."""
        return proxy_for(url, self._environ)

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", limit: int = BODY_LIMIT
    ) -> Answer:
        """One question and its whole answer, whatever its status. Raises `ToolError`, `RefusedError` (https to http), `CancelledError`."""

        def read(stream: Stream) -> Answer:
            with contextlib.closing(stream):
                return stream.whole(limit, self._patience)

        return self._persist(_Call(method, url, headers or {}, body), read)

    @contextlib.contextmanager
    def stream(self, method: str, url: str, *, headers: Mapping[str, str] | None = None) -> Iterator[Stream]:
        """As `send`, with the body left to the caller: it is not asked for again when it breaks off."""
        with contextlib.closing(self._persist(_Call(method, url, headers or {}, b""), lambda stream: stream)) as stream:
            yield stream

    def _persist(self, call: _Call, read: Callable[[Stream], _T]) -> _T:
        started = time.monotonic()
        for attempt in itertools.count(1):
            self._cancel.check()
            last = attempt >= self._attempts or time.monotonic() - started > self._patience
            asked = 0.0
            try:
                stream = self._follow(call)
                asked = wanted_pause(stream.headers)
                if stream.status not in BUSY or last or asked > LONGEST_PAUSE:
                    return read(stream)
                stream.close()
            except ConnectionLostError as error:
                if last:
                    raise
                log.debug("%s: %s; asking again", call.method, error)
            self._cancel.wait(max(asked, 0.2 * 2**attempt * random.uniform(0.5, 1.0)))  # noqa: S311 - spreads load, no secret
        raise AssertionError("unreachable: the loop has no end")

    def _follow(self, call: _Call) -> Stream:
        url, headers = checked(call.url), dict(call.headers)
        for _ in range(REDIRECTS + 1):
            stream = self._once(call, url, headers)
            location = stream.headers.get("Location", "")
            if stream.status not in MOVED or not location:
                return stream
            stream.close()
            if call.method not in {"GET", "HEAD"}:
                mend = "name the server by the address it redirects to"
                raise ToolError(f"{call.method} is redirected to {shown(urljoin(url, location))}", where=shown(url), mend=mend)
            target = resolve(url, location)
            if origin(target) != origin(url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            url = target
        raise ToolError(f"redirects more than {REDIRECTS} times", where=shown(call.url))

    def _once(self, call: _Call, url: str, headers: Mapping[str, str]) -> Stream:
        import requests

        proxy = self.proxy(url)
        proxies = {"http": proxy, "https": proxy} if proxy else {}
        try:
            response = self._session(url).request(
                call.method,
                url,
                headers=dict(headers),
                data=call.body or None,
                stream=True,
                allow_redirects=False,
                timeout=self._timeout,
                proxies=proxies,
            )
        except requests.RequestException as error:
            raise explain(error, url, proxy) from None
        log.debug("%s %s: %d", call.method, shown(url), response.status_code)
        return Stream(response, url, self._cancel)

    def _session(self, url: str) -> requests.Session:
        with self._lock:
            if self._opened is None:
                self._opened = new_session()
            if url.startswith("https:") and "https://" not in self._opened.adapters:
                trust(self._opened, self._environ, self._ca_bundle)
            return self._opened


def wanted_pause(headers: Mapping[str, str]) -> float:
    """The seconds that `Retry-After` asks for, as a number or a date; 0 where it does not, or cannot be read."""
    from email.utils import parsedate_to_datetime

    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0
