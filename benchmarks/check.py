"""`pipeline build --check` on the example: python benchmarks/check.py"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import compare, process

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "agent"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "agent")
        shutil.copytree(EXAMPLE, project)
        for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-qm", "start"]):
            subprocess.run(["git", *command], cwd=project, check=True)
        pipeline = str(Path(sys.executable).with_name("pipeline"))
        compare({"pipeline build --check": process([pipeline, "build", "--check"], cwd=project)}, count=11)


if __name__ == "__main__":
    main()
