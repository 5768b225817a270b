"""Registries that refuse, break off, talk nonsense or are not there: a clear error, exit 3, and never a half-published version."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.calls import Recorder, registry_proxy
from tests.command import Answer
from tests.integration import projects
from tests.integration.outcomes import cases, digest, explains, half_written, version_tags
from tests.integration.projects import Project
from tests.integration.registries import MANIFEST, make_certificate, password_registry, registry_server, tls_registry
from tests.servers import Asked, Reply, Server, serve


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def project(tmp_path: Path, registry: str, request: pytest.FixtureRequest) -> Iterator[Project]:
    with projects.project(tmp_path, registry, f"net{abs(hash(request.node.name)) % 10**8}") as made:
        yield made
        assert half_written(made.repo.path) == []


def release_to(project: Project, address: str) -> Answer:
    """Release to another registry than the one configured."""
    path = project.repo.path / "pipeline.toml"
    path.write_text(path.read_text().replace(project.registry, address))
    project.registry = address
    return project.release("v1.0.0")


def stopped_early(answer: Answer, *said: str) -> None:
    """Before anything was built: what is wrong with the registry is found out first."""
    explains(answer, 3, *said)
    assert "Build" not in answer.err


@pytest.mark.parametrize(
    ("address", "said"),
    [("127.0.0.1:1", "nothing listens there: connection refused"), ("registry.rc-test.invalid", "the name of the host is not known")],
)
def test_a_registry_that_is_not_there(project: Project, address: str, said: str) -> None:
    stopped_early(release_to(project, address), address, said)


def test_a_registry_that_does_not_know_us(project: Project, tmp_path: Path) -> None:
    with password_registry(tmp_path / "locked") as address:
        answer = release_to(project, address)
        stopped_early(answer, "asks for a user and password", "docker login")
        wrong = {"GITLAB_CI": "true", "CI_REGISTRY": address, "CI_REGISTRY_USER": "releaser", "CI_REGISTRY_PASSWORD": "open barley"}
        refused = project.run("release", **wrong)
        stopped_early(refused, "401", "docker login")
        assert "open barley" not in refused.err


def test_a_registry_on_this_machine_that_has_tls(project: Project, tmp_path: Path) -> None:
    """Loopback is asked by plain HTTP: one that wants TLS says so."""
    with tls_registry(tmp_path / "tls", "localhost") as (address, _):
        stopped_early(release_to(project, address), address, "400")


@pytest.fixture
def elsewhere() -> str:
    """An address of this machine that is not loopback: there we insist on TLS."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
        one.connect(("192.0.2.1", 9))  # nothing is sent
        found = str(one.getsockname()[0])
        if not found.startswith("127."):
            return found
    pytest.skip("needs an address beside loopback")


def test_a_registry_elsewhere_without_tls(project: Project, elsewhere: str) -> None:
    with serve(lambda asked: Reply(200), host=elsewhere) as server:
        stopped_early(release_to(project, server.address), "speaks plain HTTP, not TLS", "give it TLS")


