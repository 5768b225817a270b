"""What the documentation says is so: links, commands with their options, configuration, records. What it shows is run by test_readme."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec
import pytest

from pipeline.cli.main import COMMANDS, root
from pipeline.commands import init
from pipeline.commands.result import GateResult, Result
from pipeline.config import schema
from pipeline.config.load import load, load_waivers
from pipeline.core import record
from pipeline.core.finding import Finding
from pipeline.reports.document import Document
from pipeline.rollout.journal import Entry
from tests import documents
from tests.documents import PAGES, ROOT, Block

README, EVIDENCE, REFERENCE = ROOT / "README.md", ROOT / "docs" / "evidence.md", ROOT / "docs" / "commands.md"
# Whoever reads the documentation is led here and nowhere else; example.com is nobody.
HOSTS = {
    *("docs.docker.com", "github.com", "keepachangelog.com", "opencontainers.org", "semver.org", "www.openpolicyagent.org"),
    *("docs.github.com", "docs.gitlab.com", "your.host", "127.0.0.1", "localhost", "mirror.gcr.io", "ghcr.io"),
}
RECORDS: dict[str, type[msgspec.Struct]] = {
    "The record of a step": record.Evidence,
    "Facts of `version`": record.VersionFacts,
    "Facts of `check`": record.CheckFacts,
    "Facts of `adopt`": record.AdoptFacts,
    "Facts of `build`": record.BuildFacts,
    "Inputs of `build`": record.BuildInputs,
    "Facts of `stage`": record.StageFacts,
    "Facts of `scan`": record.ScanFacts,
    "Facts of `policy`": record.PolicyFacts,
    "Facts of `publish`": record.PublishFacts,
    "Facts of `deploy`": record.DeployFacts,
    "Finding": Finding,
    "Result": Result,
    "Result of a gate": GateResult,
    "Verdict": Document,
    "Journal": Entry,
}
# The tables of the configuration, but for those that a project names.
TABLES = {one.name: type(one.default) for one in msgspec.structs.fields(schema.File) if isinstance(one.default, msgspec.Struct)}
TABLES |= {"image": schema.Image}


def command(*path: str) -> click.Command:
    found: click.Command = root
    for one in path:
        assert isinstance(found, click.Group)
        inner = found.get_command(click.Context(found), one)
        assert inner, f"there is no command {' '.join(path)}"
        found = inner
    return found


def options(found: click.Command, *, shared: bool) -> list[tuple[str, str]]:
    """The options as `--help` shows them: those that every verb has, or those of its own."""
    records = [(set(one.opts), one.get_help_record(click.Context(found))) for one in found.params if isinstance(one, click.Option)]
    everywhere = {"--debug", "--verbose", "--json", "--directory"}
    return [shown for names, shown in records if shown and bool(names & everywhere) == shared]


def verbs() -> list[tuple[str, ...]]:
    """Every command, and those of a group after it."""
    inner = {name: getattr(command(name), "commands", {}) for name in COMMANDS}
    return [path for name in COMMANDS for path in ((name,), *((name, one) for one in inner[name]))]


def calls(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Every call of `pipeline` in a block, with the place where it stands."""
    for block in documents.blocks(page, "sh", "console", "yaml"):
        for number, text in enumerate(block.text.splitlines(), block.line):
            found = re.match(r"\s*(?:\$ |- |run: |- run: )?(pipeline(?: [^#]*)?)(?:#.*)?$", text)
            if found and (block.language != "console" or text.startswith("$ ")):
                yield f"{documents.name(page)}:{number}", shlex.split(found[1])[1:]


@pytest.mark.parametrize("page", PAGES, ids=documents.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in documents.links(page):
        path, _, anchor = link.partition("#")
        if urlsplit(link).scheme:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), f"{link} leaves the repository"
        assert target.exists(), f"{link} does not exist"
        assert not anchor or anchor in documents.anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=documents.name)
