"""What a command answers: one versioned document, as text for a person, as JSON, and as the CI's outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import msgspec

from pipeline.ci import github, gitlab
from pipeline.context import Context
from pipeline.core.finding import Outcome, Verdict
from pipeline.core.record import BuildFacts, DeployFacts, Facts, PublishFacts, VersionFacts
from pipeline.core.text import json_text
from pipeline.errors import ToolError
from pipeline.flow import Ran
from pipeline.reports import document

SCHEMA: Final = "release-chain/result/v1"
DOTENV: Final = "pipeline.env"


class GateResult(msgspec.Struct, frozen=True):
    """How many findings came out how. `error`: why it could not judge."""

    gate: str
    status: Literal["passed", "failed", "error"]
    passed: int
    warned: int
    waived: int
    failed: int
    error: str = ""
    report: str = ""


class Result(msgspec.Struct, frozen=True):
    """`image` is `repository@sha256:…`, empty until it is published; `config` the digest of what was built."""

    command: str
    version: str = ""
    commit: str = ""
    tag: str = ""
    config: str = ""
    size: int = 0
    image: str = ""
    tags: tuple[str, ...] = ()
    gates: tuple[GateResult, ...] = ()
    environment: str = ""
    rollout: str = ""
    address: str = ""
    schema: Literal["release-chain/result/v1"] = SCHEMA


def of(command: str, ran: Ran, context: Context) -> Result:
    """The answer, from what the steps of this run left."""
    facts: list[Facts] = [one.evidence.facts for one in ran.ended if one.evidence and one.evidence.facts]
    known: dict[str, object] = {}
    for fact in facts:
        match fact:
            case VersionFacts():
                known |= {"version": fact.version, "commit": fact.commit, "tag": fact.tag}
            case BuildFacts():
                known |= {"config": fact.config, "size": fact.size}
            case PublishFacts():
                known |= {"image": f"{fact.repository}@{fact.manifest}", "tags": (*fact.tags, *fact.kept), "version": fact.version}
            case DeployFacts():
                known |= {"environment": fact.environment, "rollout": fact.outcome, "address": fact.address, "image": fact.image}
    gates = tuple(_gate(verdict, context) for verdict in ran.verdicts)
    return msgspec.convert({"command": command, "gates": gates, **known}, Result, from_attributes=True)


def _gate(verdict: Verdict, context: Context) -> GateResult:
    counts = {outcome.value: verdict.count(outcome) for outcome in Outcome}
    report = context.evidence.folder / "reports" / f"{verdict.gate}.xml"
    return GateResult(gate=verdict.gate, status=verdict.status, error=verdict.error, report=str(report), **counts)


def as_text(answer: Result) -> str:
    """One line: the digest where there is one, else what the command is about."""
    match answer.command:
        case "version":
            return answer.version
        case "build":
            return answer.config
        case _:
            return answer.image


def as_json(answer: Result, ran: Ran) -> str:
    """The gates alone print their findings too; everything else prints the result."""
    if answer.command in {"check", "scan", "policy"} and ran.verdicts:
        return str(document.render(ran.verdicts[0]), "utf-8")
    return json_text(msgspec.json.format(msgspec.json.encode(answer), indent=2))


def hand_to_ci(answer: Result, context: Context) -> None:
    """Write the dotenv file under `.pipeline/`, and GitHub's outputs and summary where they are asked for."""
    values = {"version": answer.version, "tag": answer.tag, "image": answer.image, "config": answer.config}
    values = {name: value for name, value in values.items() if value}
    if answer.command not in {"build", "push", "release", "snapshot"}:
        return
    if values or (context.evidence.folder / DOTENV).exists():  # what an earlier run said must not outlive this one
        context.evidence.write_file(DOTENV, gitlab.dotenv(values).encode())
    if context.job.outputs:
        _append(Path(context.job.outputs), github.output(values))
    if context.job.summary and answer.gates:
        _append(Path(context.job.summary), _summary(answer))


def _summary(answer: Result) -> str:
    rows = [f"| {gate.gate} | {gate.status} | {gate.failed} | {gate.warned} | {gate.waived} |" for gate in answer.gates]
    head = [f"### {answer.version or answer.command}", "", f"`{answer.image or answer.config}`", ""]
    return "\n".join([*head, "| gate | verdict | failed | warned | waived |", "| --- | --- | --- | --- | --- |", *rows, ""])


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise ToolError(f"the CI's file cannot be written: {error.strerror}", where=str(path)) from error
