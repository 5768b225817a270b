from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest

from pipeline.core.address import checked, loopback, proxy_for, resolve, shown
from pipeline.core.cancel import Cancel
from pipeline.errors import CancelledError, RefusedError, ToolError, UsageError
from pipeline.tools.http.client import Client, wanted_pause
from tests.servers import Asked, Reply, free_port, serve


def client(attempts: int = 1, environ: dict[str, str] | None = None, cancel: Cancel | None = None, **rest: float) -> Client:
    return Client(environ or {}, cancel or Cancel(), attempts=attempts, **rest)  # type: ignore[arg-type]


def in_turn(*replies: Reply) -> Callable[[Asked], Reply]:
    left = list(replies)
    return lambda asked: left.pop(0)


def test_an_answer_is_given_whole() -> None:
    with serve(lambda asked: Reply(404, b"nothing", {"X-One": "1"})) as there, client() as http:
        answer = http.send("POST", f"{there.url}/a?b=c", headers={"Authorization": "Basic abc"}, body=b"question")
    assert (answer.status, answer.body, answer.headers["x-one"]) == (404, b"nothing", "1")
    assert (there.asked[0].method, there.asked[0].path, there.asked[0].body) == ("POST", "/a?b=c", b"question")
    assert there.asked[0].headers["Authorization"] == "Basic abc"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_server_is_asked_again(status: int) -> None:
    with serve(in_turn(Reply(status), Reply(200, b"yes"))) as there, client(2) as http:
        assert http.send("GET", there.url).body == b"yes"
    assert len(there.asked) == 2


def test_what_stays_busy_is_given_as_it_is() -> None:
    with serve(lambda asked: Reply(503, b"why")) as there, client(2) as http:
        assert http.send("GET", there.url).body == b"why"
    assert len(there.asked) == 2


def test_retry_after_is_waited_for() -> None:
    started = time.monotonic()
    with serve(in_turn(Reply(429, headers={"Retry-After": "1"}), Reply(200))) as there, client(2) as http:
        assert http.send("GET", there.url).status == 200
    assert time.monotonic() - started >= 1


def test_a_long_retry_after_is_not_waited_for() -> None:
    with serve(lambda asked: Reply(429, headers={"Retry-After": "3600"})) as there, client(4) as http:
        assert http.send("GET", there.url).status == 429
    assert len(there.asked) == 1


def test_retry_after_as_a_date() -> None:
    assert 25 < wanted_pause({"Retry-After": formatdate(time.time() + 30, usegmt=True)}) <= 30
    assert wanted_pause({"Retry-After": formatdate(time.time() - 30, usegmt=True)}) == 0
    assert wanted_pause({"Retry-After": "soon"}) == wanted_pause({}) == 0


def test_a_cancel_ends_the_wait() -> None:
    cancel = Cancel()
    threading.Timer(0.2, cancel.set, (15,)).start()
    started = time.monotonic()
    with (
        serve(lambda asked: Reply(503, headers={"Retry-After": "30"})) as there,
        client(4, cancel=cancel) as http,
        pytest.raises(CancelledError),
    ):
        http.send("GET", there.url)
    assert time.monotonic() - started < 5


def test_a_body_that_breaks_off_is_asked_for_again() -> None:
    with serve(in_turn(Reply(200, b"ab", claimed=9), Reply(200, b"abc"))) as there, client(2) as http:
        assert http.send("GET", there.url).body == b"abc"


def test_a_body_that_always_breaks_off_is_an_error() -> None:
    with serve(lambda asked: Reply(200, b"ab", claimed=9)) as there, client(2) as http, pytest.raises(ToolError, match="broke off"):
        http.send("GET", there.url)
    assert len(there.asked) == 2


