"""OPA's argument lists, what it prints, and the policies on disk; no OPA runs here."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pipeline.core.cancel import Cancel
from pipeline.core.policy import Document
from pipeline.errors import ToolError, UsageError
from pipeline.tools.opa.answer import RuleError, decode, decode_catalogue
from pipeline.tools.opa.call import Opa, eval_argv, inspect_argv, restrict
from pipeline.tools.opa.entry import entry
from pipeline.tools.opa.judge import judge
from pipeline.tools.opa.library import Library, load
from pipeline.tools.process import Completed


def completed(stdout: bytes, code: int = 0, stderr: bytes = b"") -> Completed:
    return Completed(("opa",), code, stdout, stderr, 0.1)


def test_the_arguments_of_an_evaluation() -> None:
    assert eval_argv("/bin/opa", ["builtin", "project"], "entry.rego", "caps.json", 60.0) == [
        *("/bin/opa", "eval", "--format", "json", "--stdin-input", "--strict-builtin-errors", "--timeout", "60s"),
        *("--capabilities", "caps.json", "--data", "builtin", "--data", "project", "--data", "entry.rego", "data.pipeline.entry.answers"),
    ]


def test_the_arguments_of_an_inspection() -> None:
    assert inspect_argv("/bin/opa") == ["/bin/opa", "inspect", "--annotations", "--format", "json", "."]


def test_capabilities_lose_what_reads_the_world() -> None:
    builtins = [
        {"name": "plus", "decl": {"type": "function"}, "infix": "+"},
        {"name": "http.send"},
        {"name": "opa.runtime", "nondeterministic": True},
        {"name": "net.cidr_contains"},
        {"name": "new.reader", "nondeterministic": True},
    ]
    left = msgspec.json.decode(restrict(msgspec.json.encode({"builtins": builtins, "features": ["rego_v1"]})))
    assert left == {"builtins": builtins[:1], "features": ["rego_v1"], "allow_net": []}


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"builtins": 1}', b'{"builtins": [{}]}', b"\xff"])
def test_capabilities_that_cannot_be_read(data: bytes) -> None:
    with pytest.raises(ToolError, match="capabilities"):
        restrict(data)


def test_an_answer() -> None:
    record = {"document": 0, "object": 0, "package": "a.image", "verb": "deny", "type": "set", "value": ["x"]}
    value = {"records": [record], "counts": {"0": 1}, "problems": {}, "heads": {"f": ["deny"]}, "new": 1}
    answers = decode(completed(msgspec.json.encode({"result": [{"expressions": [{"value": value, "text": "data"}]}]})))
    assert answers.records[0].package == "a.image"
    assert bytes(answers.records[0].value) == b'["x"]'
    assert answers.heads == {"f": {"deny"}}


@pytest.mark.parametrize("data", [b"", b"rubbish", b"{}", b'{"result": []}', b'{"result": [{"expressions": [{"value": {}}]}]}', b"\xff"])
def test_an_answer_that_cannot_be_read(data: bytes) -> None:
    with pytest.raises(ToolError, match="cannot be read"):
        decode(completed(data))
    if data != b"{}" and not data.startswith(b'{"result'):
        with pytest.raises(ToolError, match="cannot be read"):
            decode_catalogue(completed(data))


def test_what_opa_says_is_wrong_with_a_policy_is_made_harmless() -> None:
    said = {"message": "undefined\x1b[31m\n::error::x", "code": "rego_type_error", "location": {"file": "project/a.rego", "row": 3}}
    with pytest.raises(RuleError) as caught:
        decode(completed(msgspec.json.encode({"errors": [said]}), 2))
    assert caught.value.what.startswith("project/a.rego:3: rego_type_error: undefined")
    assert "\x1b" not in caught.value.what
    assert "\n::" not in caught.value.what


def test_a_timeout_is_no_fault_of_one_rule() -> None:
    with pytest.raises(ToolError, match="in time") as caught:
        decode(completed(b'{"errors": [{"message": "caller cancelled query execution", "code": "eval_cancel_error"}]}', 2))
    assert not isinstance(caught.value, RuleError)


def test_a_crash_quotes_stderr() -> None:
    with pytest.raises(ToolError, match="exit code 139\nfatal"):
        decode(completed(b"", 139, b"fatal"))


def test_the_entry_asks_every_package_in_every_way() -> None:
    module = entry({'acme["my-image"].image': "image"})
    assert 'asked["image"] contains {"package": "acme[\\"my-image\\"].image", "verb": "deny"' in module
    assert module.count('data.acme["my-image"].image.') == 3


@pytest.fixture
def builtin(tmp_path: Path) -> Path:
    folder = tmp_path / "builtin"
    folder.mkdir()
    (folder / "image.rego").write_text("package pipeline.image\n")
    (folder / "image_test.rego").write_text("package pipeline.image_test\n")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


def test_policies_are_read_without_their_tests(builtin: Path, root: Path) -> None:
    (root / "more" / "deep").mkdir(parents=True)
    (root / "more" / "deep" / "a.rego").write_text("package a\n")
    (root / "more" / "a_test.rego").write_text("package a_test\n")
    assert set(load(builtin, root, ["more"]).modules) == {"builtin/image.rego", "project/more/deep/a.rego"}


def test_a_single_file_and_its_folder_count_once(builtin: Path, root: Path) -> None:
    (root / "a.rego").write_text("package a\n")
    assert len(load(builtin, root, ["a.rego", "."]).modules) == 2


def test_a_linked_folder_counts(builtin: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.rego").write_text("package a\n")
    (root / "policies").mkdir()
    (root / "policies" / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "policies" / "loop").symlink_to(root / "policies")
    assert "project/policies/linked/a.rego" in load(builtin, root, ["policies"]).modules


def test_the_digest_covers_names_and_bytes() -> None:
    one = Library({"builtin/a.rego": "package a"})
    assert one.digest == Library({"builtin/a.rego": "package a"}).digest
    assert len({one.digest, Library({"builtin/b.rego": "package a"}).digest, Library({"builtin/a.rego": "package b"}).digest}) == 3


@pytest.mark.parametrize(("path", "what"), [("absent", "does not exist"), ("empty", "no policy"), ("../builtin", "outside")])
def test_a_named_path_without_policies_is_an_error(path: str, what: str, builtin: Path, root: Path) -> None:
    (root / "empty").mkdir()
    (root / "empty" / "only_test.rego").write_text("package only_test\n")
    with pytest.raises(UsageError, match=what):
        load(builtin, root, [path])


def test_a_policy_that_is_no_text_is_an_error(builtin: Path, root: Path) -> None:
    (root / "a.rego").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="UTF-8"):
        load(builtin, root, ["a.rego"])


def test_a_file_name_that_cannot_be_shown_is_an_error(builtin: Path, root: Path) -> None:
    (root / "a\x1b.rego").write_text("package a\n")
    with pytest.raises(UsageError, match="cannot be shown"):
        load(builtin, root, ["."])


def test_without_our_own_policies_nothing_is_judged(root: Path) -> None:
    with pytest.raises(ToolError, match="built-in"):
        load(root / "absent", root, [])


def program(folder: Path, script: str) -> Opa:
    """An `opa` that does as the script says."""
    folder.mkdir()
    file = folder / "opa"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return Opa({"PATH": f"{folder}:/usr/bin:/bin", "HOME": str(folder), "SECRET": "v3ry-pr1vate"}, Cancel(), 5)


LIBRARY = Library({"builtin/image.rego": "package pipeline.image\n"})
DOCUMENTS = [Document("image", "image", {})]


def test_opa_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="opa is not installed"):
        judge(Opa({"PATH": str(tmp_path)}, Cancel()), LIBRARY, DOCUMENTS)


@pytest.mark.parametrize(("said", "what"), [("Version: 0.70.0", "too old"), ("hello", "does not say"), ("", "does not say")])
def test_opa_is_another(tmp_path: Path, said: str, what: str) -> None:
    with pytest.raises(ToolError, match=what):
        _ = program(tmp_path / "bin", f"echo '{said}'").version


def test_opa_sees_nothing_of_our_environment(tmp_path: Path) -> None:
    _ = program(tmp_path / "bin", f"env > {tmp_path}/seen; pwd >> {tmp_path}/seen; ls -A >> {tmp_path}/seen; echo Version: 1.0.0").version
    seen = (tmp_path / "seen").read_text()
    assert "v3ry-pr1vate" not in seen
    assert {one.split("=")[0] for one in seen.splitlines() if "=" in one} <= {"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_"}
    assert f"HOME={tmp_path}" not in seen


@pytest.mark.parametrize("script", ["exit 1", "kill -9 $$", "echo rubbish", "true"])
def test_opa_fails(tmp_path: Path, script: str) -> None:
    with pytest.raises(ToolError):
        judge(program(tmp_path / "bin", script), LIBRARY, DOCUMENTS)
