"""What OPA prints, as types: the answer to our entry module, the catalogue of the policies, and its errors."""

from __future__ import annotations

import msgspec

from pipeline.core.text import block, line
from pipeline.errors import ToolError
from pipeline.tools import process

_TIMED_OUT = "eval_cancel_error"


class RuleError(ToolError):
    """OPA ran and said that a policy does not compile, or that a rule cannot be evaluated."""


class Record(msgspec.Struct, frozen=True):
    """What `data.<package>.<verb>` was for an object of a document; `type` tells a set from other values."""

    document: int
    object: int
    package: str
    verb: str
    type: str
    value: msgspec.Raw = msgspec.Raw(b"null")


class Answers(msgspec.Struct, frozen=True):
    """`counts`: objects in each document. `problems`: why a document could not be read. `heads`: the rules that a file defines."""

    records: tuple[Record, ...]
    counts: dict[str, int]
    problems: dict[str, str]
    heads: dict[str, frozenset[str]]


class _Location(msgspec.Struct, frozen=True):
    file: str = ""
    row: int = 0


class _Error(msgspec.Struct, frozen=True):
    message: str
    code: str = ""
    location: _Location = _Location()


class _Expression(msgspec.Struct, frozen=True):
    value: Answers


class _Result(msgspec.Struct, frozen=True):
    expressions: tuple[_Expression, ...]


class _Evaluated(msgspec.Struct, frozen=True):
    result: tuple[_Result, ...] = ()


class _Failed(msgspec.Struct, frozen=True):
    errors: tuple[_Error, ...] = ()


class Related(msgspec.Struct, frozen=True):
    ref: str


class Annotations(msgspec.Struct, frozen=True):
    """A METADATA block."""

    scope: str
    title: str = ""
    custom: dict[str, object] = {}
    related: tuple[Related, ...] = msgspec.field(default=(), name="related_resources")


class Annotated(msgspec.Struct, frozen=True):
    annotations: Annotations
    location: _Location


class Inspected(msgspec.Struct, frozen=True):
    """`namespaces`: `data.<package>` to the files that declare it."""

    namespaces: dict[str, tuple[str, ...]] = {}
    annotations: tuple[Annotated, ...] = ()


def decode(done: process.Completed) -> Answers:
    """Raises `RuleError` for what OPA says is wrong with a policy, `ToolError` for a timeout and for what is not OPA's answer."""
    if done.code != 0:
        raise _failure(done)
    try:
        ((answer,),) = (one.expressions for one in msgspec.json.decode(done.stdout, type=_Evaluated).result)
    except (msgspec.MsgspecError, UnicodeDecodeError, ValueError) as error:
        raise _unreadable(done, error) from error
    return answer.value


def decode_catalogue(done: process.Completed) -> Inspected:
    """What `opa inspect` prints. Raises `RuleError` where it says what is wrong with a policy, `ToolError` for what is not its answer."""
    if done.code != 0:
        said = ToolError if done.code < 0 or not done.stderr else RuleError
        raise said(f"ended with exit code {done.code}\n{done.error_text}".rstrip(), where="opa", mend="mend the policy")
    try:
        return msgspec.json.decode(done.stdout, type=Inspected)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _unreadable(done, error) from error


def _failure(done: process.Completed) -> ToolError:
    try:
        errors = msgspec.json.decode(done.stdout, type=_Failed).errors
    except (msgspec.MsgspecError, UnicodeDecodeError):
        errors = ()
    if not errors:
        return ToolError(f"ended with exit code {done.code}\n{done.error_text}".rstrip(), where="opa")
    said = block("\n".join(_sentence(one) for one in errors[:10]), 4000)
    if any(one.code == _TIMED_OUT for one in errors):
        return ToolError(f"did not end in time: {said}", where="opa", mend="see which policy is slow, or raise `timeout` under [policy]")
    return RuleError(said, where="opa", mend="mend the policy")


def _sentence(error: _Error) -> str:
    place = f"{error.location.file}:{error.location.row}: " if error.location.file else ""
    return place + f"{error.code}: {line(error.message, 1000)}"


def _unreadable(done: process.Completed, error: Exception) -> ToolError:
    excerpt = line(done.text, 200)
    return ToolError(f"answered what cannot be read ({line(str(error), 200)}): {excerpt}", where="opa", mend="run `pipeline doctor`")
