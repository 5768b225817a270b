"""What Trivy says about an image: the part of its JSON report that we judge by, as types."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from msgspec import structs

from pipeline.core.finding import Severity
from pipeline.core.text import line
from pipeline.errors import ToolError

SCHEMA: Final = 2
# Trivy then looks for advisories under a name that its database does not have, finds none, and ends well.
_UNLISTED: Final = re.compile(rb"not on the EOL list", re.IGNORECASE)
NO_FAMILY: Final = "none"  # what Trivy writes for an os-release that it does not know


class _Part(msgspec.Struct, frozen=True, rename="pascal"):
    """A part of a report; what it does not name is ignored, and what it names without a default must be there."""


class Os(_Part, frozen=True):
    """`eosl`: the distribution no longer mends this version."""

    family: str
    name: str = ""
    eosl: bool = msgspec.field(default=False, name="EOSL")


class Metadata(_Part, frozen=True):
    """`image_id`: the engine's ID from a docker source, the config digest from a remote one. `diff_ids` in order, base first."""

    image_id: str = msgspec.field(name="ImageID")
    diff_ids: tuple[str, ...] = msgspec.field(default=(), name="DiffIDs")
    repo_digests: tuple[str, ...] = ()
    os: Os | None = msgspec.field(default=None, name="OS")


class Package(_Part, frozen=True):
    name: str
    version: str = ""


class Vulnerability(_Part, frozen=True):
    """`fixed_version` is empty where no fixed version exists; `pkg_path` is relative to the image's root, empty for OS packages."""

    id: str = msgspec.field(name="VulnerabilityID")
    pkg_name: str
    installed_version: str
    severity: Severity
    fixed_version: str = ""
    pkg_path: str = ""
    title: str = ""
    status: str = ""
    primary_url: str = msgspec.field(default="", name="PrimaryURL")


class Secret(_Part, frozen=True):
    """The line that matched is not read: not even masked does it leave the report."""

    rule: str = msgspec.field(name="RuleID")
    severity: Severity
    title: str
    start_line: int = 0


class Result(_Part, frozen=True):
    """`target`: a path in the image, a language, or the image's name. `kind`: `os-pkgs`, `lang-pkgs`, `secret`."""

    kind: str = msgspec.field(name="Class")
    target: str = ""
    packages: tuple[Package, ...] = ()
    vulnerabilities: tuple[Vulnerability, ...] = ()
    secrets: tuple[Secret, ...] = ()


class Program(_Part, frozen=True):
    version: str


class Report(_Part, frozen=True):
    """One scan of one image. `unlisted`: Trivy said beside its report that it does not know this version of the operating system."""

    schema_version: int
    trivy: Program
    artifact_name: str
    artifact_type: str
    metadata: Metadata
    results: tuple[Result, ...] = ()
    unlisted: bool = False

    @property
    def packages(self) -> int:
        return sum(len(result.packages) for result in self.results)

    @property
    def os(self) -> str:
        """The operating system, such as `debian 12.1`; empty where Trivy recognised none."""
        found = self.metadata.os
        return f"{found.family} {found.name}".strip() if found and found.family != NO_FAMILY else ""


class _Head(_Part, frozen=True):
    schema_version: int


def decode(data: bytes, said: bytes = b"") -> Report:
    """Raises `ToolError` for what is not a report of an image in the schema that we know. `said`: what Trivy logged."""
    try:
        schema = msgspec.json.decode(data, type=_Head).schema_version
        if schema != SCHEMA:
            mend = "use a version of Trivy that `pipeline doctor` accepts"
            raise ToolError(f"Trivy's report has schema {schema}, and schema {SCHEMA} is what we understand", mend=mend)
        report = msgspec.json.decode(data, type=Report)
    except msgspec.DecodeError as error:
        raise ToolError(f"Trivy's report cannot be understood: {line(str(error))}{_excerpt(data)}") from error
    if report.artifact_type != "container_image":
        raise ToolError(f"Trivy looked at a {line(report.artifact_type, 50)!r}, not at an image")
    return structs.replace(report, unlisted=bool(_UNLISTED.search(said)))


def require_image(report: Report, image_id: str, diff_ids: tuple[str, ...], reference: str = "") -> None:
    """Raise `ToolError` unless Trivy looked at the very image: its ID, its layers in order and, from a registry, its `reference`."""
    seen = report.metadata
    mend = "build again, and let nothing else replace the image meanwhile"
    if seen.image_id != image_id:
        raise ToolError(f"Trivy looked at another image: {line(seen.image_id, 80) or 'none'} instead of {image_id}", mend=mend)
    if seen.diff_ids != diff_ids:
        raise ToolError(f"Trivy looked at another image: the layers of {image_id} are not those that were built", mend=mend)
    if reference and reference.rpartition("@")[2] not in {name.rpartition("@")[2] for name in seen.repo_digests}:
        raise ToolError(f"Trivy looked at another image: its report does not name {reference}", mend=mend)


def _excerpt(data: bytes) -> str:
    """The start of what is not JSON at all. A report is not quoted: the image's environment is in it."""
    start = data[:200].decode("utf-8", "replace").strip()
    return "" if start.startswith("{") or not start else f"; it starts with {line(start, 200)}"