def test_addresses_are_public_ones_or_nobodys(page: Path) -> None:
    for address in re.findall(r"https?://[^\s)\"'`>]+", page.read_text()):
        host = urlsplit(address).hostname or ""
        assert host in HOSTS or host == "example.com" or host.endswith(".example.com"), address


@pytest.mark.parametrize("page", PAGES, ids=documents.name)
def test_every_call_shown_is_one_that_exists(page: Path) -> None:
    for place, arguments in calls(page):
        path: list[str] = []
        while arguments and isinstance(command(*path), click.Group) and not arguments[0].startswith("-"):
            path.append(arguments.pop(0))
        found = command(*path)
        given = {argument.partition("=")[0] for argument in arguments if argument.startswith("-")}
        unknown = given - {name for one in found.params for name in one.opts}
        assert not unknown, f"{place}: {path} has no {unknown}"
        with click.Context(found) as context:
            found.make_parser(context).parse_args([one.replace("$(", "(") for one in arguments])


def test_the_readme_lists_the_commands() -> None:
    listed = [(name.removeprefix("pipeline "), text) for name, text in documents.rows(documents.section(README, "Commands"))]
    assert listed == [(name, text) for name, (_, text) in COMMANDS.items()]


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_each_command_is_described_as_its_help_does(verb: tuple[str, ...]) -> None:
    text, found = documents.section(REFERENCE, f"`pipeline {' '.join(verb)}`"), command(*verb)
    assert text.lstrip().startswith(f"{found.help}\n")
    assert documents.rows(text) == options(found, shared=False)


def test_the_options_of_every_verb() -> None:
    listed = documents.rows(documents.section(REFERENCE, "Commands"))
    for verb in verbs():
        if not isinstance(command(*verb), click.Group):
            assert options(command(*verb), shared=True) == listed


@pytest.mark.parametrize(("title", "kind"), RECORDS.items(), ids=RECORDS)
def test_each_record_has_the_fields_that_are_listed(title: str, kind: type[msgspec.Struct]) -> None:
    assert [name for name, _ in documents.rows(documents.section(EVIDENCE, title))] == list(kind.__struct_fields__)


def test_the_schema_names() -> None:
    defaults = {field.default for kind in RECORDS.values() for field in msgspec.structs.fields(kind) if field.name == "schema"}
    named = set(re.findall(r"release-chain/\w+/v\d+", EVIDENCE.read_text()))
    assert defaults <= named


def _toml() -> list[Block]:
    return [block for page in PAGES for block in documents.blocks(page, "toml")]


@pytest.mark.parametrize("block", _toml(), ids=lambda block: f"{documents.name(block.page)}:{block.line}")
def test_configuration_that_is_shown_is_accepted(block: Block, tmp_path: Path) -> None:
    waivers = "[[waiver]]" in block.text
    (tmp_path / ("waivers.toml" if waivers else "pipeline.toml")).write_text(block.text)
    (tmp_path / "policies").mkdir()
    load(tmp_path, {}, {})
    assert load_waivers(tmp_path) or not waivers


@pytest.mark.parametrize("page", PAGES, ids=documents.name)
def test_keys_that_are_named_exist(page: Path) -> None:
    """A key in prose, `[scan] database`: table and key are the configuration's."""
    for table, key in re.findall(r"`\[([a-z]+)\] ([a-z-]+)[^`]*`", documents.prose(page)):
        assert key in {field.encode_name for field in msgspec.structs.fields(TABLES[table])}, f"[{table}] {key}"


@pytest.mark.parametrize("system", ["gitlab", "github"])
def test_the_ci_file_in_the_readme_is_the_one_that_init_writes(system: init.Ci, tmp_path: Path) -> None:
    shown = list(documents.blocks(README, "yaml"))[0 if system == "gitlab" else 1]
    init.start(tmp_path, ci=(system,))
    written = (tmp_path / init.CI_FILES[system]).read_text().splitlines()
    for text in shown.text.splitlines():
        assert text in written, f"README.md: {text}"