def test_a_registry_elsewhere_with_a_certificate_of_nobody(project: Project, elsewhere: str, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path / "tls", "registry.rc-test.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serve(lambda asked: Reply(200), context, host=elsewhere) as server:
        stopped_early(release_to(project, server.address), "its certificate is not trusted", "[network] ca-bundle")


BROKEN: dict[str, tuple[Callable[[Asked], Reply], str]] = {
    "500": (lambda asked: Reply(500, b"<html>oops</html>"), "status 500"),
    "503": (lambda asked: Reply(503), "status 503"),
    "429": (lambda asked: Reply(429, headers={"Retry-After": "90"}), "run it again in 90 s"),
    "html": (lambda asked: Reply(200, b"<html>log in to the hotel's network</html>", {"Content-Type": "text/html"}), "no image manifest"),
    "not json": (lambda asked: Reply(200, b"{", {"Content-Type": MANIFEST}), "cannot be read"),
    "too large": (lambda asked: Reply(200, b"{" + b" " * (5 << 20), {"Content-Type": MANIFEST}), "longer than 4096 KiB"),
    "cut off": (lambda asked: Reply(200, b"{}", {"Content-Type": MANIFEST}, claimed=4000), "broke off"),
    "a loop": (lambda asked: Reply(307, headers={"Location": asked.path}), "redirects more than"),
    "no address": (lambda asked: Reply(307, headers={"Location": "file:///etc/passwd"}), "not an address we may ask"),
    "no right": (lambda asked: Reply(404 if asked.method == "GET" else 403, _denied()), "may not push"),
    "read-only": (lambda asked: Reply(404 if asked.method == "GET" else 405), "could not push"),
}


def _denied() -> bytes:
    return json.dumps({"errors": [{"code": "DENIED", "message": "not yours"}]}).encode()


@pytest.mark.parametrize("kind", BROKEN)
def test_a_registry_that_is_not_well(project: Project, kind: str) -> None:
    reply, said = BROKEN[kind]
    with serve(reply) as server:
        stopped_early(release_to(project, server.address), said)
        assert not [asked for asked in server.asked if asked.method == "PUT"]


class Cut(Recorder):
    """Breaks the connection off at the first `times` events that match."""

    def __init__(self, pattern: str, times: int) -> None:
        super().__init__()
        self.pattern, self.times = pattern, times

    def event(self, what: str) -> bool:
        if self.times and re.fullmatch(self.pattern, what):
            self.times -= 1
            return False
        return super().event(what)


PUBLISH = "registry PUT .*/manifests/1.0.0"


@pytest.mark.parametrize(
    "pattern", [r"start registry GET .*/manifests/.*", f"start {PUBLISH}", f"end {PUBLISH}"], ids=["read", "write", "written"]
)
def test_a_connection_that_breaks_once_is_tried_again(project: Project, pattern: str) -> None:
    upstream, cut = project.registry, Cut(pattern, 1)
    with registry_proxy(upstream, cut) as address:
        answer = release_to(project, address)
        assert answer.code == 0, answer.err
    assert cut.times == 0, "it did break"
    assert digest(f"{upstream}/team/{project.name}", "1.0.0") == answer.out.strip().partition("@")[2]


@pytest.mark.parametrize("when", ["start", "end"])
def test_a_connection_that_breaks_while_publishing(project: Project, when: str) -> None:
    """Whether the registry took the tag or not: we say that we do not know, and a re-run finds out and finishes."""
    upstream, cut = project.registry, Cut(f"{when} {PUBLISH}", 99)
    with registry_proxy(upstream, cut) as address:
        answer = release_to(project, address)
        explains(answer, 3, "broke off")
        there = f"{upstream}/team/{project.name}"
        assert version_tags(there) == ([] if when == "start" else ["1.0.0"])
        assert "PIPELINE_IMAGE" not in (project.repo.path / ".pipeline" / "pipeline.env").read_text()
        cut.times = 0
        again = project.run("release")
        assert again.code == 0, again.err
        assert digest(there, "1.0.0") == again.out.strip().partition("@")[2]
    assert cases(project.repo.path, "scan", "error") == []


def test_a_registry_that_goes_away_while_the_image_is_judged(project: Project) -> None:
    """The gates end and are recorded; nothing is published; the next run goes on from there."""
    upstream, cut = project.registry, Cut(r"start registry (GET|PUT|HEAD) .*/manifests/sha256:.*", 99)
    with registry_proxy(upstream, cut) as address:
        explains(release_to(project, address), 3, "broke off")
        assert version_tags(f"{upstream}/team/{project.name}") == []
        assert cases(project.repo.path, "policy", "error") == []
        cut.times = 0
        assert project.run("release").code == 0


def test_a_proxy_that_does_not_serve_us(project: Project) -> None:
    text = project.repo.path / "pipeline.toml"
    text.write_text(text.read_text().replace(project.registry, "registry.rc-test.example"))
    project.repo.commit("elsewhere")
    project.repo.tag("v1.0.0")
    with serve(lambda asked: Reply(407)) as proxy:
        answer = project.run("release", HTTPS_PROXY=_with_password(proxy))
    stopped_early(answer, "the proxy", "does not serve us")
    assert "hunter22" not in answer.err


def _with_password(proxy: Server) -> str:
    return f"http://someone:hunter22@{proxy.address}"
