from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.finding import Finding, Severity
from pipeline.core.record import Evidence, Subject, VersionFacts, key_of
from pipeline.errors import ToolError, UsageError
from pipeline.evidence import Store, write_atomically

FACTS = VersionFacts(version="1.0.0", commit="a" * 40, tree="b" * 40, created="2026-01-01T00:00:00Z", tag="v1.0.0")
EVIDENCE = Evidence(
    "version",
    Subject("commit", "a" * 40),
    "sha256:k",
    {"git": "2"},
    FACTS,
    (Finding("R1", "t", Severity.HIGH),),
    job="local",
    started="now",
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    store = Store(tmp_path / ".pipeline", "local")
    store.write(EVIDENCE)
    assert store.read("version") == EVIDENCE
    assert store.facts("version", VersionFacts) == FACTS
    assert (tmp_path / ".pipeline" / ".gitignore").read_text() == "*\n"


def test_evidence_of_another_job_is_not_trusted(tmp_path: Path) -> None:
    Store(tmp_path, "gitlab-1-1").write(EVIDENCE)
    assert Store(tmp_path, "gitlab-1-2").read("version") is None


@pytest.mark.parametrize("damage", [b"", b"{", b'{"schema":"release-chain/evidence/v9"}', b"\xff\xfe", b'{"step":"version","evil":1}'])
def test_what_cannot_be_read_counts_as_absent(tmp_path: Path, damage: bytes) -> None:
    store = Store(tmp_path, "local")
    store.write(EVIDENCE)
    (tmp_path / "evidence" / "default" / "version.json").write_bytes(damage)
    assert store.read("version") is None
    with pytest.raises(UsageError, match="no evidence"):
        store.facts("version", VersionFacts)


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError, match="cannot be written"):
        Store(tmp_path / "file", "local").write(EVIDENCE)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")
    with pytest.raises(TypeError):
        write_atomically(target, "not bytes")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert target.read_bytes() == b"old"


def test_keys_are_equal_only_if_every_part_is() -> None:
    assert key_of(a=1, b=["x"]) == key_of(b=["x"], a=1)
    assert len({key_of(a=1), key_of(a=2), key_of(a="1"), key_of(b=1), key_of()}) == 5
