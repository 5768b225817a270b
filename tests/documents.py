"""The documentation as data: its pages, their fenced blocks, headings, links and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_ROW = re.compile(r"^\| `((?:[^`\\]|\\.)+)` \| (.*?) ?\|$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block. `line`: where its content begins."""

    page: Path
    line: int
    language: str
    text: str


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, *languages: str) -> Iterator[Block]:
    text = page.read_text()
    for found in _FENCE.finditer(text):
        if found[1] in languages:
            yield Block(page, text.count("\n", 0, found.start(2)) + 1, found[1], found[2])


def prose(page: Path) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The names under which headings can be linked to, as GitHub and GitLab make them."""
    titles = (found[1].replace("`", "").lower() for found in _HEADING.finditer(prose(page)))
    return {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in titles}


def section(page: Path, title: str) -> str:
    """What stands below a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{name(page)} has no section {title!r}"
    return found[1]


def rows(text: str) -> list[tuple[str, str]]:
    """The first cell of each table row, which is in backticks, and the rest."""
    return [(found[1].replace("\\|", "|"), found[2]) for found in _ROW.finditer(text)]
