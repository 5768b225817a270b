"""The values of secrets that a hand-off names: taken when a container is made, and kept in no document."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.core.handoff import Secret
from pipeline.core.text import line
from pipeline.errors import UsageError


def resolve(secrets: Mapping[str, Secret], root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Values by name; relative files lie under `root`, and their last newline is not part of the value. Raises `UsageError`."""
    return {name: _value(name, secret, root, environ) for name, secret in secrets.items()}


def _value(name: str, secret: Secret, root: Path, environ: Mapping[str, str]) -> str:
    if bool(secret.env) == bool(secret.file):
        raise UsageError(f"the secret {line(name)} needs exactly one of env and file", mend='write { env = "NAME" } or { file = "path" }')
    if secret.env:
        if not environ.get(secret.env):
            mend = "set it in the job, or take it from a file"
            raise UsageError(f"the secret {line(name)} is not there: the variable {line(secret.env)} is not set", mend=mend)
        return environ[secret.env]
    try:
        value = Path(root, secret.file).read_text("utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the secret {line(name)} cannot be read", where=secret.file, mend="make it a text file that we may read"
        ) from error
    if not value or "\0" in value:
        raise UsageError(f"the secret {line(name)} is empty, or no text", where=secret.file, mend="write the value into the file")
    return value
