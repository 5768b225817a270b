"""A vulnerability database that the real Trivy reads, with the few facts that a test needs.

Trivy keeps it in a bbolt file: pages of 4096 bytes, two of them with the same metadata, one list of free pages (empty here), and one
leaf with every bucket inside it. Elements of a leaf are sorted by key; an element's position counts from its own header.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

PAGE = 4096
HEADER = struct.Struct("<QHHI")  # page id, kind, number of elements, further pages
ELEMENT = struct.Struct("<IIII")  # 1 for a bucket, position, length of the key, length of the value
LEAF, META, FREE = 2, 4, 16
SEVERITIES = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")

Tree = Mapping[str, "Tree | bytes"]


@dataclass(frozen=True)
class Advisory:
    """`package` is the source package for Debian. `fixed` empty: no fixed version yet."""

    id: str
    package: str
    fixed: str = ""
    severity: str = "HIGH"
    title: str = "a flaw"
    source: str = "debian 12"

    @property
    def affected(self) -> Mapping[str, object]:
        if self.source.startswith("debian"):
            return {"FixedVersion": self.fixed} if self.fixed else {}
        versions = {"VulnerableVersions": [f"< {self.fixed}" if self.fixed else ">= 0"]}
        return versions | ({"PatchedVersions": [self.fixed]} if self.fixed else {})


def write(folder: Path, advisories: Iterable[Advisory], *, updated: datetime | None = None, schema: int = 2, demo: bool = False) -> Path:
    """Write `folder/db/trivy.db` and its metadata, and return the folder."""
    made = updated or datetime.now(UTC)
    store = folder / "db"
    store.mkdir(parents=True)
    (store / "trivy.db").write_bytes(bolt(_tree(advisories)))
    stamp = {"Version": schema, "UpdatedAt": made.isoformat(), "NextUpdate": (made + timedelta(days=1)).isoformat()}
    (store / "metadata.json").write_text(json.dumps(stamp | {"DownloadedAt": made.isoformat()}))
    if demo:
        (store / "DEMO").touch()
    return folder


def bolt(tree: Tree) -> bytes:
    """A whole bbolt file: pages 0 and 1 metadata, 2 the free list, 3 and on the tree."""
    root = _leaf(tree, 3)
    pages = 3 + -(-len(root) // PAGE)
    free = HEADER.pack(2, FREE, 0, 0)
    return b"".join(part.ljust(-(-len(part) // PAGE) * PAGE, b"\0") for part in (_meta(0, pages), _meta(1, pages), free, root))


def _tree(advisories: Iterable[Advisory]) -> dict[str, Tree | bytes]:
    sources: dict[str, dict[str, dict[str, bytes]]] = {}
    details: dict[str, bytes] = {}
    for one in advisories:
        sources.setdefault(one.source, {}).setdefault(one.package, {})[one.id] = json.dumps(one.affected).encode()
        detail = {"Title": one.title, "Severity": one.severity, "VendorSeverity": {"nvd": SEVERITIES.index(one.severity)}}
        details[one.id] = json.dumps(detail).encode()
    named = {name: json.dumps({"ID": name.split(":")[0].split()[0], "Name": name, "URL": ""}).encode() for name in sources}
    return {"data-source": named, "vulnerability": details, **sources}


def _leaf(tree: Tree, page: int) -> bytes:
    """`page` 0: a bucket inside its parent's value."""
    start = HEADER.size + ELEMENT.size * len(tree)
    elements, content = b"", b""
    for place, (name, value) in enumerate(sorted(tree.items(), key=lambda item: item[0].encode())):
        data = value if isinstance(value, bytes) else struct.pack("<QQ", 0, 0) + _leaf(value, 0)
        position = start + len(content) - HEADER.size - ELEMENT.size * place
        elements += ELEMENT.pack(not isinstance(value, bytes), position, len(name.encode()), len(data))
        content += name.encode() + data
    further = (start + len(content) - 1) // PAGE if page else 0
    return HEADER.pack(page, LEAF, len(tree), further) + elements + content


def _meta(page: int, pages: int) -> bytes:
    """Magic number, format 2, page size; the tree at page 3, the free list at 2; the number of pages; a checksum (FNV-1a)."""
    fields = struct.pack("<IIIIQQQQQ", 0xED0CDAED, 2, PAGE, 0, 3, 0, 2, pages, page)
    checksum = 0xCBF29CE484222325
    for byte in fields:
        checksum = (checksum ^ byte) * 0x100000001B3 % 2**64
    return HEADER.pack(page, META, 0, 0) + fields + struct.pack("<Q", checksum)
