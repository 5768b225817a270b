"""What the scan gate cannot judge is an error, never a pass; what the real Trivy does not do on demand, a small program does."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.errors import CancelledError, ToolError
from pipeline.steps import scan
from tests.integration.images import Image
from tests.integration.scanning import FIXABLE, Bench, bench, image, needs_trivy
from tests.trivy_database import write

__all__ = ["bench", "image"]  # fixtures: pytest finds them by name
pytestmark = needs_trivy


@pytest.mark.parametrize(("age", "reason"), [(timedelta(days=3), "72 hours old, and 48 hours"), (-timedelta(days=1), "made in the future")])
def test_a_database_of_another_time_judges_nothing(bench: Bench, image: Image, age: timedelta, reason: str) -> None:
    shutil.rmtree(bench.tmp / "database")
    write(bench.tmp / "database", [FIXABLE], updated=datetime.now(UTC) - age)
    with pytest.raises(ToolError, match=reason) as caught:
        scan.run(bench.context(image))
    assert caught.value.mend


def test_a_database_that_trivy_cannot_read_judges_nothing(bench: Bench, image: Image) -> None:
    (bench.tmp / "database" / "db" / "trivy.db").write_bytes(b"\0" * 5000)
    with pytest.raises(ToolError, match="trivy ended with exit code 1"):
        scan.run(bench.context(image))
    shutil.rmtree(bench.tmp / "database" / "db")
    with pytest.raises(ToolError, match="no vulnerability database"):
        scan.run(bench.context(image))


def test_an_image_that_is_not_there_is_not_judged(bench: Bench, image: Image) -> None:
    missing = replace(image, id="sha256:" + "0" * 64)
    with pytest.raises(ToolError, match="exit code 1"):
        scan.run(bench.context(missing))


def test_other_layers_than_those_that_were_built_are_not_judged(bench: Bench, image: Image) -> None:
    with pytest.raises(ToolError, match="looked at another image"):
        scan.run(bench.context(replace(image, diff_ids=image.diff_ids[::-1])))


REPORT = '{"SchemaVersion":%d,"Trivy":{"Version":"0.76.0"},"ArtifactName":"x","ArtifactType":"container_image","Metadata":{"ImageID":"%s"}}'


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("echo 'panic: out of luck' >&2; exit 2", "exit code 2\npanic: out of luck"),
        ("kill -9 $$", "exit code -9"),
        ("exec sleep 60", "did not end in time"),
        ("exit 0", "cannot be understood"),
        ("echo it is all fine", "cannot be understood.*it is all fine"),
        ("echo '{}'", "cannot be understood"),
        (f"echo '{REPORT % (3, 'sha256:0')}'", "schema 3"),
        (f"echo '{REPORT % (2, 'sha256:0')}'", "looked at another image: sha256:0"),
    ],
)
def test_a_trivy_that_fails_is_never_a_pass(bench: Bench, image: Image, program: str, reason: str) -> None:
    bench.config = 'timeout = "1s"\n' if "sleep" in program else ""
    with pytest.raises(ToolError, match=f"(?s){reason}") as caught:
        scan.run(bench.context(image, environ=bench.program(program)))
    assert caught.value.code == 3


def test_a_missing_trivy_is_never_a_pass(bench: Bench, image: Image) -> None:
    with pytest.raises(ToolError, match="trivy is not installed") as caught:
        scan.run(bench.context(image, environ={"PATH": str(bench.tmp)}))
    assert caught.value.mend


def test_a_cancel_ends_the_scan(bench: Bench, image: Image) -> None:
    context = bench.context(image, environ=bench.program("exec sleep 60"))
    threading.Timer(0.5, context.cancel.set, [15]).start()
    with pytest.raises(CancelledError):
        scan.run(context)
