"""The registry client against real registries: Debian's, and those that RC_TEST_REGISTRY names (addresses on loopback, by spaces)."""

from __future__ import annotations

import base64
import json
import os
import secrets
import select
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from pipeline.core.cancel import Cancel
from pipeline.core.credential import Credential
from pipeline.core.image import Repository, digest_of
from pipeline.errors import RefusedError, ToolError
from pipeline.tools.credentials import private_docker_config
from pipeline.tools.http.client import Client
from pipeline.tools.registry.client import Registry
from tests.integration.registries import (
    PASSWORD,
    USER,
    content,
    password_registry,
    registry_server,
    tls_registry,
    token_registry,
    upload,
    upload_blob,
)

FURTHER = os.environ.get("RC_TEST_REGISTRY", "").split()
RELEASER = Credential(USER, PASSWORD)
IMAGE = content(b"first layer" * 1000, b"second layer", Labels={"org.opencontainers.image.revision": "abc"}, Env=["A=1"])


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture(params=["debian", *FURTHER])
def address(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue("plain") if request.param == "debian" else request.param)


@contextmanager
def opened(address: str, credential: Credential | None = None, name: str = "", **environ: str) -> Iterator[Registry]:
    with Client(environ, Cancel(), attempts=1) as http:
        yield Registry(Repository(address, name or f"team/rc-test-{secrets.token_hex(4)}"), http, credential)


def test_what_was_pushed_is_found(address: str) -> None:
    with opened(address) as there:
        digest = upload(address, there.repository.path, IMAGE, "1.0.0")
        found = there.get_manifest("1.0.0")
        assert found == there.find(digest)
        assert (found.digest, there.head("1.0.0"), there.head("2.0.0"), there.find("2.0.0")) == (digest, digest, None, None)
        config = there.config_of(found)
        assert (config.diff_ids, config.labels, config.env) == (IMAGE.diff_ids, {"org.opencontainers.image.revision": "abc"}, ("A=1",))
        there.verify_layers(found, config.diff_ids)


def test_nothing_is_found_where_there_is_nothing(address: str) -> None:
    with opened(address) as there:
        assert (there.find("1.0.0"), there.find(f"sha256:{'0' * 64}"), there.head("1.0.0"), there.tags()) == (None, None, None, ())


def test_a_tag_is_written_byte_for_byte(address: str) -> None:
    with opened(address) as there:
        upload(address, there.repository.path, IMAGE, "staging-1")
        manifest = there.get_manifest("staging-1")
        for _ in range(2):
            there.put_manifest("1.0.0", manifest)
        assert there.get_manifest("1.0.0").data == IMAGE.manifest()
        assert sorted(there.tags()) == ["1.0.0", "staging-1"]


def test_a_manifest_without_its_blobs_is_not_taken(plain: str) -> None:
    with opened(plain) as there, opened(plain) as other:
        upload(plain, there.repository.path, IMAGE, "1.0.0")
        with pytest.raises(ToolError, match=r"could not write the tag: status 400, .*BLOB_UNKNOWN"):
            other.put_manifest("1.0.0", there.get_manifest("1.0.0"))


def test_a_forged_layer_is_refused(address: str) -> None:
    with opened(address) as there:
        upload(address, there.repository.path, IMAGE, "genuine")
        evil = content(b"first layer" * 1000, b"evil layer")
        upload_blob(address, there.repository.path, evil.packed[1])
        upload(address, there.repository.path, IMAGE, "forged", IMAGE.manifest((IMAGE.packed[0], evil.packed[1])))
        genuine, forged = there.get_manifest("genuine"), there.get_manifest("forged")
        assert genuine.config == forged.config
        with pytest.raises(RefusedError, match=f"layer 1 .* unpacks to {evil.diff_ids[1]}, and the judged image has {IMAGE.diff_ids[1]}"):
            there.verify_layers(forged, IMAGE.diff_ids)


