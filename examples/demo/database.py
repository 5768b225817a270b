"""A small vulnerability database of real facts, for machines that cannot fetch Trivy's own. Verdicts made with it are marked as a demo's.

Trivy keeps its database in a bbolt file (https://github.com/etcd-io/bbolt): pages of 4096 bytes, of which the first two are copies of the
meta page, then the list of free pages, then a B+ tree. Here the tree is a single leaf, with overflow pages where it needs them, and every
bucket lies inside its parent's value, which readers accept at any size.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

Bucket: TypeAlias = Mapping[str, "Bucket | bytes"]

PAGE = 4096
PAGE_HEADER = struct.Struct("<QHHI")  # its number, its kind, how many elements, how many pages more
ELEMENT = struct.Struct("<IIII")  # a bucket or not, where its key begins seen from here, sizes of key and value
BUCKET_HEADER = struct.Struct("<QQ")  # the page of its root, 0 for one that lies here; a sequence number
META = struct.Struct("<IIIIQQQQQ")
LEAF, META_PAGE, FREE_LIST, IS_BUCKET = 2, 4, 16, 1

PIP = "pip::GitHub Security Advisory Pip"
SOURCES = {
    PIP: ("ghsa", "GitHub Security Advisory Pip", "https://github.com/advisories?query=type%3Areviewed+ecosystem%3Apip"),
    "debian 12": ("debian", "Debian Security Tracker", "https://security-tracker.debian.org/tracker/"),
}
# Source, package, what is vulnerable (versions of PyPI) and where it is fixed.
FACTS = (
    (PIP, "urllib3", "CVE-2021-33503", {"VulnerableVersions": [">=1.25.4, <1.26.5"], "PatchedVersions": ["1.26.5"]}),
    (PIP, "urllib3", "CVE-2025-66418", {"VulnerableVersions": [">=1.24, <2.6.0"], "PatchedVersions": ["2.6.0"]}),
    (PIP, "urllib3", "CVE-2026-21441", {"VulnerableVersions": [">=1.22, <2.6.3"], "PatchedVersions": ["2.6.3"]}),
    (PIP, "requests", "CVE-2023-32681", {"VulnerableVersions": [">=2.3.0, <2.31.0"], "PatchedVersions": ["2.31.0"]}),
    ("debian 12", "glibc", "CVE-2023-4911", {"FixedVersion": "2.36-9+deb12u3"}),
    ("debian 12", "openssl", "CVE-2023-5363", {"FixedVersion": "3.0.11-1~deb12u2"}),
)
TITLES = {
    "CVE-2021-33503": ("HIGH", "urllib3: an authority with many @ characters makes its parser run away"),
    "CVE-2025-66418": ("HIGH", "urllib3: the number of links in a chain of decompressions is not bounded"),
    "CVE-2026-21441": ("HIGH", "urllib3: the body of a redirect is decompressed without bounds when it is drained"),
    "CVE-2023-32681": ("MEDIUM", "requests: Proxy-Authorization is sent to the destination on a redirect to https"),
    "CVE-2023-4911": ("HIGH", "glibc: buffer overflow in the dynamic loader by way of GLIBC_TUNABLES"),
    "CVE-2023-5363": ("HIGH", "openssl: the lengths of key and initialisation vector are processed in the wrong order"),
}


def write(cache: Path, now: datetime) -> None:
    """Write `db/` below a Trivy cache folder: the database, its metadata, and the mark of a demo's."""
    folder = cache / "db"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "DEMO").write_text("A few facts, made for a demonstration: no verdict on anything that ships.\n", encoding="utf-8")
    (folder / "trivy.db").write_bytes(bolt(buckets()))
    made = now.astimezone(UTC)
    times = {"UpdatedAt": made, "DownloadedAt": made, "NextUpdate": made + timedelta(days=1)}
    metadata = {"Version": 2} | {name: time.strftime("%Y-%m-%dT%H:%M:%SZ") for name, time in times.items()}
    (folder / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")


def buckets() -> Bucket:
    """The facts in the shape that Trivy looks them up by: source, package, identifier."""
    tree: dict[str, dict[str, Any]] = {"data-source": {}, "vulnerability": {}}
    for name, (identity, title, url) in SOURCES.items():
        tree["data-source"][name] = _json({"ID": identity, "Name": title, "URL": url})
    for source, package, identity, advisory in FACTS:
        tree.setdefault(source, {}).setdefault(package, {})[identity] = _json(advisory)
    for identity, (severity, title) in TITLES.items():
        weight = {"LOW": 1, "MEDIUM": 2, "HIGH": 3, "CRITICAL": 4}[severity]
        vendors = {"ghsa": weight, "nvd": weight}
        tree["vulnerability"][identity] = _json({"Title": title, "Severity": severity, "VendorSeverity": vendors})
    return tree


def bolt(tree: Bucket) -> bytes:
    """A whole bbolt file: meta, meta, free list, and the root leaf on page 3."""
    root = _pad(_leaf(tree, 3))
    pages = 3 + len(root) // PAGE
    free_list = _pad(PAGE_HEADER.pack(2, FREE_LIST, 0, 0))
    return _meta(0, pages) + _meta(1, pages) + free_list + root


def _leaf(tree: Bucket, number: int) -> bytes:
    """Header, elements, then keys and values in the order of the keys' bytes. `number` 0: inside a value, without overflow."""
    entries = sorted((key.encode(), value) for key, value in tree.items())
    elements, data = bytearray(), bytearray()
    for index, (key, value) in enumerate(entries):
        inner = not isinstance(value, bytes)
        stored = BUCKET_HEADER.pack(0, 0) + _leaf(value, 0) if not isinstance(value, bytes) else value
        begins = ELEMENT.size * (len(entries) - index) + len(data)
        elements += ELEMENT.pack(IS_BUCKET if inner else 0, begins, len(key), len(stored))
        data += key + stored
    more = (PAGE_HEADER.size + len(elements) + len(data) - 1) // PAGE if number else 0
    return PAGE_HEADER.pack(number, LEAF, len(entries), more) + bytes(elements) + bytes(data)


def _meta(number: int, pages: int) -> bytes:
    """Root bucket on page 3, free list on page 2, and a checksum over all of it; the transaction is the page's own number."""
    fields = META.pack(0xED0CDAED, 2, PAGE, 0, 3, 0, 2, pages, number)
    return _pad(PAGE_HEADER.pack(number, META_PAGE, 0, 0) + fields + struct.pack("<Q", _fnv1a(fields)))


def _fnv1a(data: bytes) -> int:
    state = 0xCBF29CE484222325
    for byte in data:
        state = (state ^ byte) * 0x100000001B3 % (1 << 64)
    return state


def _pad(page: bytes) -> bytes:
    return page + bytes(-len(page) % PAGE)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
