"""Our parser beside BuildKit's own, on the Dockerfiles of public projects.

They come as Go modules, by the ordinary client, into its cache; none is kept here. The judge is PyPI's `dockerfile`: BuildKit's
parser as a library. It has no arm64 wheel, and it judges the grammar only: what BuildKit refuses later (an unknown instruction or
flag, a missing argument) is told by our unit tests.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.dockerfile.model import Dockerfile, Instruction
from pipeline.core.dockerfile.parser import parse
from pipeline.errors import UsageError

buildkit = pytest.importorskip("dockerfile", reason="PyPI's `dockerfile` is not installed (it has no wheel for this machine?)")

# What was read, or why it was refused.
Parsed = list[dict[str, Any]] | str

MODULES = (
    "github.com/moby/buildkit@v0.25.1",
    "github.com/GoogleContainerTools/kaniko@v1.24.0",
    "github.com/docker/cli@v28.4.0+incompatible",
    "github.com/docker/buildx@v0.29.1",
    "github.com/goreleaser/goreleaser/v2@v2.11.0",
    "github.com/moby/moby@v28.4.0+incompatible",
)
ENOUGH = 100
NAMES = re.compile(r"(?i)(.*[._-])?dockerfile([._-].*)?\Z")
NO_DOCKERFILES = {
    ".dockerignore",
    ".go",
    ".nanorc",
    ".tmLanguage",
    ".tmPreferences",
    ".txt",
    ".json",
    ".md",
    ".sh",
    ".yaml",
    ".yml",
    ".hcl",
    ".tmpl",
    ".golden",
    ".toml",
}
# BuildKit's parser reads these; its next step, which the library does not have, refuses them as we do.
REFUSED_LATER = re.compile(
    "no instruction|has no flag|needs an argument|needs a source|no FROM|before the first FROM|FROM takes|HEALTHCHECK is"
)
# Where we differ on purpose: file → why.
DIFFERENT = {
    "github.com/GoogleContainerTools/kaniko@v1.24.0/integration/dockerfiles/Dockerfile_test_cmd": (
        "text after a JSON list: the library's BuildKit 0.12 overlooks it, today's (0.25) takes the whole for the shell form, as we do"
    )
}


@pytest.fixture(scope="module")
def corpus() -> dict[str, bytes]:
    """Every different Dockerfile of the modules, by its path in them."""
    go = shutil.which("go")
    if not go:
        pytest.skip("Go is not installed: the public Dockerfiles come as Go modules")
    found: dict[bytes, str] = {}
    for module in MODULES:
        done = subprocess.run([go, "mod", "download", "-json", module], capture_output=True, timeout=300, check=False, cwd="/")
        answer = json.loads(done.stdout or b"{}")
        if done.returncode or "Dir" not in answer:
            pytest.skip(f"{module} cannot be downloaded: {answer.get('Error') or done.stderr.decode(errors='replace')}")
        folder = Path(answer["Dir"])
        for path in sorted(_dockerfiles(folder)):
            found.setdefault(path.read_bytes(), f"{module}/{path.relative_to(folder)}")
    return {name: data for data, name in found.items()}


def _dockerfiles(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if NAMES.match(path.name) and path.suffix not in NO_DOCKERFILES and path.is_file():
            yield path


def test_we_read_what_buildkit_reads(corpus: dict[str, bytes], capsys: pytest.CaptureFixture[str]) -> None:
    both = {name: (_ours(data), _theirs(data)) for name, data in corpus.items()}
    read = [ours for ours, theirs in both.values() if isinstance(ours, list) and isinstance(theirs, list)]
    with capsys.disabled():
        print(f"\n{len(read)} public Dockerfiles with {sum(map(len, read))} instructions compared, {len(both) - len(read)} refused")
    different = {name: found for name, (ours, theirs) in both.items() if (found := _difference(ours, theirs))}
    assert {name: found for name, found in different.items() if name not in DIFFERENT} == {}
    assert set(different) == set(DIFFERENT)
    assert len(read) >= ENOUGH


def _difference(ours: Parsed, theirs: Parsed) -> str:
    if isinstance(ours, str) or isinstance(theirs, str):
        agreed = isinstance(ours, str) and (isinstance(theirs, str) or REFUSED_LATER.search(ours))
        return "" if agreed else f"we: {str(ours)[:200]}, BuildKit: {str(theirs)[:200]}"
    if len(ours) != len(theirs):
        return f"{len(ours)} instructions, {len(theirs)} to BuildKit"
    return next((f"{one} is {other} to BuildKit" for one, other in zip(ours, theirs, strict=True) if one != other), "")


def test_both_refuse_what_buildkit_keeps_as_broken(corpus: dict[str, bytes]) -> None:
    broken = [data for name, data in corpus.items() if "/testfiles-negative/" in name]
    assert broken
    for data in broken:
        assert isinstance(_ours(data), str)


def _ours(data: bytes) -> Parsed:
    try:
        return [_as_theirs(one) for one in _all(parse(data))]
    except UsageError as error:
        return str(error)


def _all(parsed: Dockerfile) -> list[Instruction]:
    return [*parsed.global_args, *(one for stage in parsed.stages for one in (stage.start, *stage.instructions))]


def _as_theirs(one: Instruction) -> dict[str, Any]:
    """The library has names and values of ENV and LABEL one after the other, and heredocs at the end of the original text."""
    inner = one.trigger or one
    named = inner.keyword in ("ENV", "LABEL")
    documents = "".join(f"{heredoc.content}{heredoc.name}\n" for heredoc in one.heredocs)
    return {
        "keyword": one.keyword,
        "inner": one.trigger.keyword if one.trigger else None,
        "json": inner.form == "exec",
        "flags": one.flags,
        "value": tuple(word for pair in inner.pairs for word in pair) if named else inner.args,
        "lines": (one.line, one.end_line),
        "original": f"{one.raw}\n{documents}" if one.heredocs and not one.trigger else one.raw,
        "heredocs": () if one.trigger else tuple((heredoc.name, heredoc.content) for heredoc in one.heredocs),
    }


def _theirs(data: bytes) -> Parsed:
    try:
        parsed = buildkit.parse_string(data.decode())
    except UnicodeDecodeError:
        return "not UTF-8"
    except buildkit.GoParseError as error:
        return str(error)
    return [_normal(one) for one in parsed]


def _normal(one: Any) -> dict[str, Any]:
    keyword, inner = one.cmd.upper(), one.sub_cmd.upper() if one.sub_cmd else None
    kind, *rest = one.value or ("",)
    return {
        "keyword": keyword,
        "inner": inner,
        "json": one.json,
        "flags": tuple(_flag(flag) for flag in one.flags),
        "value": (kind.upper(), *rest) if (inner or keyword) == "HEALTHCHECK" else one.value,
        "lines": (one.start_line, one.end_line),
        "original": one.original,
        "heredocs": tuple((heredoc.name, heredoc.content) for heredoc in one.heredocs),
    }


def _flag(flag: str) -> tuple[str, str]:
    name, given, value = flag.removeprefix("--").partition("=")
    return name, value if given else "true"
