"""A registry's refusals as words: its error codes, where they are ours to mend, and what a person does about each."""

from __future__ import annotations

import msgspec

from pipeline.core.address import shown
from pipeline.core.text import line
from pipeline.errors import PipelineError, RefusedError, ToolError
from pipeline.tools.http.client import Answer, wanted_pause


class _Error(msgspec.Struct, frozen=True):
    code: str = ""
    message: str | None = ""


class _Errors(msgspec.Struct, frozen=True):
    errors: tuple[_Error, ...] | None = ()


def _codes(answer: Answer) -> tuple[str, ...]:
    """The error codes of an answer, in upper case; none where it is not in the specification's form."""
    return tuple(one.code.upper() for one in _errors(answer))


def problem(answer: Answer, doing: str, where: str) -> PipelineError:
    """The error for an answer that is none of those hoped for; `doing` names what was asked, as in `read the manifest`."""
    said = line("; ".join(f"{one.code} {one.message or ''}".strip() for one in _errors(answer)), 300)
    what = f"may not {doing}" if answer.status in {401, 403} else f"could not {doing}"
    what += f": status {answer.status}" + (f", {said}" if said else "")
    if "immutable" in said.lower():
        return RefusedError(what, where=where, mend="the registry lets no tag be overwritten: make a new version")
    return ToolError(what, where=where, mend=_mend(answer))


def _mend(answer: Answer) -> str:
    found = _codes(answer)
    if answer.status == 429 or "TOOMANYREQUESTS" in found:
        seconds = wanted_pause(answer.headers)
        return f"run it again in {seconds:.0f} s" if seconds else "run it again later, or log in: anonymous users are given less"
    if answer.status == 401 or "UNAUTHORIZED" in found:
        return "log in with `docker login`, or give the job the registry's credentials"
    if answer.status == 403 or "DENIED" in found:
        return "ask the registry's owner for the right to do this, or use another account"
    if answer.status == 404:
        return "see that the repository exists and is written right"
    if answer.status >= 500:
        return "see whether the registry is well, and run it again"
    return f"see what answers at {shown(answer.url)}"


def _errors(answer: Answer) -> tuple[_Error, ...]:
    try:
        return msgspec.json.decode(answer.body, type=_Errors).errors or ()
    except (msgspec.DecodeError, RecursionError):
        return ()
