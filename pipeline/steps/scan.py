"""Judge what is in the image: known vulnerabilities and baked-in secrets, by Trivy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from pipeline.context import Context, ca_bundle, credential
from pipeline.core.about import VERSION
from pipeline.core.finding import Finding, Severity, Threshold
from pipeline.core.image import parse_repository
from pipeline.core.record import SCHEMA, BuildFacts, Evidence, ScanFacts, Subject, key_of
from pipeline.core.units import seconds
from pipeline.errors import RefusedError, ToolError
from pipeline.tools import location
from pipeline.tools.credentials import single_docker_config
from pipeline.tools.docker.client import endpoint
from pipeline.tools.trivy import kept
from pipeline.tools.trivy.command import JUDGEMENT, Trivy
from pipeline.tools.trivy.database import Database, read
from pipeline.tools.trivy.report import Report, Result, Secret, Vulnerability, require_image

_RECOGNISE = "build on a distribution that Trivy knows and keep its list of packages, or set [scan] allow-empty = true if that is right"

title = "Scan"
tools: tuple[str, ...] = ("trivy",)


def skip(context: Context) -> str:  # noqa: ARG001 - the protocol's
    return ""


def threshold(context: Context) -> Threshold:
    scan = context.settings.file.scan
    return Threshold(frozenset(scan.fail_on), scan.unfixed, scan.enforce_from)


def run(context: Context) -> Evidence:
    """Scan the image that was built, by its ID in the engine; or the one that was adopted, by its digest in the registry.

    Raises `ToolError` where nothing can be said about it, `RefusedError` for a demonstration's database in a real release.
    """
    build = context.evidence.facts("build", BuildFacts)
    with _trivy(context, build) as trivy:
        version = trivy.version()
        database = _database(context, trivy)
        key = _key(build, version, database, allow_empty=context.settings.file.scan.allow_empty)
        before = context.evidence.read("scan")
        if before and before.key == key and not before.error:
            context.console.line("  the findings of this very image, by this very database, are there already")
            return before
        report = _scan(context, trivy, build, database)
    findings = (*findings_of(report), *_remarks(report, database))
    return Evidence("scan", _subject(build), key, {"trivy": version}, _facts(build, report, database), findings)


def findings_of(report: Report) -> tuple[Finding, ...]:
    """What Trivy found, each once, in its order."""
    found = [finding for result in report.results for finding in _of_result(result, report)]
    found += [_end_of_life(report.os)] if report.metadata.os and report.metadata.os.eosl else []
    return tuple(dict.fromkeys(found))


def unrecognised(report: Report) -> str:
    """Why the image's content was not judged, although Trivy found nothing wrong; empty when it was."""
    if not report.os and not report.packages:
        return "Trivy recognised nothing in the image: no operating system, no package"
    if report.metadata.os and not any(result.kind == "os-pkgs" for result in report.results):
        return f"Trivy knows no advisories for the image's operating system ({report.os or 'unknown'}): its packages were not judged"
    if report.unlisted and not any(result.vulnerabilities for result in report.results if result.kind == "os-pkgs"):
        return f"Trivy does not know this version of the image's operating system ({report.os}): its packages were not judged"
    if report.os and not any(result.packages for result in report.results if result.kind == "os-pkgs"):
        return f"{report.os} has no list of its packages (it may have been removed): they were not judged"
    return ""


@contextlib.contextmanager
def _trivy(context: Context, build: BuildFacts) -> Iterator[Trivy]:
    """Trivy, with the engine's endpoint, or with the credential of the one registry that holds the image."""

    def on_line(said: str) -> None:
        if context.console.verbose or "\tWARN\t" in said:
            context.console.foreign(said)

    certificates = ca_bundle(context)
    if build.engine_id:
        host = endpoint(context.environ)
        yield Trivy(context.environ, context.cancel, docker_host=host, ca_bundle=certificates, on_line=on_line, project=context.root)
        return
    registry = parse_repository(build.repository).host
    with single_docker_config(context.environ, registry, credential(context, registry)) as folder:
        yield Trivy(context.environ, context.cancel, docker_config=folder, ca_bundle=certificates, on_line=on_line, project=context.root)


def _database(context: Context, trivy: Trivy) -> Database:
    scan = context.settings.file.scan
    max_age = timedelta(seconds=seconds(scan.max_database_age))
    if scan.database:
        database = kept.require(read(context.root / scan.database), context.now, max_age)
    else:
        say, repositories = context.console.line, scan.database_repositories
        database = kept.current(trivy, _cache(context), repositories, now=context.now, max_age=max_age, say=say)
    repository = context.settings.image.repository
    if database.demo and repository and not context.options.snapshot and not parse_repository(repository).loopback:
        mend = "use Trivy's own database: leave out [scan] database"
        raise RefusedError(f"the database of a demonstration cannot judge a release to {repository}", where=str(database.folder), mend=mend)
    return database


