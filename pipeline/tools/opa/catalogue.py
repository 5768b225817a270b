"""The policies on disk as OPA reads them: their packages, what each judges, and what METADATA says of their rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.finding import Severity
from pipeline.core.policy import OWN, VERBS, Rule, kind_of, parts_of
from pipeline.core.text import line
from pipeline.errors import ToolError, UsageError
from pipeline.tools.opa.answer import Annotated, Inspected
from pipeline.tools.opa.call import Opa
from pipeline.tools.opa.library import PROJECT, Library


@dataclass(frozen=True, slots=True)
class Catalogue:
    """`files`: each package (without `data.`) with the files that declare it. `rules`: those to which METADATA gives an id."""

    files: Mapping[str, tuple[str, ...]]
    rules: tuple[Rule, ...]

    def judging(self, kinds: frozenset[str]) -> dict[str, str]:
        """The packages that judge one of `kinds` by their name, with that kind."""
        return {package: kind for package in self.files if (kind := kind_of(package)) in kinds}

    def verbs(self, package: str, heads: Mapping[str, frozenset[str]]) -> list[str]:
        """Which of `deny`, `violation` and `warn` a package defines, going by the rules in its files; none: it is a library."""
        return [verb for verb in VERBS if any(verb in heads.get(file, ()) for file in self.files[package])]

    def rules_of(self, package: str) -> list[Rule]:
        return [rule for rule in self.rules if rule.package == package]

    def check_use(self, heads: Mapping[str, frozenset[str]]) -> None:
        """Raise `UsageError` for a package that has rules but judges nothing by its name."""
        for package, files in self.files.items():
            if not kind_of(package) and self.verbs(package, heads):
                mend = "name it after what it judges: a part of the name is dockerfile, image, kubernetes or release"
                raise UsageError(f"package {line(package, 100)} has rules, but nothing is judged by it", where=files[0], mend=mend)


def read(opa: Opa, library: Library, modules: Path) -> Catalogue:
    """Raises `ToolError` for a policy that does not parse, `UsageError` for one that takes a name of ours or has no known severity."""
    found = opa.inspect(modules)
    files = {namespace.removeprefix("data."): listed for namespace, listed in found.namespaces.items()}
    _check_loaded(files, library)
    _check_names(files)
    return Catalogue(files, tuple(_rules(found, files)))


def _check_loaded(files: Mapping[str, tuple[str, ...]], library: Library) -> None:
    odd = {file for listed in files.values() for file in listed} ^ set(library.modules)
    if odd:
        raise ToolError(f"did not load the policies as they are: {line(', '.join(sorted(odd)), 300)}", where="opa")


def _check_names(files: Mapping[str, tuple[str, ...]]) -> None:
    """A policy of the project in a package of ours could switch a rule off."""
    for package, listed in files.items():
        theirs = next((file for file in listed if file.startswith(f"{PROJECT}/")), None)
        if theirs and parts_of(package)[0] == OWN:
            mend = "give it a package of its own, such as `acme.dockerfile`"
            raise UsageError(f"package {line(package, 100)} is one of ours", where=theirs, mend=mend)


def _rules(found: Inspected, files: Mapping[str, tuple[str, ...]]) -> Iterator[Rule]:
    packages = {file: package for package, listed in files.items() for file in listed}
    return (_rule(one, packages[one.location.file]) for one in found.annotations if "id" in one.annotations.custom)


def _rule(one: Annotated, package: str) -> Rule:
    custom, place = one.annotations.custom, f"{one.location.file}:{one.location.row}"
    severity = str(custom.get("severity", Severity.HIGH))
    if severity not in Severity.__members__:
        raise UsageError(f"{line(severity, 50)} is no severity", where=place, mend=f"use one of {', '.join(Severity.__members__)}")
    certain = custom.get("certain", False)
    if not isinstance(certain, bool):
        raise UsageError("`certain` is neither true nor false", where=place)
    return Rule(
        id=str(custom["id"]),
        package=package,
        title=one.annotations.title,
        severity=Severity(severity),
        mend=str(custom.get("remediation", "")),
        references=tuple(related.ref for related in one.annotations.related),
        certain=certain,
    )
