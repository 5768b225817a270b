"""The house holds: imports run downwards, heavy libraries stay out of start-up, the exit codes are as documented."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import errors, flow

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "pipeline"
FLOORS = [
    {"cli"},
    {"commands"},
    {"flow"},
    {"steps"},
    {"tree"},
    {"inputs"},
    {"context"},
    {"rollout"},
    {"evidence"},
    {"ci", "reports"},
    {"tools", "config"},
    {"console", "resources"},
    {"core"},
    {"errors"},
]
# Rooms whose files do not import each other, and the base in each that the others may import.
CLOSED = {"steps": set(), "reports": set(), "tools": {"process", "http", "credentials", "location"}}
HEAVY = {"docker", "git", "requests", "kubernetes", "lxml", "rich", "semver", "importlib.metadata", "hypothesis", "yaml"}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def floor(room: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


def place(path: Path) -> tuple[str, str]:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0], parts[1] if len(parts) > 1 else ""


def imports(tree: ast.AST) -> set[tuple[str, str]]:
    """(room, file) of each import of our own."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pipeline":
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "pipeline"}
    return {((parts := [*name.split("."), "", ""])[1], parts[2]) for name in found}


@pytest.mark.parametrize("path", [path for path in FILES if path.stem != "__main__"], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path: Path) -> None:
    room, file = place(path)
    for other, other_file in imports(ast.parse(path.read_text())):
        if other == room:
            allowed = room not in CLOSED or other_file == file or other_file in CLOSED[room]
            assert allowed, f"{path.name} imports its sibling {other_file}"
        else:
            assert floor(other) > floor(room), f"{room} imports {other}"


def test_every_package_file_is_empty() -> None:
    assert not [path for path in PACKAGE.rglob("__init__.py") if path.read_text()]


def test_only_the_command_line_imports_click() -> None:
    users = {path.relative_to(PACKAGE).parts[0] for path in FILES if re.search(r"^\s*(import|from) click", path.read_text(), re.M)}
    assert users == {"cli"}


def test_only_the_top_reads_the_environment() -> None:
    readers = {path.relative_to(PACKAGE).parts[0] for path in FILES if re.search(r"os\.(environ|getenv)", path.read_text())}
    assert readers <= {"cli", "__main__.py"}


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["version", "--help"], ["version"]], ids=" ".join)
def test_heavy_libraries_stay_out_of_start_up(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline", *arguments], capture_output=True, text=True, cwd=ROOT, check=False
    )
    loaded = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "click" in loaded
    assert not loaded & HEAVY


def test_every_step_satisfies_the_protocol() -> None:
    names = {name for stages in flow.FLOWS.values() for stage in stages for name in stage}
    assert names == {path.stem for path in (PACKAGE / "steps").glob("*.py") if path.stem != "__init__"}
    for name in names:
        step = flow.load(name)
        assert step.title
        assert isinstance(step.tools, tuple)
        assert callable(step.skip)
        assert callable(step.run)
        assert flow.is_gate(step) == (name in flow.GATES)


def test_the_exit_codes_are_as_documented() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", (ROOT / "docs" / "exit-codes.md").read_text(), re.M)
    documented = {name: int(code) for code, name in rows}
    ours = {name: value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    assert documented == ours
    assert 1 not in ours.values()
