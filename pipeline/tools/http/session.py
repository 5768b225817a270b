"""The session under our client: no cookies, no ~/.netrc, one TLS context, and its exceptions as words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.core.about import DISTRIBUTION, VERSION
from pipeline.core.address import shown
from pipeline.core.text import line
from pipeline.errors import ToolError, UsageError

if TYPE_CHECKING:
    import ssl

    import requests

_E = TypeVar("_E", bound=BaseException)


class ConnectionLostError(ToolError):
    """Refused, reset, timed out or cut short: another attempt may succeed."""


def new_session() -> requests.Session:
    """A session for plain HTTP; `trust` gives it TLS."""
    from http.cookiejar import DefaultCookiePolicy

    import requests

    session = requests.Session()
    session.trust_env = False  # or a ~/.netrc would overwrite our Authorization
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers.clear()
    session.headers.update({"User-Agent": f"{DISTRIBUTION}/{VERSION}", "Accept": "*/*", "Accept-Encoding": "identity"})
    del session.adapters["https://"]
    return session


def trust(session: requests.Session, environ: Mapping[str, str], ca_bundle: Path | None) -> None:
    """Give the session TLS with one context for all connections: requests by itself reads a bundle again for each."""
    from requests.adapters import HTTPAdapter

    trusted = _context(environ, ca_bundle)

    class Trusting(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, ssl_context=trusted, **kwargs)

        def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
            return super().proxy_manager_for(proxy, ssl_context=trusted, **kwargs)

        def cert_verify(self, conn: Any, *_: Any, **__: Any) -> None:
            conn.cert_reqs = "CERT_REQUIRED"

    session.mount("https://", Trusting())


def _context(environ: Mapping[str, str], ca_bundle: Path | None) -> ssl.SSLContext:
    """The environment's bundle or else the system's (certifi's where there is none), and `ca_bundle` on top."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    system = ssl.get_default_verify_paths()
    named = next((environ[name] for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE") if environ.get(name)), "")
    if named:
        _load(context, Path(named), "SSL_CERT_FILE or REQUESTS_CA_BUNDLE")
    elif system.cafile or system.capath:
        context.load_default_certs()
    else:
        import certifi

        _load(context, Path(certifi.where()), "certifi")
    if ca_bundle:
        _load(context, ca_bundle, "[network] ca-bundle")
    return context


def _load(context: ssl.SSLContext, bundle: Path, key: str) -> None:
    try:
        context.load_verify_locations(**({"capath": str(bundle)} if bundle.is_dir() else {"cafile": str(bundle)}))
    except OSError as error:
        mend = f"name a file of PEM certificates in {key}"
        raise UsageError(f"is no bundle of certificates: {line(str(error), 200)}", where=str(bundle), mend=mend) from error


def explain(error: BaseException, url: str, proxy: str = "") -> ToolError:
    """What a failed question means, with the address but nothing secret. `ConnectionLostError` when it is worth asking again."""
    import socket
    import ssl

    import requests
    from urllib3 import exceptions as deeper

    where, chain = shown(url), tuple(_causes(error))
    if isinstance(error, requests.exceptions.ProxyError):
        return ConnectionLostError(f"the proxy {shown(proxy)} does not serve us", where=where, mend="look at HTTPS_PROXY and NO_PROXY")
    if tls := _first(chain, ssl.SSLError):
        return _explain_tls(tls, where)
    if unknown := _first(chain, socket.gaierror):
        kind = ConnectionLostError if unknown.errno == socket.EAI_AGAIN else ToolError
        return kind("the name of the host is not known", where=where, mend="look for a typing error, and at DNS and HTTPS_PROXY")
    if _first(chain, requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader):
        return ToolError("not an address or header we can send", where=where)
    what, mend = "the connection broke off", "see whether the server is well, and run it again"
    if _first(chain, ConnectionRefusedError):
        what, mend = "nothing listens there: connection refused", "see whether the server runs"
    elif _first(chain, requests.Timeout, deeper.TimeoutError, TimeoutError):
        what, mend = "no answer in time", "look at the network, a firewall, HTTPS_PROXY"
    return ConnectionLostError(what, where=where, mend=mend)


def _explain_tls(error: ssl.SSLError, where: str) -> ToolError:
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        what = f"its certificate is not trusted: {line(error.verify_message or error.reason or '', 200)}"
        return ToolError(what, where=where, mend="name the company's certificates in `[network] ca-bundle`, or mend the certificate")
    if error.reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG"}:
        return ToolError(
            "speaks plain HTTP, not TLS", where=where, mend="give it TLS: plain HTTP is used with 127.0.0.1 and localhost only"
        )
    return ConnectionLostError(
        f"no TLS connection: {line(error.reason or str(error), 200)}", where=where, mend="see how the server is set up"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it wraps: requests and urllib3 hide the reason in arguments, attributes and contexts."""
    todo, seen = [error], set[int]()
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        hidden = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
        todo += [inner for inner in hidden if isinstance(inner, BaseException)]


def _first(chain: tuple[BaseException, ...], *kinds: type[_E]) -> _E | None:
    return next((one for one in chain if isinstance(one, kinds)), None)
