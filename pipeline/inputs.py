"""What a build of this project takes in, read from disk and configuration: for the steps that build, judge or recognise it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.context import Context, ca_bundle
from pipeline.core import inputs
from pipeline.core.dockerfile import arguments
from pipeline.core.dockerfile.evaluate import Evaluated, evaluate
from pipeline.core.dockerfile.model import Dockerfile
from pipeline.core.dockerfile.parser import parse
from pipeline.core.dockerfile.stages import final_stage, foreign_frontend, stage_bases
from pipeline.core.dockerignore import Ignore
from pipeline.core.image import digest_of
from pipeline.core.record import BuildFacts, BuildInputs, VersionFacts
from pipeline.core.text import line
from pipeline.errors import UsageError
from pipeline.tools import files, git
from pipeline.tools.buildx import Mount

CA_BUNDLE = "ca-bundle"
DEFAULTS = ("Dockerfile", "Dockerfile.multistage")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Definition:
    """A build as the project describes it. `name`: the Dockerfile's, relative to the project. `folder`: the build context.

    `evaluated`: each of its stages, with what reaches it. `ignore_name`: the ignore file in force, empty without one; `ignore_data` its
    bytes; `private`: our own folder in the context.
    """

    name: str
    data: bytes
    dockerfile: Dockerfile
    evaluated: tuple[Evaluated, ...]
    folder: Path
    ignore_name: str
    ignore_data: bytes
    private: str

    @property
    def digest(self) -> str:
        return digest_of(self.data)

    @property
    def ignore_file(self) -> bytes:
        """The ignore file that the build gets: the project's, and our own folder."""
        return self.ignore_data + b"\n" + (f"{self.private}\n".encode() if self.private else b"")

    @property
    def ignore(self) -> Ignore:
        return Ignore.parse(self.ignore_file, self.ignore_name or ".dockerignore")


@dataclass(frozen=True, slots=True)
class Secrets:
    """`values` by secret id, `environment` by the variable that buildx reads them from; files are read by buildx itself."""

    mounts: tuple[Mount, ...]
    values: Mapping[str, bytes] = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)


def definition(context: Context) -> Definition:
    """Read and parse it. Raises `UsageError`: no Dockerfile, one that is not understood or has no such target, a frontend that nobody
    vouches for."""
    image = context.settings.image
    path = _dockerfile(context)
    data = _read(path, context.root)
    folder = context.root / image.context
    if not folder.is_dir():
        raise UsageError("the build context is not a folder", where=str(folder), mend="correct [image] context in pipeline.toml")
    parsed = parse(data, _relative(path, context.root))
    _vouch(parsed, image.args.get("BUILDKIT_SYNTAX", parsed.syntax), image.trusted_frontends)
    final_stage(parsed, image.target)
    args = build_args(context)
    evaluated = evaluate(parsed, stage_bases(parsed, args, image.target), args, image.target)
    ignore = next((one for one in (path.with_name(f"{path.name}.dockerignore"), folder / ".dockerignore") if one.is_file()), None)
    return Definition(
        name=_relative(path, context.root),
        data=data,
        dockerfile=parsed,
        evaluated=evaluated,
        folder=folder,
        ignore_name=_relative(ignore, context.root) if ignore else "",
        ignore_data=_read(ignore, context.root) if ignore else b"",
        private=_below(context.evidence.folder, folder),
    )


def planned(context: Context, version: VersionFacts) -> tuple[BuildInputs, str]:
    """What a build would take in, and the digest by which it is known again: computed before it, and the same in a fresh clone."""
    taken = taken_in(context, definition(context))
    return taken, inputs.digest(taken, version)


def require_current(context: Context, build: BuildFacts) -> None:
    """Raises `UsageError` when what was built is not what is checked out, or holds files that git does not track."""
    mend = "build again: run `pipeline release`, or `pipeline build` and then `pipeline push`"
    if planned(context, context.evidence.facts("version", VersionFacts))[1] != build.inputs_digest:
        raise UsageError("what was built is not what is checked out", mend=mend)
    if build.inputs.untracked:
        shown = ", ".join(line(path, 200) for path in build.inputs.untracked)
        raise UsageError(f"files that git does not track went into the build: {shown}", mend=f"commit or exclude them, and {mend}")


def taken_in(context: Context, given: Definition) -> BuildInputs:
    """The same for a definition that has been read, without the digest."""
    image = context.settings.image
    return BuildInputs(
        dockerfile=given.digest,
        dockerignore=digest_of(given.ignore_data) if given.ignore_name else "",
        context=image.context,
        target=image.target,
        platform="".join(image.platforms),
        args=inputs.recorded(image.args, _interpolated(context)),
        secrets=tuple(sorted(image.secrets)),
        entitlements=tuple(sorted(image.allow)),
        include_untracked=context.options.include_untracked,
        snapshot=context.options.snapshot,
    )


