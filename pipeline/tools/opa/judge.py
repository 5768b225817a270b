"""Judging documents by policies: every (document, package) pair answers, or is an error that names both."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from pipeline.core.finding import Finding
from pipeline.core.policy import OWN, Answer, Document, findings, parts_of
from pipeline.core.text import line
from pipeline.errors import ToolError
from pipeline.tools.opa import catalogue as catalogues
from pipeline.tools.opa.answer import Answers, Record, RuleError
from pipeline.tools.opa.call import Opa
from pipeline.tools.opa.catalogue import Catalogue
from pipeline.tools.opa.entry import entry
from pipeline.tools.opa.library import BUILTIN, PROJECT, Library


@dataclass(frozen=True, slots=True)
class Judgement:
    """`errors`: what could not be judged; not empty means that the gate did not judge. `judged`: each document's name with the packages
    that answered for it."""

    findings: tuple[Finding, ...]
    errors: tuple[str, ...]
    judged: dict[str, tuple[str, ...]]


def judge(opa: Opa, library: Library, documents: Sequence[Document]) -> Judgement:
    """Ask every package about every document of its kind, in one process.

    When a rule breaks that process, each package is asked alone, so that one broken rule is one error and the others keep their answers.
    Raises `ToolError`: OPA is missing, or does not end in time; `UsageError`: a policy that can judge nothing, or takes a name of ours.
    """
    try:
        return _judge(opa, library, documents)
    except RuleError as error:
        if library.ours == library:
            raise
        judgement = _judge(opa, library.ours, documents)
        return replace(judgement, errors=(str(error), *judgement.errors))


def _judge(opa: Opa, library: Library, documents: Sequence[Document]) -> Judgement:
    with _workspace(opa, library) as folder:
        catalogue = catalogues.read(opa, library, folder / "modules")
        given = msgspec.json.encode({"documents": [_given(one) for one in documents], "sources": library.modules})
        hearing = _Hearing(catalogue, documents)
        for packages, answers in _ask(_Asking(opa, library, folder, given), catalogue.judging(hearing.kinds), hearing.errors):
            catalogue.check_use(answers.heads)
            hearing.hear(packages, answers)
        return hearing.judgement()


@contextmanager
def _workspace(opa: Opa, library: Library) -> Iterator[Path]:
    """A private folder with the policies as they were read: OPA is shown nothing else."""
    with tempfile.TemporaryDirectory(prefix="pipeline-policy-") as name:
        folder = Path(name)
        for module, source in library.modules.items():
            file = folder / "modules" / module
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source.encode())
        (folder / "capabilities.json").write_bytes(opa.capabilities)
        yield folder


def _given(document: Document) -> dict[str, object]:
    return {"kind": document.kind, "yaml": document.yaml} if document.yaml else {"kind": document.kind, "content": document.content}


@dataclass(frozen=True, slots=True)
class _Asking:
    opa: Opa
    library: Library
    folder: Path
    given: bytes

    def __call__(self, packages: Mapping[str, str]) -> Answers:
        """Ours are asked without the project's where they are asked alone: a policy that does not compile leaves them their answer."""
        alone = len(packages) == 1 and all(parts_of(package)[0] == OWN for package in packages)
        file = self.folder / "entry.rego"
        file.write_text(entry(packages))
        folders = [BUILTIN] if alone or self.library.ours == self.library else [BUILTIN, PROJECT]
        return self.opa.evaluate(self.folder / "modules", folders, file, self.folder / "capabilities.json", self.given)


def _ask(asking: _Asking, packages: Mapping[str, str], errors: list[str]) -> Iterator[tuple[Mapping[str, str], Answers]]:
    try:
        answers = asking(packages)
    except RuleError as error:
        if len(packages) == 1:
            errors.append(f"{line(next(iter(packages)), 100)} could not judge: {error}")
            return
        for package, kind in packages.items():
            yield from _ask(asking, {package: kind}, errors)
    else:
        yield packages, answers


@dataclass(slots=True)
class _Hearing:
    """Collects what the packages say, and holds it against what they should have said."""

    catalogue: Catalogue
    documents: Sequence[Document]
    errors: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    judged: dict[str, set[str]] = field(default_factory=dict)

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(document.kind for document in self.documents)

    def hear(self, packages: Mapping[str, str], answers: Answers) -> None:
        for index, problem in answers.problems.items():
            document = self.documents[int(index)]
            self.errors.append(f"{line(document.name, 200)}:{document.line}: {problem}")
        said: dict[str, dict[tuple[int, int, str], Record]] = {}
        for record in answers.records:
            said.setdefault(record.package, {})[record.document, record.object, record.verb] = record
        for package, kind in packages.items():
            self._take(package, kind, answers, said.get(package, {}))

    def _take(self, package: str, kind: str, answers: Answers, said: Mapping[tuple[int, int, str], Record]) -> None:
        taken: list[Answer] = []
        silent: dict[str, list[str]] = {}
        for index, verb, place in self._expected(package, kind, answers):
            document, record = self.documents[index], said.get((index, place, verb))
            if record and record.type == "set":
                taken.append(Answer(document, package, verb, tuple(msgspec.json.decode(record.value, type=list[object]))))
                self.judged.setdefault(document.name, set()).add(package)
            else:
                what = f"{record.type} instead of a set" if record else "undefined"
                silent.setdefault(f"`{verb}` of {line(package, 100)} is {what}", []).append(document.name)
        self.errors += [f"{what} for {_some(names)}" for what, names in silent.items()]
        try:
            self.findings += findings(taken, self.catalogue.rules_of(package))
        except ToolError as error:
            self.errors.append(str(error))

    def _expected(self, package: str, kind: str, answers: Answers) -> Iterator[tuple[int, str, int]]:
        verbs = self.catalogue.verbs(package, answers.heads)
        for index, document in enumerate(self.documents):
            if document.kind == kind:
                for place in range(answers.counts.get(str(index), 0)):
                    yield from ((index, verb, place) for verb in verbs)

    def judgement(self) -> Judgement:
        judged = {name: tuple(sorted(packages)) for name, packages in self.judged.items()}
        if not self.errors:
            unheard = dict.fromkeys(one.name for one in self.documents if one.name not in judged)
            self.errors += [f"no policy judged {line(name, 200)}" for name in unheard]
        return Judgement(tuple(self.findings), tuple(dict.fromkeys(self.errors)), judged)


def _some(names: Sequence[str]) -> str:
    more = len(dict.fromkeys(names)) - 1
    return line(names[0], 200) + (f" and {more} more" if more else "")
