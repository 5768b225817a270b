"""A whole release against a script that runs the same programs by hand: python benchmarks/release.py [MEGABYTES]

Cold: no build cache, a registry that has none of the layers, nothing under `.pipeline/`. Warm: the release again after success.
The image has three layers of random bytes, MEGABYTES in all (default 60), and a package list that Trivy reads. Needs an engine with
buildx, trivy, opa and Debian's docker-registry. Run it in the repository's top folder, with its development environment.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from timing import Run, compare, process

from tests.integration import projects
from tests.integration.registries import registry_server

RUNS = 5
BY_HAND = """set -eu
docker buildx build --quiet --no-cache --provenance=false --load --tag {repository}:{tag} . >/dev/null
trivy image --quiet --cache-dir {cache} --cache-backend memory --skip-db-update --skip-version-check --offline-scan --scanners vuln,secret \
  --image-config-scanners secret --format json --output {report} {repository}:{tag}
docker image inspect {repository}:{tag} > {image}
opa eval --format json --data {policies} --input {image} 'data.pipeline.image.deny' >/dev/null
docker push --quiet {repository}:{tag} >/dev/null
"""


def main() -> None:
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    with tempfile.TemporaryDirectory(prefix="rc-bench-") as name:
        folder = Path(name)
        with registry_server(folder / "registry") as registry, projects.project(folder, registry, "bench") as made:
            _enlarge(made, megabytes)
            script = BY_HAND.format(
                repository=made.repository,
                tag="by-hand",
                cache=folder / "database",
                report=folder / "report.json",
                image=folder / "image.json",
                policies=Path(__file__).resolve().parents[1] / "policies",
            )
            numbers = itertools.count(1)

            def prepare() -> None:
                """A new commit with new layers and its tag, and nothing left of the release before."""
                _change(made, megabytes)
                shutil.rmtree(made.repo.path / ".pipeline", ignore_errors=True)
                made.repo.commit()
                made.repo.tag(f"v1.{next(numbers)}.0")

            by_hand = process(["sh", "-c", script], cwd=made.repo.path, env=made.env)
            release = _pipeline(made, "release", "--no-cache")
            compare({"the same programs by hand, cold": by_hand, "pipeline release, cold": release}, RUNS, prepare=prepare)
            compare({"pipeline release again, nothing to do": _pipeline(made, "release")}, RUNS)


def _pipeline(made: projects.Project, *arguments: str) -> Run:
    return process([str(Path(sys.executable).with_name("pipeline")), *arguments], cwd=made.repo.path, env=made.env)


def _enlarge(made: projects.Project, megabytes: int) -> None:
    dockerfile = projects.DOCKERFILE.replace(
        "COPY --from=build /www /www", "COPY bulk/a /a\nCOPY bulk/b /b\nCOPY bulk/c /c\nCOPY --from=build /www /www", 1
    )
    made.repo.file("Dockerfile", dockerfile)
    made.repo.file("waivers.toml", "")
    made.env["PATH"] = os.environ["PATH"]
    _change(made, megabytes)


def _change(made: projects.Project, megabytes: int) -> None:
    """New random layers, so that neither the build cache nor the registry knows them."""
    for name in "abc":
        path = made.repo.path / "bulk" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(secrets.token_bytes((megabytes << 20) // 3))


if __name__ == "__main__":
    subprocess.run(["docker", "version"], check=True, capture_output=True)
    main()
