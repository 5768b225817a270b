"""From Trivy's report to findings: pure, without Trivy."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pipeline.core.finding import Severity
from pipeline.steps.scan import findings_of, unrecognised
from pipeline.tools.trivy.report import Metadata, Os, Package, Program, Report, Result, Secret, Vulnerability

ID = "sha256:" + "1" * 64
DEBIAN = Os("debian", "12.5")


def report(*results: Result, system: Os | None = None) -> Report:
    return Report(2, Program("0.76.0"), ID, "container_image", Metadata(ID, os=system), results)


def test_nothing_found_is_no_finding() -> None:
    assert findings_of(report(Result("os-pkgs", f"{ID} (debian 12.5)"), system=DEBIAN)) == ()


def test_a_system_package_is_placed_in_its_system() -> None:
    found = Vulnerability("CVE-1", "openssl", "1", Severity.HIGH, "2", title="a flaw", primary_url="https://example.com/CVE-1")
    (finding,) = findings_of(report(Result("os-pkgs", f"{ID} (debian 12.5)", vulnerabilities=(found,)), system=DEBIAN))
    assert (finding.rule, finding.where, finding.kind, finding.certain) == ("CVE-1", "debian 12.5", "vulnerability", False)
    assert (finding.package, finding.installed, finding.fixed, finding.mend) == ("openssl", "1", "2", "upgrade openssl to 2")
    assert finding.references == ("https://example.com/CVE-1",)


@pytest.mark.parametrize(
    ("target", "path", "where"),
    [
        ("Python", "app/x.dist-info/METADATA", "/app/x.dist-info/METADATA"),
        ("usr/bin/tool", "", "/usr/bin/tool"),
        ("/opt/key.pem", "", "/opt/key.pem"),
    ],
)
def test_a_library_is_placed_by_its_path_in_the_image(target: str, path: str, where: str) -> None:
    found = Vulnerability("CVE-1", "p", "1", Severity.LOW, pkg_path=path, status="will_not_fix")
    (finding,) = findings_of(report(Result("lang-pkgs", target, vulnerabilities=(found,))))
    assert (finding.where, finding.title, finding.message, finding.mend) == (where, "CVE-1", "will not fix", "")


def test_the_same_thing_said_twice_is_one_finding() -> None:
    found = Vulnerability("CVE-1", "p", "1", Severity.LOW)
    result = Result("lang-pkgs", "Python", vulnerabilities=(found, found))
    assert len(findings_of(report(result, result))) == 1


def test_a_secret_is_certain_whatever_its_severity() -> None:
    secret = Secret("rule", Severity.LOW, "A key", 7)
    layer, config = findings_of(report(Result("secret", "/opt/key", secrets=(secret,)), Result("secret", ID, secrets=(secret,))))
    assert (layer.where, layer.line, layer.certain, layer.kind) == ("/opt/key", 7, True, "secret")
    assert (config.where, config.line, config.certain) == ("image configuration", 0, True)


def test_an_old_system_is_a_warning() -> None:
    (finding,) = findings_of(report(system=Os("debian", "8.1", eosl=True)))
    assert (finding.rule, finding.observed) == ("os-end-of-life", "warning")


PACKAGES = (Package("p"),)
FOUND = (Vulnerability("CVE-1", "p", "1", Severity.LOW),)


@pytest.mark.parametrize(
    ("judged", "reason"),
    [
        (report(), "recognised nothing"),
        (report(system=Os("none")), "recognised nothing"),
        (report(system=Os("fedora", "40")), "no advisories"),
        (report(Result("lang-pkgs", packages=PACKAGES), system=Os("fedora", "40")), "no advisories"),
        (report(Result("lang-pkgs", packages=PACKAGES), system=Os("none")), "no advisories"),
        (report(Result("lang-pkgs", packages=PACKAGES)), ""),
        (report(Result("os-pkgs", packages=PACKAGES), system=DEBIAN), ""),
        (report(Result("os-pkgs"), system=DEBIAN), "no list of its packages"),
        (report(Result("os-pkgs"), Result("lang-pkgs", packages=PACKAGES), system=DEBIAN), "no list of its packages"),
        (replace(report(Result("os-pkgs", packages=PACKAGES), system=DEBIAN), unlisted=True), "does not know this version"),
        (replace(report(Result("os-pkgs", packages=PACKAGES, vulnerabilities=FOUND), system=DEBIAN), unlisted=True), ""),
    ],
)
def test_whether_anything_was_judged(judged: Report, reason: str) -> None:
    assert reason in unrecognised(judged)
    assert bool(reason) == bool(unrecognised(judged))