def test_a_stream_that_breaks_off_is_an_error_at_once() -> None:
    with serve(lambda asked: Reply(200, b"ab", claimed=9)) as there, client(2) as http, http.stream("GET", there.url) as stream:
        chunks = stream.chunks()
        assert next(chunks) == b"ab"
        with pytest.raises(ToolError, match="broke off"):
            next(chunks)
    assert len(there.asked) == 1


def test_a_body_is_bounded() -> None:
    with serve(lambda asked: Reply(200, b"x" * 2049)) as there, client() as http, pytest.raises(ToolError, match="longer than 2 KiB"):
        http.send("GET", there.url, limit=2048)


def test_a_body_comes_as_it_was_sent() -> None:
    packed = gzip.compress(b"content")
    with serve(lambda asked: Reply(200, packed, {"Content-Encoding": "gzip"})) as there, client() as http:
        assert http.send("GET", there.url).body == packed
    assert there.asked[0].headers["Accept-Encoding"] == "identity"


def test_a_silent_server_is_an_error_in_time() -> None:
    def silent(asked: Asked) -> Reply:
        time.sleep(1)
        return Reply()

    with serve(silent) as there, client(read_timeout=0.2) as http, pytest.raises(ToolError, match="no answer in time"):
        http.send("GET", there.url)


def test_a_server_that_drips_is_an_error_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
                for _ in range(12):
                    time.sleep(0.1)
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        with client(patience=0.3) as http, pytest.raises(ToolError, match="too slowly"):
            http.send("GET", f"http://127.0.0.1:{listening.getsockname()[1]}/")
        thread.join()


def test_nobody_listening() -> None:
    with client(2) as http, pytest.raises(ToolError, match="connection refused") as caught:
        http.send("GET", f"http://127.0.0.1:{free_port()}/v2/?secret=1")
    assert "secret" not in str(caught.value)
    assert caught.value.where.endswith("/v2/")


def test_an_unknown_name() -> None:
    with client() as http, pytest.raises(ToolError, match="name of the host is not known"):
        http.send("GET", "http://registry.invalid/v2/")


def test_a_server_without_tls() -> None:
    with serve(lambda asked: Reply()) as there, client() as http, pytest.raises(ToolError, match="speaks plain HTTP"):
        http.send("GET", f"https://{there.address}/v2/")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bundle_that_is_none(tmp_path: Path, content: str | None) -> None:
    bundle = tmp_path / "ca.pem"
    if content:
        bundle.write_text(content)
    with Client({}, Cancel(), ca_bundle=bundle) as http, pytest.raises(UsageError) as caught:
        http.send("GET", "https://127.0.0.1:1/")
    assert caught.value.where == str(bundle)
    assert "[network] ca-bundle" in caught.value.mend


def test_authorization_stays_with_its_origin() -> None:
    with serve(lambda asked: Reply(200, b"blob")) as other:

        def away(asked: Asked) -> Reply:
            return Reply(307, headers={"Location": "/next" if asked.path == "/first" else f"{other.url}/blob?signature=s"})

        with serve(away) as there, client() as http:
            answer = http.send("GET", f"{there.url}/first", headers={"Authorization": "Bearer t"})
    assert (answer.body, answer.url) == (b"blob", f"{other.url}/blob?signature=s")
    assert [one.headers.get("Authorization") for one in there.asked] == ["Bearer t", "Bearer t"]
    assert other.asked[0].headers.get("Authorization") is None


def test_redirects_end() -> None:
    with (
        serve(lambda asked: Reply(302, headers={"Location": asked.path})) as there,
        client() as http,
        pytest.raises(ToolError, match="more than 5 times"),
    ):
        http.send("GET", there.url)
    assert len(there.asked) == 6


def test_a_write_is_not_redirected() -> None:
    with (
        serve(lambda asked: Reply(307, headers={"Location": "http://other.test/?signature=s"})) as there,
        client() as http,
        pytest.raises(ToolError, match=r"PUT is redirected to http://other.test/") as caught,
    ):
        http.send("PUT", there.url, body=b"x")
    assert "signature" not in str(caught.value)