def test_layers_in_another_order_are_refused(address: str) -> None:
    with opened(address) as there:
        upload(address, there.repository.path, IMAGE, "turned", IMAGE.manifest(IMAGE.packed[::-1]))
        with pytest.raises(RefusedError, match="layer 0"):
            there.verify_layers(there.get_manifest("turned"), IMAGE.diff_ids)


def test_content_changed_on_the_registrys_disk_is_refused(tmp_path: Path) -> None:
    with registry_server(tmp_path / "registry") as address, opened(address) as there:
        upload(address, there.repository.path, IMAGE, "1.0.0")
        manifest = there.get_manifest("1.0.0")
        digest = manifest.layers[1].digest.removeprefix("sha256:")
        blob = tmp_path / "registry/content/docker/registry/v2/blobs/sha256" / digest[:2] / digest / "data"
        blob.write_bytes(blob.read_bytes()[:-1] + b"!")
        with pytest.raises(RefusedError, match="is sent as"):
            there.verify_layers(manifest, IMAGE.diff_ids)


def test_an_index_is_found(address: str) -> None:
    with opened(address) as there:
        digest = upload(address, there.repository.path, IMAGE, "1.0.0")
        media_type = "application/vnd.oci.image.index.v1+json"
        one = {"mediaType": there.get_manifest(digest).media_type, "digest": digest, "size": len(IMAGE.manifest())}
        data = json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": [one]}).encode()
        answer = there._http.send("PUT", there._url("manifests/all"), headers={"Content-Type": media_type}, body=data)
        assert answer.status == 201
        found = there.get_manifest("all")
        assert (found.is_index, found.digest, found.manifests[0].digest) == (True, digest_of(data), digest)
        with pytest.raises(ToolError, match="is an index"):
            there.config_of(found)


def test_the_right_to_push_is_asked_without_a_trace(address: str) -> None:
    with opened(address) as there:
        there.check_push()
        assert there.tags() == ()
        assert [(one.name, one.ok, one.mend) for one in there.probe()] == [
            (name, True, "") for name in ("DNS", "TCP", "TLS", "credentials", "push")
        ]


@pytest.mark.parametrize("kind", [password_registry, token_registry])
def test_a_registry_that_asks_who_we_are(tmp_path: Path, kind: Callable[[Path], AbstractContextManager[str]]) -> None:
    with kind(tmp_path / "registry") as address:
        with opened(address, RELEASER) as there:
            there.check_push()
            assert [one.detail for one in there.probe() if not one.ok] == []
            assert there.find("1.0.0") is None
            basic = {"Authorization": f"Basic {RELEASER.basic}"}
            headers = basic if kind is password_registry else there._login.headers("pull,push")
            digest = upload(address, there.repository.path, IMAGE, "staging", headers=headers)
            manifest = there.get_manifest("staging")
            there.put_manifest("1.0.0", manifest)
            there.verify_layers(manifest, there.config_of(manifest).diff_ids)
            assert there.head("1.0.0") == digest
            assert sorted(there.tags()) == ["1.0.0", "staging"]
        for credential in (None, Credential(USER, "wrong")):
            with opened(address, credential) as there:
                with pytest.raises(ToolError) as caught:
                    there.check_push()
                assert "log in" in caught.value.mend
                *_, last = there.probe()
                assert (last.name, last.ok) == ("credentials", False)
                assert last.mend


def test_a_user_who_may_only_read(tmp_path: Path) -> None:
    with token_registry(tmp_path / "registry", "pull") as address, opened(address, RELEASER) as there:
        assert there.tags() == ()
        with pytest.raises(ToolError, match=f"may not push to {there.repository}: status 401"):
            there.check_push()
        *_, last = there.probe()
        assert (last.name, last.ok) == ("push", False)


