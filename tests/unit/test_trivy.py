"""Trivy's command lines, environment, reports and databases; the program itself is a small one that does what a test needs."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.core.cancel import Cancel
from pipeline.core.finding import Severity
from pipeline.errors import ToolError, UsageError
from pipeline.tools.trivy import database, kept
from pipeline.tools.trivy.command import Trivy, download_argv, scan_argv
from pipeline.tools.trivy.report import decode, require_image
from tests.trivy_database import Advisory, write

ID = "sha256:" + "1" * 64
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def report(**changes: object) -> bytes:
    metadata = {"ImageID": ID, "DiffIDs": ["sha256:a", "sha256:b"], "OS": {"Family": "debian", "Name": "12.5"}}
    whole = {
        "SchemaVersion": 2,
        "Trivy": {"Version": "0.76.0"},
        "ArtifactName": ID,
        "ArtifactType": "container_image",
        "Metadata": metadata | {"ImageConfig": {"config": {"Env": ["TOKEN=hunter2hunter2"]}}},
        "Results": [{"Class": "os-pkgs", "Target": "x", "Packages": [{"Name": "openssl", "Version": "3"}], "New": 1}],
    }
    return json.dumps(whole | changes).encode()


def test_a_scan_reads_no_file_of_anyone_and_keeps_nothing() -> None:
    argv = scan_argv("/bin/trivy", ID, "docker", Path("/c"), 600.0, java=False, ca_bundle=Path("/ca.pem"))
    assert argv[:2] == ["/bin/trivy", "image"]
    assert argv[-1] == ID
    for name, value in {
        "--config": "",
        "--ignorefile": "",
        "--secret-config": "",
        "--cache-backend": "memory",
        "--cache-dir": "/c",
        "--image-src": "docker",
        "--scanners": "vuln,secret",
        "--image-config-scanners": "secret",
        "--format": "json",
        "--exit-code": "0",
        "--timeout": "600s",
        "--cacert": "/ca.pem",
    }.items():
        assert argv[argv.index(name) + 1] == value
    assert {"--skip-db-update", "--skip-java-db-update", "--offline-scan", "--disable-telemetry", "--skip-version-check"} <= set(argv)


def test_a_download_asks_the_named_repositories_only() -> None:
    argv = download_argv("trivy", ["one.example/db:2", "two.example/db:2"], Path("/f"), 60, ca_bundle=None)
    assert argv[argv.index("--db-repository") + 1] == "one.example/db:2,two.example/db:2"
    assert "--download-db-only" in argv
    assert "--cacert" not in argv
    assert "--db-repository" not in download_argv("trivy", [], Path("/f"), 60, ca_bundle=None)


def test_a_report_becomes_types_and_unknown_fields_are_ignored() -> None:
    found = decode(
        report(
            Results=[
                {
                    "Class": "lang-pkgs",
                    "Target": "Python",
                    "Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "p", "InstalledVersion": "1", "Severity": "HIGH"}],
                },
                {"Class": "secret", "Target": "/k", "Secrets": [{"RuleID": "r", "Severity": "LOW", "Title": "t", "Match": "hunter2"}]},
            ]
        )
    )
    assert found.results[0].vulnerabilities[0].severity is Severity.HIGH
    assert found.results[1].secrets[0].rule == "r"
    assert "hunter2" not in repr(found)
    assert (found.os, found.packages, decode(report()).packages) == ("debian 12.5", 0, 1)
    assert not found.unlisted
    assert decode(report(), b'x\tWARN\tThis OS version is not on the EOL list\tfamily="debian"\n').unlisted


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cannot be understood"),
        (b"all is well", "it starts with all is well"),
        (b"[]", "cannot be understood"),
        (b'{"SchemaVersion": 2}', "cannot be understood"),
        (report()[:-20], "cannot be understood"),
        (report(SchemaVersion=3), "schema 3"),
        (report(SchemaVersion="2"), "cannot be understood"),
        (report(ArtifactType="filesystem"), "not at an image"),
        (report(Metadata={"DiffIDs": []}), "ImageID"),
        (report(Results=[{"Class": "x", "Vulnerabilities": [{"VulnerabilityID": "CVE-1"}]}]), "cannot be understood"),
        (report(Results=[{"Class": "x", "Secrets": [{"RuleID": "r", "Title": "t", "Severity": "AWFUL"}]}]), "AWFUL"),
    ],
)
def test_what_is_no_report_is_an_error_that_quotes_no_secret(data: bytes, reason: str) -> None:
    with pytest.raises(ToolError, match=reason) as caught:
        decode(data)
    assert "hunter2" not in str(caught.value)


def test_the_report_must_be_of_the_very_image() -> None:
    seen = decode(report())
    require_image(seen, ID, ("sha256:a", "sha256:b"))
    with pytest.raises(ToolError, match="another image"):
        require_image(seen, "sha256:" + "2" * 64, ("sha256:a", "sha256:b"))
    for layers in (("sha256:b", "sha256:a"), ("sha256:a",), ()):
        with pytest.raises(ToolError, match="layers"):
            require_image(seen, ID, layers)
    with pytest.raises(ToolError, match="does not name"):
        require_image(seen, ID, ("sha256:a", "sha256:b"), f"host/x@{ID}")


class Fake:
    """A `trivy` that notes what it was given, and then does `text`."""

    def __init__(self, tmp_path: Path, text: str = "", **environ: str) -> None:
        self.noted = tmp_path / "noted"
        program = tmp_path / "bin" / "trivy"
        program.parent.mkdir()
        look = 'echo "files=$(find . "$HOME" -type f | wc -l)"; echo "db=$(readlink -f "$cache/db")"'
        note = f"{{ env; {look}; }} > {self.noted}"
        cache = 'while [ $# -gt 0 ]; do [ "$1" = --cache-dir ] && cache=$2; shift; done'
        program.write_text(f"#!/bin/sh\nverb=$1\n{cache}\n{note}\n{text}\n")
        program.chmod(0o755)
        self.environ = {"PATH": f"{program.parent}:{os.environ['PATH']}", "TMPDIR": str(tmp_path), "HOME": str(tmp_path)} | environ
        self.trivy = Trivy(self.environ, Cancel(), docker_host="unix:///run/docker.sock")

    def seen(self) -> dict[str, str]:
        return dict(line.partition("=")[::2] for line in self.noted.read_text().splitlines())


def test_trivy_sees_an_empty_folder_and_an_environment_of_named_variables(tmp_path: Path) -> None:
    job = {"TRIVY_SEVERITY": "LOW", "TRIVY_USERNAME": "u", "CI_JOB_TOKEN": "t", "XDG_CACHE_HOME": "/x", "HTTPS_PROXY": "http://proxy"}
    fake = Fake(tmp_path, f"echo '{report().decode()}'", **job)
    known = database.read(write(tmp_path / "database", []))
    fake.trivy.scan_image(ID, "docker", known, 10)
    seen = fake.seen()
    assert not [name for name in seen if name.startswith("TRIVY_")]
    assert not {"CI_JOB_TOKEN", "XDG_CACHE_HOME"} & set(seen)
    assert seen["HTTPS_PROXY"] == "http://proxy"
    assert seen["DOCKER_HOST"] == "unix:///run/docker.sock"
    assert seen["HOME"] != str(tmp_path)
    assert seen["files"] == "0"
    assert seen["db"] == str(tmp_path / "database" / "db")
    assert not list(tmp_path.glob("release-chain-*"))


def test_a_name_is_never_scanned(tmp_path: Path) -> None:
    known = database.read(write(tmp_path / "database", []))
    for name in ("agent", "agent:1.0", "registry.example.com/agent:1.0", "sha256:12"):
        with pytest.raises(UsageError, match="may be replaced"):
            Trivy({}, Cancel()).scan_image(name, "remote", known, 10)


def test_a_version_is_json(tmp_path: Path) -> None:
    assert Fake(tmp_path, 'echo \'{"Version":"0.76.0","VulnerabilityDB":{}}\'').trivy.version() == "0.76.0"
    (tmp_path / "bin" / "trivy").write_text("#!/bin/sh\necho Version: 1\n")
    with pytest.raises(ToolError, match="does not tell its version"):
        Trivy({"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}, Cancel()).version()


def test_a_temporary_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no temporary folder"):
        Trivy({"TMPDIR": str(tmp_path / "none")}, Cancel()).version()


def test_a_database_is_known_by_its_bytes(tmp_path: Path) -> None:
    one = database.read(write(tmp_path / "one", [Advisory("CVE-1", "p")], updated=NOW))
    two = database.read(write(tmp_path / "two", [Advisory("CVE-2", "p")], updated=NOW, demo=True))
    assert one.digest != two.digest
    assert (one.updated, one.demo, two.demo) == ("2026-11-23T12:00:00Z", False, True)


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (None, "there is no vulnerability database"),
        ("{", "cannot be understood"),
        ("{}", "cannot be understood"),
        ('{"Version":1,"UpdatedAt":"2026-11-23T00:00:00Z","NextUpdate":"2026-11-24T00:00:00Z"}', "schema 1"),
        ('{"Version":2,"UpdatedAt":"2026-11-23T00:00:00","NextUpdate":"2026-11-24T00:00:00Z"}', "no zone"),
    ],
)
def test_a_database_that_is_not_one_is_an_error(tmp_path: Path, metadata: str | None, reason: str) -> None:
    folder = write(tmp_path / "d", [])
    path = folder / "db" / "metadata.json"
    path.write_text(metadata) if metadata is not None else path.unlink()
    with pytest.raises(ToolError, match=reason):
        database.read(folder)


def test_nanoseconds_and_a_missing_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "d", [])
    times = {"UpdatedAt": "2026-11-23T06:33:12.123456789Z", "NextUpdate": "2026-11-24T06:33:12.123456789Z"}
    (folder / "db" / "metadata.json").write_text(json.dumps({"Version": 2, "DownloadedAt": "0001-01-01T00:00:00Z"} | times))
    assert database.read(folder).updated == "2026-11-23T06:33:12Z"
    assert database.due(database.read_stamp(folder), NOW + DAY)
    assert database.read(folder).java_digest == ""
    (folder / "java-db").mkdir()
    (folder / "java-db" / "metadata.json").write_text("{}")
    assert database.read(folder).java_digest.startswith("sha256:")
    (folder / "db" / "trivy.db").unlink()
    with pytest.raises(ToolError, match="cannot be read"):
        database.read(folder)


@pytest.mark.parametrize(
    ("age", "flaw"),
    [
        (timedelta(0), ""),
        (timedelta(hours=48), ""),
        (timedelta(hours=49), "49 hours old, and 48 hours are allowed"),
        (timedelta(minutes=-5), ""),
        (timedelta(minutes=-20), "in the future"),
    ],
)
def test_the_age_of_a_database(age: timedelta, flaw: str) -> None:
    stamp = database.Stamp(2, NOW - age, NOW + DAY)
    assert flaw in database.flaw(stamp, NOW, timedelta(hours=48))
    assert bool(flaw) == bool(database.flaw(stamp, NOW, timedelta(hours=48)))


@pytest.mark.parametrize(
    ("next_update", "looked", "due"),
    [
        (NOW + DAY, None, False),
        (NOW, None, True),
        (NOW, NOW - DAY, True),
        (NOW, NOW - timedelta(minutes=59), False),
        (NOW, NOW + DAY, True),
    ],
)
def test_when_to_look_for_a_newer_database(next_update: datetime, looked: datetime | None, due: bool) -> None:
    assert database.due(database.Stamp(2, NOW - DAY, next_update, looked), NOW) is due


def test_what_is_fetched_is_kept_and_what_is_old_is_removed(tmp_path: Path) -> None:
    write(tmp_path / "served", [], updated=NOW)
    fake = Fake(tmp_path, f'cp -r {tmp_path}/served/db "$cache/"')
    cache = tmp_path / "cache"
    for name in ("db-old", "new-left", "db-recent"):
        write(cache / name, [], updated=NOW - 9 * DAY)
    for name in ("db-old", "new-left"):
        os.utime(cache / name, (time.time() - 2 * 86400,) * 2)
    said: list[str] = []
    found = kept.current(fake.trivy, cache, [], now=NOW, max_age=DAY, say=said.append)
    assert found.folder.parent == cache
    assert (found.fixed, found.java, said) == (False, cache / "java-db", [])
    assert {path.name for path in cache.iterdir()} == {"db-recent", "java-db", found.folder.name}
    fake.noted.unlink()
    assert kept.current(fake.trivy, cache, [], now=NOW, max_age=DAY, say=said.append) == found
    assert not fake.noted.exists()


def test_a_young_database_serves_when_no_newer_one_can_be_fetched(tmp_path: Path) -> None:
    fake = Fake(tmp_path, "echo no route to host >&2; exit 1")
    cache = tmp_path / "cache"
    write(cache / "db-there", [], updated=NOW - timedelta(hours=30))
    said: list[str] = []
    found = kept.current(fake.trivy, cache, [], now=NOW, max_age=2 * DAY, say=said.append)
    assert found.folder == cache / "db-there"
    assert "could not be renewed" in said[0]
    with pytest.raises(ToolError, match=r"(?s)could be fetched.*no route to host") as caught:
        kept.current(fake.trivy, cache, [], now=NOW, max_age=DAY, say=said.append)
    assert "database-repositories" in caught.value.mend


def test_a_fetched_database_that_is_too_old_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "served", [], updated=NOW - 9 * DAY)
    fake = Fake(tmp_path, f'cp -r {tmp_path}/served/db "$cache/"')
    with pytest.raises(ToolError, match="216 hours old"):
        kept.current(fake.trivy, tmp_path / "cache", [], now=NOW, max_age=DAY, say=print)


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(ToolError, match="cannot be written"):
        kept.current(Fake(tmp_path).trivy, tmp_path / "cache", [], now=NOW, max_age=DAY, say=print)
