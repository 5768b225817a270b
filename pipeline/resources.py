"""Files that ship with us: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def policies() -> Path:
    """The folder of the built-in policies."""
    return _find("policies")


def templates() -> Path:
    """The folder that `pipeline init` writes from."""
    return _PACKAGE / "data" / "templates"


def _find(name: str) -> Path:
    shipped = _PACKAGE / "data" / name
    return shipped if shipped.is_dir() else _PACKAGE.parent / name