@contextmanager
def connect_proxy(target: str) -> Iterator[str]:
    """A proxy whose every CONNECT leads to `target`."""

    class Tunnel(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            host, port = target.split(":")
            with socket.create_connection((host, int(port))) as other:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                pairs = {self.connection: other, other: self.connection}
                while True:
                    for one in select.select(list(pairs), [], [])[0]:
                        data = one.recv(65536)
                        if not data:
                            return
                        pairs[one].sendall(data)

    class Proxy(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *arguments: object) -> None:
            pass

    with Proxy(("127.0.0.1", 0), Tunnel) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_tls_through_a_proxy(tmp_path: Path) -> None:
    name = "registry.rc-test.example"
    with tls_registry(tmp_path / "registry", name) as (address, certificate), connect_proxy(address) as proxy:

        def there(name: str, http: Client) -> Registry:
            return Registry(Repository(name, "team/app"), http)

        environ = {"HTTPS_PROXY": proxy}
        with Client(environ, Cancel(), ca_bundle=certificate, attempts=1) as http:
            there(name, http).check_push()
            assert all(one.ok for one in there(name, http).probe())
            with pytest.raises(ToolError, match="certificate is not trusted: Hostname mismatch"):
                there("other.rc-test.example", http).tags()
        with Client(environ, Cancel(), attempts=1) as http:
            with pytest.raises(ToolError, match="certificate is not trusted: self-signed certificate") as caught:
                there(name, http).tags()
            assert "[network] ca-bundle" in caught.value.mend
            assert [(one.name, one.ok) for one in there(name, http).probe()] == [("DNS", True), ("TCP", True), ("TLS", False)]
        with Client(environ | {"SSL_CERT_FILE": str(certificate)}, Cancel(), attempts=1) as http:
            assert there(name, http).tags() == ()


def test_a_registry_without_tls_elsewhere(plain: str) -> None:
    with (
        connect_proxy(plain) as proxy,
        opened("registry.rc-test.example", HTTPS_PROXY=proxy) as there,
        pytest.raises(ToolError, match="speaks plain HTTP"),
    ):
        there.tags()


def test_what_the_engine_pushed_is_what_it_built(plain: str, tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers")
    name = f"{plain}/team/rc-test-engine"
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /one\nCOPY Dockerfile /two\nENV A=1\n")
    try:
        subprocess.run([docker, "build", "-q", "-t", f"{name}:1", str(tmp_path)], check=True, capture_output=True)
        subprocess.run([docker, "push", "-q", f"{name}:1"], check=True, capture_output=True)
        asked = [docker, "image", "inspect", "--format", "{{json .RootFS.Layers}}", f"{name}:1"]
        layers = json.loads(subprocess.run(asked, check=True, capture_output=True).stdout)
    finally:
        subprocess.run([docker, "rmi", "-f", f"{name}:1"], check=False, capture_output=True)
    with opened(plain, name="team/rc-test-engine") as there:
        manifest = there.get_manifest("1")
        assert there.config_of(manifest).diff_ids == tuple(layers)
        there.verify_layers(manifest, tuple(layers))


def test_docker_logs_in_with_a_private_configuration(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    if not docker or subprocess.run([docker, "info"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine answers")
    (tmp_path / "own").mkdir()
    wrong = {"auth": base64.b64encode(b"releaser:old").decode()}
    with password_registry(tmp_path / "registry") as address:
        (tmp_path / "own" / "config.json").write_text(json.dumps({"auths": {address: wrong}, "credsStore": "absent"}))
        environ = {"PATH": os.environ["PATH"], "DOCKER_CONFIG": str(tmp_path / "own"), "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
        (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /one\n")
        name = f"{address}/team/rc-test-private:1"
        try:
            subprocess.run([docker, "build", "-q", "-t", name, str(tmp_path)], check=True, capture_output=True, env=os.environ)
            with private_docker_config(environ, {address: RELEASER}) as folder:
                done = subprocess.run(
                    [docker, "push", "-q", name], env=environ | {"DOCKER_CONFIG": str(folder)}, capture_output=True, check=False
                )
        finally:
            subprocess.run([docker, "rmi", "-f", name], check=False, capture_output=True)
        assert done.returncode == 0, done.stderr
        with opened(address, RELEASER, "team/rc-test-private") as there:
            assert there.head("1")
