"""What the tests of the scan gate share: a project, a database, images, and a job's environment."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.config.load import load
from pipeline.console import Console
from pipeline.context import Context, Options
from pipeline.core.cancel import Cancel
from pipeline.core.job import Job
from pipeline.core.record import BuildFacts, BuildInputs, Evidence, Subject
from pipeline.evidence import Store
from tests.integration.images import Image, engine, loaded
from tests.trivy_database import Advisory, write

needs_trivy = pytest.mark.skipif(not shutil.which("trivy"), reason="needs trivy on PATH")

DEBIAN = {"etc/os-release": 'ID=debian\nVERSION_ID="12"\n', "etc/debian_version": "12.5\n"}
DPKG = """Package: openssl
Status: install ok installed
Version: 3.0.1-1
Architecture: amd64

Package: zlib1g
Status: install ok installed
Source: zlib
Version: 1:1.2.13
Architecture: amd64

"""
SYSTEM = DEBIAN | {"var/lib/dpkg/status": DPKG}
PYTHON = {"app/requests-2.30.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: requests\nVersion: 2.30.0\n"}
KEY = "AKIA" + "QYLPMN5HFIQR7BBB"
SECRET = {"opt/cloud.conf": f"[default]\naws_access_key_id={KEY}\n"}
FIXABLE = Advisory("CVE-2022-0778", "openssl", fixed="3.0.2-1", title="an endless loop")
UNFIXED = Advisory("CVE-2023-45853", "zlib", severity="CRITICAL")
LIBRARY = Advisory("CVE-2023-32681", "requests", fixed="2.31.0", severity="HIGH", source="pip::test")


@dataclass
class Bench:
    """A project, a database, and an environment like that of a job."""

    tmp: Path
    config: str = ""
    database: str = ""

    def context(self, image: Image, *, environ: Mapping[str, str] | None = None, options: Options | None = None) -> Context:
        root = self.tmp / "project"
        root.mkdir(exist_ok=True)
        database = self.database or f'database = "{self.tmp / "database"}"'
        (root / "pipeline.toml").write_text(f"[scan]\n{database}\n{self.config}")
        mine = {"PATH": os.environ["PATH"], "HOME": str(self.tmp), "TMPDIR": str(self.tmp)}
        mine |= {name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ}
        store = Store(root / ".pipeline", "local")
        facts = BuildFacts(image.config, image.id, image.diff_ids, BuildInputs("sha256:0"), "sha256:0")
        store.write(Evidence("build", Subject("config", image.config), "", facts=facts, job="local"))
        return Context(
            root=root,
            settings=load(root, mine, {}),
            job=Job(),
            evidence=store,
            console=Console(io.StringIO()),
            cancel=Cancel(),
            environ=mine | dict(environ or {}),
            now=datetime.now(UTC),
            options=options or Options(),
        )

    def program(self, text: str, version: str = '{"Version":"0.76.0"}') -> dict[str, str]:
        """A `trivy` before the real one on PATH: it tells its version, and does `text` when it is to scan."""
        folder = self.tmp / "bin"
        folder.mkdir(exist_ok=True)
        fake = folder / "trivy"
        fake.write_text(f"#!/bin/sh\n[ $1 = version ] && {{ echo '{version}'; exit 0; }}\n{text}\n")
        fake.chmod(0o755)
        return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    write(tmp_path / "database", [FIXABLE, UNFIXED, LIBRARY])
    return Bench(tmp_path)


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    with engine() as client, loaded(client, "rc-test-scan", SYSTEM, PYTHON | SECRET) as made:
        yield made


def said(context: Context) -> str:
    assert isinstance(context.console.stream, io.StringIO)
    return context.console.stream.getvalue()
