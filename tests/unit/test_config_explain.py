"""`pipeline config`: what is shown, the published schema, and the reference in the documentation."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from pipeline.commands import config
from pipeline.config import explain
from pipeline.config.load import load

ROOT = Path(__file__).resolve().parents[2]
FILE = """\
[image]
repository = "${REGISTRY}/agent"
args = { PLAIN = "1", TAKEN = "${TOKEN}" }

[scan]
enforce-from = 2027-02-01
"""
ENVIRON = {"REGISTRY": "registry.example.com", "TOKEN": "hunter2"}


def in_force(folder: Path, text: str = FILE) -> config.InForce:
    (folder / "pipeline.toml").write_text(text)
    return config.in_force(load(folder, ENVIRON, {"project.source": "https://example.com/agent"}))


def test_each_value_says_where_it_comes_from(tmp_path: Path) -> None:
    origins = {value.key: value.origin for value in in_force(tmp_path).values}
    assert origins["image.args.PLAIN"] == "pipeline.toml:3"
    assert origins["image.args.TAKEN"] == "environment variable TOKEN, pipeline.toml:3"
    assert origins["scan.enforce-from"] == "pipeline.toml:6"
    assert origins["scan.timeout"] == "default"
    assert origins["project.source"] == "CI"
    assert origins["project.name"] == "the folder's name"


def test_what_the_environment_gave_is_hidden(tmp_path: Path) -> None:
    answer = in_force(tmp_path)
    for shown in (config.as_text(answer), config.as_json(answer)):
        assert "***" in shown
        assert "hunter2" not in shown
        assert "registry.example.com" not in shown


def test_the_text_is_toml_that_says_the_same(tmp_path: Path) -> None:
    text = config.as_text(in_force(tmp_path)).replace("***", "registry.example.com/x")
    again = tmp_path / "again"
    again.mkdir()
    assert tomllib.loads(text)["scan"]["timeout"] == "10m"
    (again / "pipeline.toml").write_text(text)
    first, second = load(tmp_path, ENVIRON, {}), load(again, {}, {})
    assert (second.file.scan, second.file.version, second.file.policy) == (first.file.scan, first.file.version, first.file.policy)


def test_every_table_is_shown_without_a_file(tmp_path: Path) -> None:
    text = config.as_text(config.in_force(load(tmp_path, {}, {})))
    assert re.findall(r"^\[(\w+)\]$", text, re.M) == ["project", "image", "version", "check", "scan", "policy", "network", "release"]
    assert re.search(r"^# repository = +# default$", text, re.M)


def test_the_json_names_its_schema(tmp_path: Path) -> None:
    answer = json.loads(config.as_json(in_force(tmp_path)))
    assert answer["schema"] == config.SCHEMA
    assert {"key": "image.args.PLAIN", "value": "1", "origin": "pipeline.toml:3", "table": "image.args", "name": "PLAIN"} in answer[
        "values"
    ]


def test_the_published_schema_is_the_one_we_print() -> None:
    published = (ROOT / "docs" / "schema" / "pipeline.schema.json").read_text()
    assert published == config.schema() + "\n", "write it anew: pipeline config --schema > docs/schema/pipeline.schema.json"


def test_the_schema_describes_every_key_and_refuses_others() -> None:
    made = explain.json_schema()
    assert "null" not in json.dumps(made)
    for table in made["$defs"].values():
        if "properties" in table:
            assert table["additionalProperties"] is False
            assert table["description"]
            assert all(key["description"] and "_" not in name for name, key in table["properties"].items())


def test_the_documentation_has_every_key_with_its_default() -> None:
    assert reference() in (ROOT / "docs" / "configuration.md").read_text(), "write it anew: python -m tests.unit.test_config_explain"


TITLES = {
    "Project": "[project]",
    "Image": "[image], [images.NAME]",
    "SecretSource": "a secret's source",
    "Version": "[version]",
    "Check": "[check]",
    "Scan": "[scan]",
    "Policy": "[policy]",
    "Network": "[network]",
    "Release": "[release]",
    "Environment": "[environments.NAME]",
    "Probe": "[environments.NAME.probe]",
    "Container": "[environments.NAME.container]",
}


def reference() -> str:
    """The part of the documentation that is made from the schema."""
    tables = explain.json_schema()["$defs"]
    assert set(TITLES) == {name for name, table in tables.items() if "properties" in table} - {"File"}
    return "\n".join(_section(title, tables[name]) for name, title in TITLES.items())


def _section(title: str, table: dict[str, Any]) -> str:
    rows = [f"| `{name}` | {_default(name, key, table)} | {key['description']} |" for name, key in table["properties"].items()]
    return "\n".join(
        [
            f"### {title}" if title[0] != "[" else f"### `{title}`",
            "",
            table["description"],
            "",
            "| key | default | |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _default(name: str, key: dict[str, Any], table: dict[str, Any]) -> str:
    if name in table["required"]:
        return "must be there"
    value = key.get("default")
    return f"`{json.dumps(value)}`" if value or isinstance(value, (bool, int)) else ""


if __name__ == "__main__":
    print(reference())
