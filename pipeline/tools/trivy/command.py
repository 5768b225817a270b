"""Running Trivy: in an empty folder, with every file it would look for named, and an environment without a `TRIVY_` variable."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from pipeline.core.cancel import Cancel
from pipeline.core.image import is_digest
from pipeline.core.text import line
from pipeline.errors import ToolError, UsageError
from pipeline.tools.location import locate
from pipeline.tools.process import Completed, environment, run
from pipeline.tools.trivy.database import Database
from pipeline.tools.trivy.report import Program, Report, decode

Source = Literal["docker", "remote"]

# Empty names switch the files off: a `.trivyignore`, `trivy.yaml` or `trivy-secret.yaml` hides nothing, wherever it lies.
ISOLATION: Final = ("--config", "", "--ignorefile", "", "--secret-config", "")
QUIET: Final = ("--skip-version-check", "--disable-telemetry", "--no-progress")
# No layer cache: it is keyed by the layers an image claims to have, so that a good scan would vouch for a forged layer, and a
# second scan fails after five seconds of waiting for its lock.
JUDGEMENT: Final = (
    *("--skip-db-update", "--skip-check-update", "--offline-scan", "--cache-backend", "memory"),
    *("--scanners", "vuln,secret", "--image-config-scanners", "secret", "--list-all-pkgs"),
    *("--format", "json", "--exit-code", "0"),
)
GRACE_SECONDS = 5.0  # Trivy's own timeout comes first: it cleans up
VERSION_SECONDS = 30.0


def scan_argv(program: str, target: str, source: Source, cache: Path, timeout: float, *, java: bool, ca_bundle: Path | None) -> list[str]:
    """The command for one image. `timeout` in seconds; without `java` Trivy may not fetch its index of Java archives."""
    options = [*ISOLATION, *QUIET, *JUDGEMENT, "--image-src", source, "--cache-dir", str(cache), "--timeout", f"{timeout:g}s"]
    options += [] if java else ["--skip-java-db-update"]
    options += ["--cacert", str(ca_bundle)] if ca_bundle else []
    return [program, "image", *options, target]


def download_argv(program: str, repositories: Sequence[str], folder: Path, timeout: float, *, ca_bundle: Path | None) -> list[str]:
    """The command that fetches the vulnerability database into `folder`, from the first of `repositories` that has it."""
    options = [*ISOLATION, *QUIET, "--download-db-only", "--cache-dir", str(folder), "--timeout", f"{timeout:g}s"]
    options += ["--db-repository", ",".join(repositories)] if repositories else []
    options += ["--cacert", str(ca_bundle)] if ca_bundle else []
    return [program, "image", *options]


@dataclass(frozen=True, slots=True)
class Trivy:
    """Where and how Trivy runs. `docker_host`: the engine's endpoint. `docker_config`: a folder with what a registry asks for.
    `project`: see `location.find`."""

    environ: Mapping[str, str] = field(repr=False)
    cancel: Cancel
    docker_host: str = ""
    docker_config: Path | None = None
    ca_bundle: Path | None = None
    on_line: Callable[[str], None] | None = None
    project: Path | None = None

    def version(self) -> str:
        """Raises `ToolError` where Trivy is missing or does not say its version as JSON."""
        with self._workplace() as work:
            argv = [self._program(), "version", "--format", "json", "--cache-dir", str(work / "cache")]
            done = self._run(argv, work, VERSION_SECONDS)
        try:
            return msgspec.json.decode(done.stdout, type=Program).version
        except msgspec.DecodeError as error:
            raise ToolError(f"trivy does not tell its version, but says: {line(done.text, 200)}", mend="run `pipeline doctor`") from error

    def scan_image(self, target: str, source: Source, database: Database, timeout: float) -> Report:
        """Scan an image of the engine by its ID (`docker`), or one of a registry by `repository@digest` (`remote`).

        `timeout` in seconds. Raises `ToolError`: missing, crashed, timed out, or a report that cannot be understood.
        """
        if not is_digest(target.rpartition("@")[2]):
            raise UsageError(f"{target!r} names an image that may be replaced", mend="scan an ID, or repository@sha256:…")
        with self._workplace() as work:
            _link(database, work / "cache")
            argv = scan_argv(self._program(), target, source, work / "cache", timeout, java=not database.fixed, ca_bundle=self.ca_bundle)
            done = self._run(argv, work, timeout + GRACE_SECONDS)
        return decode(done.stdout, done.stderr)

    def download(self, repositories: Sequence[str], folder: Path, timeout: float) -> None:
        """Fetch the vulnerability database into `folder/db`. `timeout` in seconds. Raises `ToolError`."""
        with self._workplace() as work:
            argv = download_argv(self._program(), repositories, folder, timeout, ca_bundle=self.ca_bundle)
            self._run(argv, work, timeout + GRACE_SECONDS)

    def _program(self) -> str:
        return locate("trivy", self.environ, self.project)

    def _run(self, argv: list[str], work: Path, timeout: float) -> Completed:
        values = {"TMPDIR": str(work / "tmp"), "DOCKER_CONFIG": str(self.docker_config or work / "home")}
        if self.docker_host:
            values["DOCKER_HOST"] = self.docker_host
        env = environment(self.environ, "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", home=work / "home", **values)
        return run(argv, env=env, timeout=timeout, cancel=self.cancel, cwd=work / "empty", on_line=self.on_line)

    @contextlib.contextmanager
    def _workplace(self) -> Iterator[Path]:
        """A private folder that is gone afterwards, with an empty home, an empty current folder and room for temporary files."""
        try:
            work = Path(tempfile.mkdtemp(prefix="release-chain-trivy-", dir=self.environ.get("TMPDIR") or None))
        except OSError as error:
            raise ToolError(f"no temporary folder can be made: {error.strerror}", mend="free some space, or set TMPDIR") from error
        try:
            for name in ("home", "empty", "tmp", "cache"):
                (work / name).mkdir()
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _link(database: Database, cache: Path) -> None:
    """Show Trivy the database without letting it write beside it; its index of Java archives may be kept there and grow."""
    (cache / "db").symlink_to(database.folder / "db")
    if database.java.is_dir():
        (cache / "java-db").symlink_to(database.java)
