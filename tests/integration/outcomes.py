"""What a release left, asked of others than ourselves: the registry, and the reports on disk."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from pathlib import Path

from tests.command import Answer

_MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"


def digest(repository: str, tag: str) -> str:
    """The digest under a tag of `127.0.0.1:port/path`; empty where there is none."""
    try:
        with urllib.request.urlopen(_request(repository, f"manifests/{tag}"), timeout=10) as answer:
            return str(answer.headers["Docker-Content-Digest"])
    except urllib.error.HTTPError:
        return ""


def version_tags(repository: str) -> list[str]:
    """The tags that a user may pull; staging is none of them."""
    try:
        with urllib.request.urlopen(_request(repository, "tags/list"), timeout=10) as answer:
            found = json.load(answer)["tags"] or []
    except urllib.error.HTTPError:
        return []
    return sorted(tag for tag in found if not tag.startswith("staging-"))


def cases(root: Path, gate: str, child: str) -> list[str]:
    """The names of a gate's JUnit cases that have a `failure`, an `error`, a `system-out`."""
    suites = ET.parse(root / ".pipeline" / "reports" / f"{gate}.xml").getroot()
    return [case.get("name", "") for case in suites.iter("testcase") if case.find(child) is not None]


def half_written(root: Path) -> list[str]:
    """Temporary files that a run left under `.pipeline/`."""
    return [str(path) for path in (root / ".pipeline").rglob(".*") if path.name != ".gitignore"]


def explains(answer: Answer, code: int, *said: str) -> None:
    """One clear error: its exit code, what it must say, nothing on stdout, and what to do about it."""
    assert answer.code == code, answer.err
    assert answer.out == ""
    assert "pipeline: " in answer.err
    assert "what to do: " in answer.err, answer.err
    for one in said:
        assert one in answer.err, answer.err


def _request(repository: str, rest: str) -> urllib.request.Request:
    address, _, path = repository.partition("/")
    return urllib.request.Request(f"http://{address}/v2/{path}/{rest}", headers={"Accept": _MANIFESTS})
