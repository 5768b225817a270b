"""The scan gate and a registry: an adopted image, judged by its digest where it is, and the database that is fetched from one."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import requests

from pipeline.context import Context
from pipeline.core.record import BuildFacts, Evidence, ScanFacts, Subject
from pipeline.errors import ToolError
from pipeline.steps import scan
from tests.integration.images import Image, engine
from tests.integration.scanning import FIXABLE, UNFIXED, Bench, bench, image, needs_trivy, said
from tests.trivy_database import Advisory, write

__all__ = ["bench", "image"]  # fixtures: pytest finds them by name
pytestmark = [needs_trivy, pytest.mark.skipif(not shutil.which("docker-registry"), reason="needs docker-registry on PATH")]

ACCEPT = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
USER, PASSWORD = "someone", "pass"
HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuZFBUbfXoM8LFiPx8LYlO/sXZB/Cwk3K\n"
LAYER = "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip"
CONFIG = "application/vnd.aquasec.trivy.config.v1+json"


@contextlib.contextmanager
def registry(folder: Path, *, locked: bool = False) -> Iterator[str]:
    """A registry of Debian's kind on this machine; `locked`: only for `USER`."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder.mkdir()
    (folder / "htpasswd").write_text(HTPASSWD)
    auth = {"auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}} if locked else {}
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    config = {"version": "0.1", "log": {"level": "error"}, "storage": storage, "http": {"addr": address}, **auth}
    (folder / "config.yml").write_text(json.dumps(config))
    with subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.yml")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            _wait(address)
            yield address
        finally:
            server.terminate()


def _wait(address: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.ConnectionError):
            requests.get(f"http://{address}/v2/", timeout=5)
            return
        time.sleep(0.05)
    raise TimeoutError(address)


def pushed(image: Image, repository: str) -> str:
    """Push an image of the engine; returns the manifest's digest."""
    login = {"username": USER, "password": PASSWORD}
    with engine() as client:
        client.images.get(image.id).tag(repository, "test")
        answer = client.images.push(repository, "test", auth_config=login)
        client.images.remove(f"{repository}:test")
    assert "digest: sha256:" in answer, answer
    host, _, path = repository.partition("/")
    head = requests.head(f"http://{host}/v2/{path}/manifests/test", headers=ACCEPT, auth=(USER, PASSWORD), timeout=10)
    return head.headers["Docker-Content-Digest"]


def adopt(context: Context, image: Image, repository: str, manifest: str) -> None:
    """What `adopt` leaves: no image in the engine, but one in the registry."""
    before = context.evidence.facts("build", BuildFacts)
    facts = msgspec.structs.replace(before, engine_id="", repository=repository, manifest=manifest)
    context.evidence.write(Evidence("build", Subject("manifest", manifest), "", facts=facts, job="local"))


@pytest.mark.parametrize("locked", [False, True])
def test_an_adopted_image_is_judged_where_it_is(bench: Bench, image: Image, *, locked: bool) -> None:
    with registry(bench.tmp / "registry", locked=locked) as address:
        repository = f"{address}/rc-test/scan"
        manifest = pushed(image, repository)
        (bench.tmp / ".docker").mkdir()
        stored = {address: {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}}
        (bench.tmp / ".docker" / "config.json").write_text(json.dumps({"auths": stored}))
        context = bench.context(image)
        adopt(context, image, repository, manifest)
        evidence = scan.run(context)
        local = scan.run(bench.context(image))
        other = bench.context(replace(image, config="sha256:" + "0" * 64))
        adopt(other, image, repository, manifest)
        with pytest.raises(ToolError, match="looked at another image"):
            scan.run(other)
    assert evidence.subject == Subject("manifest", manifest)
    assert isinstance(evidence.facts, ScanFacts)
    assert evidence.facts.reference == f"{repository}@{manifest}"
    assert evidence.findings == local.findings
    assert evidence.key != local.key


def serve_database(address: str, folder: Path) -> str:
    """Put a database into the registry as Trivy's own are; returns its name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name in ("trivy.db", "metadata.json"):
            archive.add(folder / "db" / name, name)
    layer = _upload(address, gzip.compress(packed.getvalue()), LAYER) | {"annotations": {"org.opencontainers.image.title": "db.tar.gz"}}
    media = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": media, "config": _upload(address, b"{}", CONFIG), "layers": [layer]}
    url = f"http://{address}/v2/trivy-db/manifests/2"
    requests.put(url, data=json.dumps(manifest), headers={"Content-Type": media}, timeout=10).raise_for_status()
    return f"{address}/trivy-db:2"


def _upload(address: str, data: bytes, media: str) -> dict[str, object]:
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    place = requests.post(f"http://{address}/v2/trivy-db/blobs/uploads/", timeout=10).headers["Location"]
    requests.put(place, params={"digest": digest}, data=data, timeout=10).raise_for_status()
    return {"mediaType": media, "size": len(data), "digest": digest}


def test_the_database_is_fetched_kept_and_renewed(bench: Bench, image: Image, tmp_path: Path) -> None:
    day = timedelta(hours=25)
    first = write(tmp_path / "first", [FIXABLE], updated=datetime.now(UTC) - day)
    second = write(tmp_path / "second", [FIXABLE, UNFIXED, Advisory("CVE-1", "openssl")])
    kept = tmp_path / ".cache" / "release-chain" / "trivy"

    def scanned() -> set[str]:
        return {finding.rule for finding in scan.run(context).findings if finding.kind == "vulnerability"}

    with registry(tmp_path / "registry") as address:
        name = serve_database(address, first)
        bench.database = f'database-repositories = ["{name}"]'
        context = bench.context(image)
        assert scanned() == {"CVE-2022-0778"}
        (folder,) = kept.glob("db-*")
        stamp = json.loads((folder / "db" / "metadata.json").read_text())
        assert stamp["DownloadedAt"] > stamp["UpdatedAt"]
        serve_database(address, second)
        assert scanned() == {"CVE-2022-0778"}, "it was looked for within the hour: nothing is fetched"
        _forget(folder)
        assert scanned() == {"CVE-2022-0778", "CVE-2023-45853", "CVE-1"}
    assert scanned() == {"CVE-2022-0778", "CVE-2023-45853", "CVE-1"}, "without the registry the one that is there serves"
    shutil.rmtree(next(newer for newer in kept.glob("db-*") if newer != folder))
    _forget(folder)
    assert scanned() == {"CVE-2022-0778"}
    assert "could not be renewed" in said(context)
    shutil.rmtree(kept)
    with pytest.raises(ToolError, match="no vulnerability database could be fetched"):
        scanned()
    assert not list(kept.glob("new-*"))


def _forget(folder: Path) -> None:
    """As if the last look had been long ago."""
    path = folder / "db" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"DownloadedAt": "2020-01-01T00:00:00Z"}))
