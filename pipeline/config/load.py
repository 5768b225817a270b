"""From `pipeline.toml` to settings: found, parsed, checked against the schema, interpolated, with the origin of each value."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from pipeline.config import positions, schema
from pipeline.config.interpolate import Interpolation
from pipeline.config.positions import dotted
from pipeline.config.walk import Problem, Walk
from pipeline.core import text
from pipeline.core.waiver import Waiver
from pipeline.errors import UsageError

FILE = "pipeline.toml"
WAIVERS = "waivers.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What is in force. `path` is the file, None where there is none; `origins` says for each dotted key that is not a default where
    its value comes from; `interpolated` are the dotted keys whose value took something from the environment: shown as ***."""

    root: Path
    path: Path | None
    file: schema.File
    image: schema.Image
    image_name: str
    origins: Mapping[str, str]
    interpolated: frozenset[str]


class _Waivers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `waivers.toml`."""

    waiver: tuple[Waiver, ...] = ()


def find_root(start: Path) -> Path:
    """The project: the nearest folder with a `pipeline.toml` that is not above the repository, else the repository's, else `start`."""
    for folder in (start, *start.parents):
        if (folder / FILE).exists() or (folder / ".git").exists():
            return folder
    return start


def load(
    root: Path,
    environ: Mapping[str, str],
    defaults: Mapping[str, str],
    *,
    path: Path | None = None,
    image: str = "default",
    secrets: Collection[str] = (),
) -> Settings:
    """Read the configuration. `defaults`: what the CI knows, by dotted key. A missing file is an empty one, unless `path` names it.

    `image`: which of the images is meant; `secrets`: the job's own, which nothing may be interpolated with. Raises `UsageError` with
    every problem of the file, each with its line.
    """
    file = path or root / FILE
    source = _read(file, needed=path is not None)
    written = _parse(source or "", file)
    interpolation = Interpolation(environ, secrets)
    data = interpolation.apply(written)
    unusable = {problem.path for problem in interpolation.problems}
    walked = Walk(root, interpolation.sources).problems(data, inspect.type_info(schema.File))
    _raise_on([*interpolation.problems, *(one for one in walked if one.path not in unusable)], source or "", file)
    place = _choose(data, image)
    taken = {dotted(at): names for at, names in interpolation.sources.items()}
    origins = {dotted(at): file.name for at in positions.paths(written)}
    origins |= {key: f"environment variable {' and '.join(dict.fromkeys(names))}" for key, names in taken.items()}
    origins |= _complete(data, defaults, root, place)
    settings = msgspec.convert(data, schema.File)
    name = place[-1] if len(place) > 1 else "default"
    chosen = settings.images[name] if len(place) > 1 else settings.image or schema.Image()
    return Settings(root, file if source is not None else None, settings, chosen, name, origins, frozenset(taken))


def load_waivers(root: Path) -> tuple[Waiver, ...]:
    """What `waivers.toml` beside the configuration waives; nothing where it is missing. Raises `UsageError` with every problem."""
    file = root / WAIVERS
    source = _read(file, needed=False) or ""
    data = _parse(source, file)
    _raise_on(list(Walk(root).problems(data, inspect.type_info(_Waivers))), source, file)
    return msgspec.convert(data, _Waivers).waiver


def _read(file: Path, *, needed: bool) -> str | None:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        if needed or file.is_symlink():
            raise UsageError("does not exist", where=str(file), mend="name a file that is there, or run `pipeline init`") from error
        return None
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(file)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError("is not UTF-8", where=f"{file.name}:{line}", mend="save the file as UTF-8") from error


def _parse(source: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        said = str(error).partition(" (at ")[0]
        mend = "each key and each table may stand in the file once" if said.startswith("Cannot") else ""
        raise UsageError(f"not TOML: {text.line(said)}", where=_place(file, positions.of_syntax_error(source, error)), mend=mend) from error
    except RecursionError as error:
        raise UsageError("is nested too deeply", where=file.name) from error


def _raise_on(problems: Sequence[Problem], source: str, file: Path) -> None:
    if not problems:
        return
    found = positions.lines(source)
    told = sorted((positions.nearest(found, problem.path), text.line(problem.what), text.line(problem.mend)) for problem in problems)
    if len(told) == 1:
        line, what, mend = told[0]
        raise UsageError(what, where=_place(file, line), mend=mend)
    listed = "\n".join(f"  {_place(file, line)}: {what}{'; ' if mend else ''}{mend}" for line, what, mend in told)
    raise UsageError(f"{len(told)} problems\n{listed}", where=file.name, mend="`pipeline config --schema` describes every key")


def _place(file: Path, line: int) -> str:
    return f"{file.name}:{line}" if line else file.name


def _choose(data: Mapping[str, Any], image: str) -> tuple[str, ...]:
    """The table of the image that is meant: where only one is described, that one is the default."""
    named = data.get("images", {})
    if image in named:
        return "images", image
    if image == "default" and ("image" in data or not named):
        return ("image",)
    if image == "default" and len(named) == 1:
        return "images", next(iter(named))
    known = sorted({*named, "default"} if "image" in data else named)
    near = get_close_matches(image, known, 1)
    one = f"one image is released for now: call it [images.default] ({', '.join(known)} are described)"
    mend = f"did you mean {near[0]}?" if near else one if known else f"describe it in {FILE}"
    raise UsageError(f"there is no image {text.line(image, 60)!r} in the configuration", mend=mend)


def _complete(data: dict[str, Any], defaults: Mapping[str, str], root: Path, place: tuple[str, ...]) -> dict[str, str]:
    """Put in what the file left out and is known otherwise; returns the origins of it. `image.` means the table `place`.

    Images share the CI's registry path, each but the default one under its own name.
    """
    known = {tuple(key.split(".")): (value, "CI") for key, value in defaults.items()}
    known |= {("project", "name"): (text.line(root.resolve().name, 100) or "project", "the folder's name")}
    if place[-1] not in {"image", "default"} and ("image", "repository") in known:
        known["image", "repository"] = (f"{defaults['image.repository']}/{place[-1]}", "CI")
    if place == ("image",):
        data.setdefault("image", {})
    origins: dict[str, str] = {}
    for key, (value, origin) in known.items():
        path = (*place, *key[1:]) if key[0] == "image" else key
        table = data
        for part in path[:-1]:
            table = table.setdefault(part, {})
        if path[-1] not in table:
            table[path[-1]] = value
            origins[dotted(path)] = origin
    return origins
