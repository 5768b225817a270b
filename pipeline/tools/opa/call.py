"""Calling OPA: nothing of our environment, no built-in that reads the network, the clock or the process, and a timeout."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from pipeline.core.cancel import Cancel
from pipeline.core.text import line
from pipeline.errors import ToolError
from pipeline.tools import process
from pipeline.tools.location import locate
from pipeline.tools.opa.answer import Answers, Inspected, decode, decode_catalogue

ANSWERS = "data.pipeline.entry.answers"
_ASK_SECONDS = 20.0


class _Builtin(msgspec.Struct, frozen=True):
    name: str
    nondeterministic: bool = False


def eval_argv(program: str, folders: Sequence[str], entry: str, capabilities: str, timeout: float) -> list[str]:
    """`timeout` in seconds. The input document is read from stdin."""
    loaded = [argument for path in (*folders, entry) for argument in ("--data", path)]
    flags = ["--format", "json", "--stdin-input", "--strict-builtin-errors", "--timeout", f"{timeout:g}s", "--capabilities", capabilities]
    return [program, "eval", *flags, *loaded, ANSWERS]


def inspect_argv(program: str) -> list[str]:
    return [program, "inspect", "--annotations", "--format", "json", "."]


def restrict(capabilities: bytes) -> bytes:
    """Capabilities without what makes an answer depend on more than input and policies: OPA itself marks `http.send`, `opa.runtime`,
    the clock and the like as non-deterministic. Nothing of `net.` stays, nor a schema from another host. Raises `ToolError`."""
    try:
        parts = msgspec.json.decode(capabilities, type=dict[str, msgspec.Raw])
        raw = msgspec.json.decode(parts["builtins"], type=list[msgspec.Raw])
        known = [(msgspec.json.decode(one, type=_Builtin), one) for one in raw]
    except (msgspec.MsgspecError, KeyError) as error:
        raise ToolError(f"its capabilities cannot be read: {error}", where="opa") from error
    allowed = [one for builtin, one in known if not (builtin.nondeterministic or builtin.name.startswith("net.") or builtin.name in _NEVER)]
    return msgspec.json.encode(parts | {"builtins": allowed, "allow_net": []})


# By name too: an older OPA may not mark them.
_NEVER = frozenset({"http.send", "opa.runtime", "rand.intn", "time.now_ns", "uuid.rfc4122", "providers.aws.sign_req"})


class Opa:
    """One OPA program. `timeout` in seconds, for one evaluation. `project`: see `location.find`. Everything here raises `ToolError` where
    there is no OPA."""

    def __init__(self, environ: Mapping[str, str], cancel: Cancel, timeout: float = 60.0, project: Path | None = None) -> None:
        self.environ, self.cancel, self.timeout, self.project = environ, cancel, timeout, project

    @cached_property
    def program(self) -> str:
        return locate("opa", self.environ, self.project)

    @cached_property
    def version(self) -> str:
        """Such as `1.22.2`; Rego changed with 1.0, so an older one is refused."""
        said = self._run([self.program, "version"]).text
        found = re.search(r"^Version: (\d+)\.(\d+\.\S+)$", said, re.M)
        if not found:
            raise ToolError(f"does not say its version: {line(said, 200)}", where="opa", mend="run `pipeline tools install`")
        if int(found[1]) < 1:
            raise ToolError(f"{found[1]}.{found[2]} is too old: 1.0 or later is needed", where="opa", mend="run `pipeline tools install`")
        return f"{found[1]}.{found[2]}"

    @cached_property
    def capabilities(self) -> bytes:
        """What this OPA can do, less what a policy may not."""
        return restrict(self._run([self.program, "capabilities", "--current"]).stdout)

    def inspect(self, modules: Path) -> Inspected:
        """The packages and METADATA of every policy below `modules`. One that does not compile raises `RuleError`."""
        return decode_catalogue(self._run(inspect_argv(self.program), cwd=modules, check=False))

    def evaluate(self, modules: Path, folders: Sequence[str], entry: Path, capabilities: Path, given: bytes) -> Answers:
        """Ask `entry`, with the policies in `folders` of `modules`, and `given` as input: one process, whatever the number of documents."""
        argv = eval_argv(self.program, folders, str(entry), str(capabilities), self.timeout)
        return decode(self._run(argv, cwd=modules, stdin=given, timeout=self.timeout + _ASK_SECONDS, check=False))

    def _run(
        self, argv: Sequence[str], *, cwd: Path | None = None, stdin: bytes = b"", timeout: float = _ASK_SECONDS, check: bool = True
    ) -> process.Completed:
        with tempfile.TemporaryDirectory(prefix="pipeline-home-") as home:
            env = {"HOME": home} | {name: self.environ[name] for name in ("PATH",) if name in self.environ}
            return process.run(argv, env=env, timeout=timeout, cancel=self.cancel, cwd=cwd or Path(home), stdin=stdin, check=check)
