"""What must hold between the keys of one table. Rules read parsed TOML that may still be wrong in other ways."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from pipeline.config import schema
from pipeline.config.positions import KeyPath
from pipeline.core.waiver import Waiver

Table = dict[str, Any]
# Where below the table, what, and the mend.
Broken = tuple[KeyPath, str, str]

EXACTLY_ONE: dict[type, tuple[str, ...]] = {schema.SecretSource: ("env", "file"), schema.Probe: ("http", "tcp", "exec")}


def broken(kind: type, table: Table, name: str) -> Iterator[Broken]:
    """The rules of `kind` that `table`, called `name` in messages, breaks."""
    if kind in EXACTLY_ONE:
        yield from _exactly_one(EXACTLY_ONE[kind], table, name)
    if kind in _RULES:
        yield from _RULES[kind](table, name)


def _exactly_one(keys: tuple[str, ...], table: Table, name: str) -> Iterator[Broken]:
    given = [key for key in keys if key in table]
    if len(given) != 1:
        choice = f"{', '.join(keys[:-1])} and {keys[-1]}"
        yield (given[1],) if given else (), f"[{name}] needs exactly one of {choice}, and has {' and '.join(given) or 'none'}", ""


def _image(table: Table, name: str) -> Iterator[Broken]:
    platforms = table.get("platforms")
    if isinstance(platforms, list) and len(platforms) > 1:
        yield ("platforms",), f"`{name}.platforms` names {len(platforms)} platforms: one platform for now", "keep one"


def _container(table: Table, name: str) -> Iterator[Broken]:
    env, secrets = table.get("env"), table.get("secrets")
    if isinstance(env, dict) and isinstance(secrets, dict):
        for key in env.keys() & secrets.keys():
            yield ("secrets", key), f"`{key}` is in [{name}] both as env and as a secret", "keep one"


def _waiver(table: Table, name: str) -> Iterator[Broken]:
    for key in ("id", "reason", "owner"):
        if isinstance(table.get(key), str) and not table[key].strip():
            yield (key,), f"`{name}.{key}` is empty", "a waiver says what, why, and who answers for it"


def _file(table: Table, _: str) -> Iterator[Broken]:
    images = table.get("images")
    images = images if isinstance(images, dict) else {}
    if "image" in table and "default" in images:
        yield ("images", "default"), "[image] is short for [images.default], and both are there", "keep one"
    yield from _one_repository_each(images | ({"default": table["image"]} if "image" in table else {}))
    yield from _deployed(table)


def _one_repository_each(images: Table) -> Iterator[Broken]:
    owners: dict[str, str] = {}
    for name, image in images.items():
        repository = image.get("repository") if isinstance(image, dict) else None
        if isinstance(repository, str) and owners.setdefault(repository, name) != name:
            what = f"the images {owners[repository]} and {name} have the same repository: one's tags would replace the other's"
            yield ("images", name, "repository"), what, "give each a repository of its own"


def _deployed(table: Table) -> Iterator[Broken]:
    release, known = table.get("release"), table.get("environments", {})
    wanted = release.get("deploy") if isinstance(release, dict) else None
    if not isinstance(wanted, list) or not isinstance(known, dict):
        return
    for index, name in enumerate(wanted):
        if isinstance(name, str) and name not in known:
            near = get_close_matches(name, known, 1)
            mend = f"did you mean `{near[0]}`?" if near else f"describe it in [environments.{name}]"
            yield ("release", "deploy", index), f"`release.deploy[{index}]`: there is no environment {name!r}", mend


_RULES: dict[type, Callable[[Table, str], Iterator[Broken]]] = {
    schema.Image: _image,
    schema.Container: _container,
    schema.File: _file,
    Waiver: _waiver,
}
