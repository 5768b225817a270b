"""Real registries on 127.0.0.1 (Debian's `docker-registry`), each with its own folder and port, and content for them."""

from __future__ import annotations

import base64
import gzip
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from pipeline.core.image import digest_of
from tests.servers import Asked, Reply, free_port, serve

USER, PASSWORD = "releaser", "open sesame"
# bcrypt of PASSWORD, at its lowest cost: the only form that docker-registry reads
_HTPASSWD = "releaser:$2b$04$Uy/ILX/u2Glk72f0RnD5C.xjPto6AOm9OzKTHUk5h55YOD2EE8qOK\n"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@contextmanager
def registry_server(folder: Path, config: str = "", http: str = "") -> Iterator[str]:
    """Run a registry that keeps its content below `folder`; gives `127.0.0.1:port`. `config` and `http` are lines of YAML."""
    program = shutil.which("docker-registry")
    if not program:
        pytest.skip("docker-registry is not installed (Debian: apt-get install docker-registry)")
    address = f"127.0.0.1:{free_port()}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.yml"
    storage = f"storage: {{filesystem: {{rootdirectory: {folder}/content}}, delete: {{enabled: true}}}}"
    path.write_text(f"version: 0.1\nlog: {{level: warn}}\n{storage}\nhttp:\n  addr: {address}\n{http}{config}")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, "serve", str(path)], stdout=log, stderr=log, env={"PATH": os.environ["PATH"]})
    try:
        _wait(address, server, folder / "log")
        yield address
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def password_registry(folder: Path) -> Iterator[str]:
    """As `registry_server`, for USER with PASSWORD only."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "htpasswd").write_text(_HTPASSWD)
    with registry_server(folder, f"auth: {{htpasswd: {{realm: tests, path: {folder}/htpasswd}}}}\n") as address:
        yield address


@contextmanager
def token_registry(folder: Path, allowed: str = "pull,push,delete") -> Iterator[str]:
    """As `registry_server`, behind a token server that knows USER with PASSWORD and grants `allowed`."""
    certificate, key = make_certificate(folder, "tokens.test")
    basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    def tokens(asked: Asked) -> Reply:
        if asked.headers.get("Authorization") != basic:
            return Reply(401, b'{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}')
        scope = parse_qs(urlsplit(asked.path).query).get("scope", [""])[0]
        return Reply(200, json.dumps({"token": _token(certificate, key, scope, allowed.split(","))}).encode())

    with serve(tokens) as realm:
        auth = f"{{realm: {realm.url}/token, service: registry, issuer: tests, rootcertbundle: {certificate}}}"
        with registry_server(folder, f"auth: {{token: {auth}}}\n") as address:
            yield address


@contextmanager
def tls_registry(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """As `registry_server`, with TLS and a certificate for `name` that nobody trusts; gives its address and that certificate."""
    certificate, key = make_certificate(folder, name)
    with registry_server(folder, http=f"  tls: {{certificate: {certificate}, key: {key}}}\n") as address:
        yield address, certificate


def make_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A new certificate, signed by itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed: no certificate can be made")
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"]
    names = ["-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *names], check=True, capture_output=True)
    return certificate, key


def _token(certificate: Path, key: Path, scope: str, allowed: list[str]) -> str:
    """A token as distribution's specification has it, signed with RS256; `x5c` carries the certificate."""
    der = subprocess.run(["openssl", "x509", "-in", str(certificate), "-outform", "DER"], check=True, capture_output=True).stdout
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    granted = [one for one in actions.split(",") if one in allowed]
    now = int(time.time())
    claims = {"iss": "tests", "aud": "registry", "sub": USER, "exp": now + 300, "nbf": now - 10, "iat": now, "jti": "1"}
    claims |= {"access": [{"type": kind, "name": name, "actions": granted}] if scope else []}
    header = {"alg": "RS256", "typ": "JWT", "x5c": [base64.b64encode(der).decode()]}
    content = f"{_packed(json.dumps(header).encode())}.{_packed(json.dumps(claims).encode())}"
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(key)], input=content.encode(), check=True, capture_output=True)
    return f"{content}.{_packed(signed.stdout)}"


def _packed(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        assert server.poll() is None, log.read_text()
        try:
            requests.get(f"http://{address}/v2/", timeout=2)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the registry at {address} does not answer: {log.read_text()}")


@dataclass(frozen=True)
class Content:
    """An image as bytes: what its layers hold, how they are packed, its config."""

    layers: tuple[bytes, ...]
    packed: tuple[bytes, ...]
    config: bytes

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return tuple(digest_of(one) for one in self.layers)

    def manifest(self, packed: tuple[bytes, ...] | None = None) -> bytes:
        """With other layers than its own, if `packed` is given: a forgery that a registry accepts."""
        described = [_descriptor(LAYER, one) for one in packed or self.packed]
        document = {"schemaVersion": 2, "mediaType": MANIFEST, "config": _descriptor(CONFIG, self.config), "layers": described}
        return json.dumps(document).encode()


def content(*layers: bytes, **config: object) -> Content:
    """An image whose layers unpack to `layers` (any bytes: nobody here looks inside)."""
    rootfs = {"type": "layers", "diff_ids": [digest_of(one) for one in layers]}
    document = {"architecture": "amd64", "os": "linux", "config": config, "rootfs": rootfs}
    return Content(layers, tuple(gzip.compress(one, mtime=0) for one in layers), json.dumps(document).encode())


def upload(address: str, name: str, image: Content, tag: str, manifest: bytes = b"", headers: Mapping[str, str] | None = None) -> str:
    """Push an image, under another manifest than its own if one is given; gives the manifest's digest."""
    for blob in (*image.packed, image.config):
        upload_blob(address, name, blob, headers)
    data = manifest or image.manifest()
    url = f"http://{address}/v2/{name}/manifests/{tag}"
    answer = requests.put(url, data=data, headers={"Content-Type": MANIFEST, **(headers or {})}, timeout=30)
    assert answer.status_code == 201, answer.text
    return digest_of(data)


def upload_blob(address: str, name: str, blob: bytes, headers: Mapping[str, str] | None = None) -> None:
    started = requests.post(f"http://{address}/v2/{name}/blobs/uploads/", headers=headers, timeout=30)
    assert started.status_code == 202, started.text
    url = requests.compat.urljoin(f"http://{address}/", started.headers["Location"])
    joined = f"{url}{'&' if '?' in url else '?'}digest={digest_of(blob)}"
    stored = requests.put(joined, data=blob, headers={"Content-Type": "application/octet-stream", **(headers or {})}, timeout=30)
    assert stored.status_code == 201, stored.text


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(blob), "size": len(blob)}