def private_args(context: Context) -> tuple[str, ...]:
    """The values of build arguments that took something from the environment: not secrets, and still nobody else's business."""
    taken = _interpolated(context)
    return tuple(value for name, value in context.settings.image.args.items() if name in taken)


def _interpolated(context: Context) -> set[str]:
    settings = context.settings
    tables = ("image.args.", f"images.{settings.image_name}.args.")
    return {key.removeprefix(table) for key in settings.interpolated for table in tables if key.startswith(table)}


def _dockerfile(context: Context) -> Path:
    configured = context.settings.image.dockerfile
    names = (configured,) if configured else DEFAULTS
    found = next((context.root / name for name in names if (context.root / name).is_file()), None)
    if found is None:
        mend = "write one, or name it in pipeline.toml: [image] dockerfile"
        raise UsageError(f"there is no {' or '.join(line(name, 200) for name in names)}", where=str(context.root), mend=mend)
    return found


def _vouch(dockerfile: Dockerfile, syntax: str, trusted: tuple[str, ...]) -> None:
    """Another frontend than Docker's may read the file in its own way: it runs only by digest, and only where a person said so."""
    name, pinned, _ = syntax.partition("@")
    if not foreign_frontend(replace(dockerfile, syntax=name)) or syntax in trusted:
        return
    shown = line(syntax, 200)
    mend = "name it in pipeline.toml: [image] trusted-frontends" if pinned else "pin it by digest, and name it in [image] trusted-frontends"
    what = f"the frontend {shown} is not Docker's own{'' if pinned else ' and not pinned by digest'}: what it makes of the file is unknown"
    raise UsageError(what, where=f"{dockerfile.name}:1", mend=mend)


def _read(path: Path, root: Path) -> bytes:
    if not path.resolve().is_relative_to(root.resolve()):
        raise UsageError("is a link that leads out of the project", where=str(path), mend="put the file itself there")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from error


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def _below(path: Path, folder: Path) -> str:
    path, folder = path.resolve(), folder.resolve()
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else ""


def build_args(context: Context) -> dict[str, str]:
    """The build arguments as the frontend sees them: the platform's, and what the configuration gives over them.

    Without a configured platform it is this machine's; a builder on another one tells in the image's own platform.
    """
    image = context.settings.image
    machine = os.uname().machine
    platform = "".join(image.platforms) or f"linux/{_ARCHITECTURES.get(machine, machine)}"
    return arguments.of_platform(platform) | image.args


def untracked(context: Context, given: Definition) -> tuple[str, ...]:
    """Files that git does not track and that would enter the build, without those that the configuration allows."""
    allowed = Ignore.parse("\n".join(context.settings.image.include_untracked).encode())
    folder = _below(given.folder, context.root)
    prefix = "" if folder in ("", ".") else f"{folder}/"
    entering: list[str] = []
    for path in git.untracked(context.root, context.environ, context.cancel):
        if prefix.startswith(path) and path.endswith("/"):
            entering += files.under(given.folder, "", given.ignore)
        elif path.startswith(prefix):
            entering += files.under(given.folder, path.removeprefix(prefix), given.ignore)
    return tuple(path for path in (prefix + one for one in entering) if not allowed.excludes(path))


def secrets_of(context: Context) -> Secrets:
    """The build secrets and the CA bundle; the console hides their values from here on. Raises `UsageError` for one that is missing."""
    mounts, values, environment = [], {}, {}
    for number, (name, source) in enumerate(sorted(context.settings.image.secrets.items())):
        variable = f"RELEASE_CHAIN_SECRET_{number}"
        if source.env:
            values[name] = _variable(context, name, source.env).encode("utf-8", "surrogateescape")
            environment[variable] = context.environ[source.env]
            mounts.append(Mount(name, env=variable))
        else:
            path = context.root / source.file
            values[name] = _secret_file(path, name)
            mounts.append(Mount(name, file=path))
        context.console.secret(values[name].decode("utf-8", "replace"))
    bundle = ca_bundle(context)
    if bundle and CA_BUNDLE not in values:
        mounts.append(Mount(CA_BUNDLE, file=bundle))
    return Secrets(tuple(mounts), values, environment)


def _variable(context: Context, name: str, variable: str) -> str:
    value = context.environ.get(variable, "")
    if not value:
        raise UsageError(f"{variable} is not set", where=f"[image.secrets] {name}", mend="set the variable, or give the secret as a file")
    return value


def _secret_file(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", where=f"[image.secrets] {name}", mend="correct the path") from error
