"""`pipeline --version` and `--help` against a bare click application: python benchmarks/startup.py"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from timing import compare, process

BARE = """
import click

@click.group()
@click.version_option("1.0")
def root(): "A bare application."

@root.command()
def one(): "One command."

root()
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        bare.write_text(BARE)
        for option in ("--version", "--help"):
            compare(
                {
                    f"bare click {option}": process([sys.executable, str(bare), option]),
                    f"pipeline {option}": process([str(Path(sys.executable).with_name("pipeline")), option]),
                },
                count=21,
                warmup=3,
            )


if __name__ == "__main__":
    main()