@pytest.mark.parametrize("location", ["ftp://other.test/", "http://user:word@other.test/", "http://a\\@b/", "http://x:y/", "http://:80/"])
def test_a_redirect_to_no_address_we_ask(location: str) -> None:
    with (
        serve(lambda asked: Reply(302, headers={"Location": location})) as there,
        client() as http,
        pytest.raises(ToolError, match="not an address we may ask") as caught,
    ):
        http.send("GET", there.url)
    assert "word" not in str(caught.value)


def test_tls_is_not_left() -> None:
    with pytest.raises(RefusedError, match=r"from https to http://other\.test/a, without TLS"):
        resolve("https://registry.test/v2/", "http://other.test/a?signature=s")
    assert resolve("https://registry.test/v2/", "/x") == "https://registry.test/x"
    assert resolve("http://127.0.0.1:1/", "https://other.test/") == "https://other.test/"


def test_neither_netrc_nor_cookies_nor_the_process_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login eve password evil\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with serve(lambda asked: Reply(200, headers={"Set-Cookie": "one=1"})) as there, client() as http:
        http.send("GET", there.url, headers={"Authorization": "Bearer ours"})
        http.send("GET", there.url)
    assert [one.headers.get("Authorization") for one in there.asked] == ["Bearer ours", None]
    assert "Cookie" not in there.asked[1].headers


def test_the_proxy_is_asked() -> None:
    with serve(lambda asked: Reply(200, b"through")) as proxy, client(environ={"HTTP_PROXY": proxy.address}) as http:
        assert http.send("GET", "http://registry.test/v2/").body == b"through"
    assert proxy.asked[0].path == "http://registry.test/v2/"


def test_a_proxy_that_is_down_is_named_without_its_password() -> None:
    port = free_port()
    with (
        client(environ={"HTTP_PROXY": f"http://me:secret@127.0.0.1:{port}"}) as http,
        pytest.raises(ToolError, match=f"the proxy http://127.0.0.1:{port}") as caught,
    ):
        http.send("GET", "http://registry.test/v2/")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "exempt", "used"),
    [
        ("http://registry.test/", "", True),
        ("http://registry.test/", "*", False),
        ("http://registry.test/", "registry.test", False),
        ("http://registry.test/", ".test", False),
        ("http://registry.test/", "*.test", False),
        ("http://registry.test/", "other.test, test", False),
        ("http://registry.test/", "istry.test", True),
        ("http://registry.test/", "registry.test:443", True),
        ("http://registry.test:5000/", "registry.test:5000", False),
        ("http://10.1.2.3/", "10.0.0.0/8", False),
        ("http://11.1.2.3/", "10.0.0.0/8", True),
        ("http://[fd00::1]/", "fd00::/8", False),
        ("http://localhost:5000/", "", False),
        ("http://127.0.0.1:5000/", "", False),
    ],
)
def test_which_proxy(url: str, exempt: str, used: bool) -> None:
    environ = {"http_proxy": "proxy.test:3128", "NO_PROXY": exempt}
    assert proxy_for(url, environ) == ("http://proxy.test:3128" if used else "")
    assert proxy_for("https://registry.test/", environ) == ""


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:5000/", True),
        ("http://[::1]:5000/", True),
        ("http://localhost/", True),
        ("http://127.0.0.1.evil.test/", False),
        ("http://127.0.0.1:80@evil.test/", False),
        ("http://localhost.evil.test/", False),
        ("http://10.0.0.1/", False),
    ],
)
def test_loopback(url: str, ours: bool) -> None:
    assert loopback(url) is ours


def test_an_address_is_shown_without_what_is_secret() -> None:
    assert shown("https://me:word@registry.test:1/a/b?token=t#f") == "https://registry.test:1/a/b"
    assert shown("no address?token=t\x1b") == "no address"
    with pytest.raises(ToolError):
        checked("http://a b/")