def _cache(context: Context) -> Path:
    installed = location.cache(context.environ)
    if not installed:
        raise ToolError("there is no place for the vulnerability database", mend="set HOME or XDG_CACHE_HOME to an absolute path")
    return installed.with_name("trivy")


def _scan(context: Context, trivy: Trivy, build: BuildFacts, database: Database) -> Report:
    timeout = seconds(context.settings.file.scan.timeout)
    if build.engine_id:
        report = trivy.scan_image(build.engine_id, "docker", database, timeout)
        require_image(report, build.engine_id, build.diff_ids)
    else:
        reference = f"{build.repository}@{build.manifest}"
        report = trivy.scan_image(reference, "remote", database, timeout)
        require_image(report, build.config, build.diff_ids, reference)
    unjudged = unrecognised(report)
    if unjudged and not context.settings.file.scan.allow_empty:
        raise ToolError(unjudged, mend=_RECOGNISE)
    return report


def _key(build: BuildFacts, version: str, database: Database, *, allow_empty: bool) -> str:
    image = [_subject(build).digest, build.engine_id, *build.diff_ids]
    judged_by = [VERSION, version, *JUDGEMENT, database.digest, database.java_digest, database.demo, allow_empty]
    return key_of(schema=SCHEMA, image=image, judged_by=judged_by)


def _subject(build: BuildFacts) -> Subject:
    """An adopted image's layers are not bound by its config: there the manifest is the subject."""
    return Subject("config", build.config) if build.engine_id else Subject("manifest", build.manifest)


def _facts(build: BuildFacts, report: Report, database: Database) -> ScanFacts:
    return ScanFacts(
        config=build.config,
        diff_ids=report.metadata.diff_ids,
        packages=report.packages,
        os=report.os,
        database_updated=database.updated,
        database_digest=database.digest,
        demo=database.demo,
        reference="" if build.engine_id else f"{build.repository}@{build.manifest}",
    )


def _of_result(result: Result, report: Report) -> Iterator[Finding]:
    for vulnerability in result.vulnerabilities:
        yield _vulnerability(vulnerability, _where(result, vulnerability.pkg_path, report))
    for secret in result.secrets:
        yield _secret(secret, _where(result, "", report), in_config=result.target == report.artifact_name)


def _where(result: Result, path: str, report: Report) -> str:
    """A path in the image, from its root; the operating system for its packages; nothing is named by the image's own ID."""
    if result.kind == "os-pkgs":
        return report.os
    if result.target == report.artifact_name:
        return "image configuration"
    return "/" + (path or result.target).lstrip("/")


def _vulnerability(found: Vulnerability, where: str) -> Finding:
    return Finding(
        rule=found.id,
        title=found.title or found.id,
        severity=found.severity,
        kind="vulnerability",
        where=where,
        package=found.pkg_name,
        installed=found.installed_version,
        fixed=found.fixed_version,
        message="" if found.fixed_version else found.status.replace("_", " "),
        mend=f"upgrade {found.pkg_name} to {found.fixed_version}" if found.fixed_version else "",
        references=(found.primary_url,) if found.primary_url else (),
    )


def _secret(found: Secret, where: str, *, in_config: bool) -> Finding:
    """A secret fails whatever the threshold says: it is in a layer, or in the configuration, for everyone who can pull."""
    return Finding(
        rule=found.rule,
        title=found.title,
        severity=found.severity,
        kind="secret",
        certain=True,
        where=where,
        line=0 if in_config else found.start_line,
        mend="revoke it, and give it to the build as a secret ([image.secrets]) or to the container when it runs",
    )


def _end_of_life(system: str) -> Finding:
    what = f"{system} gets no security fixes any more: what Trivy does not find there may still be known"
    return Finding("os-end-of-life", what, Severity.HIGH, "misconfiguration", observed="warning", mend="build on a supported version")


def _remarks(report: Report, database: Database) -> Iterator[Finding]:
    """What whoever reads the verdict must know about it."""
    unjudged = unrecognised(report)
    if unjudged:
        yield Finding("not-recognised", unjudged, kind="misconfiguration", observed="warning")
    if database.demo:
        what = "judged by the small database of a demonstration: it knows a few vulnerabilities only"
        yield Finding("demo-database", what, kind="misconfiguration", observed="warning", mend="use Trivy's own database")
