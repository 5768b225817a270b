"""What `parse` reads, and what it refuses. BuildKit's own parser is the judge in tests/integration/test_dockerfile_corpus.py."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.dockerfile.document import document
from pipeline.core.dockerfile.model import Instruction
from pipeline.core.dockerfile.parser import parse
from pipeline.errors import UsageError


def only(body: str) -> Instruction:
    """The one instruction after a FROM."""
    (instruction,) = parse(f"FROM base\n{body}".encode()).stages[0].instructions
    return instruction


def test_stages_have_names_platforms_and_lines() -> None:
    parsed = parse(b"ARG V=1\n\nFROM --platform=$BUILDPLATFORM go:$V as Build\nRUN make\nFROM build\n")
    assert [one.pairs for one in parsed.global_args] == [(("V", "1"),)]
    first, second = parsed.stages
    assert (first.index, first.name, first.base, first.platform, first.line) == (0, "build", "go:$V", "$BUILDPLATFORM", 3)
    assert (second.index, second.name, second.title, second.instructions) == (1, "", "1", ())


def test_a_byte_order_mark_carriage_returns_and_lower_case_are_read() -> None:
    parsed = parse(b"\xef\xbb\xbffrom base\r\nrun a \\\r\n  b\r\n")
    (run,) = parsed.stages[0].instructions
    assert (run.keyword, run.args, run.line, run.end_line) == ("RUN", ("a   b",), 2, 3)


def test_comments_and_blank_lines_within_a_continuation_do_not_end_it() -> None:
    run = only("RUN a && \\\n\n  # why\n\t# not\n  b\nUSER x".replace("\nUSER x", ""))
    assert run.args == ("a &&   b",)
    assert (run.line, run.end_line) == (2, 6)


def test_a_doubled_escape_at_the_end_is_no_continuation() -> None:
    parsed = parse(b"FROM base\nRUN a \\\\\nRUN b\n")
    assert [one.args for one in parsed.stages[0].instructions] == [("a \\\\",), ("b",)]


@pytest.mark.parametrize(
    ("head", "syntax", "escape"),
    [
        ("# syntax=docker/dockerfile:1\n", "docker/dockerfile:1", "\\"),
        ("#escape=`\n# SYNTAX = a/b rest\n", "a/b", "`"),
        ("#!/usr/bin/env docker\n# syntax=a/b\n", "a/b", "\\"),
        ("# a comment first\n# syntax=a/b\n", "", "\\"),
        ("\n# escape=`\n", "", "\\"),
    ],
)
def test_directives(head: str, syntax: str, escape: str) -> None:
    parsed = parse(f"{head}FROM base\n".encode())
    assert (parsed.syntax, parsed.escape) == (syntax, escape)


def test_the_backtick_escapes_where_it_is_asked_for() -> None:
    parsed = parse(b"# escape=`\nFROM base\nRUN dir c:\\ `\n  x\nCOPY a\\ c:\\\n")
    assert [one.args for one in parsed.stages[0].instructions] == [("dir c:\\   x",), ("a\\", "c:\\")]


@pytest.mark.parametrize(
    ("body", "form", "args"),
    [
        ('RUN ["a", "b c"]', "exec", ("a", "b c")),
        ("RUN ['a']", "shell", ("['a']",)),
        ('RUN ["a"', "shell", ('["a"',)),
        ('CMD ["a"] x', "shell", ('["a"] x',)),
        ("ENTRYPOINT []", "exec", ()),
        ("CMD a  b", "shell", ("a  b",)),
        ('SHELL ["sh", "-c"]', "exec", ("sh", "-c")),
        ('COPY ["a b", "/c"]', "exec", ("a b", "/c")),
        ("COPY a b /c", "", ("a", "b", "/c")),
        ('HEALTHCHECK CMD ["a"]', "exec", ("CMD", "a")),
        ("healthcheck  cmd  a b", "shell", ("CMD", "a b")),
        ("HEALTHCHECK NONE", "", ("NONE",)),
        ('RUN ["\\ud800"]', "exec", ("\ufffd",)),
    ],
)
def test_forms(body: str, form: str, args: tuple[str, ...]) -> None:
    one = only(body)
    assert (one.form, one.args) == (form, args)


@pytest.mark.parametrize(
    ("body", "pairs"),
    [
        ("ENV a=b c='d e' f=\"g h\"", (("a", "b"), ("c", "'d e'"), ("f", '"g h"'))),
        ("ENV a b  c=d", (("a", "b  c=d"),)),
        ("ENV a=b\\ c d=", (("a", "b\\ c"), ("d", ""))),
        ('LABEL "x y"=z', (('"x y"', "z"),)),
        ("ARG a b=c", (("a", None), ("b", "c"))),
    ],
)
def test_pairs(body: str, pairs: tuple[tuple[str, str | None], ...]) -> None:
    assert only(body).pairs == pairs


def test_flags_keep_their_order_and_repeats() -> None:
    run = only('RUN --mount=type=cache,target=/a --mount="type=secret,id=b" --network=none make --fast')
    assert run.flags == (("mount", "type=cache,target=/a"), ("mount", "type=secret,id=b"), ("network", "none"))
    assert run.args == ("make --fast",)
    assert only("COPY --link --from=a --parents=FALSE x y").flags == (("link", "true"), ("from", "a"), ("parents", "false"))
    assert only("RUN -- --not-a-flag").args == ("--not-a-flag",)


def test_heredocs_are_read_for_run_copy_and_add() -> None:
    body = 'COPY <<first.txt <<-"second" /x/\n$a\nfirst.txt\n\tb\n\tsecond'
    first, second = only(body).heredocs
    assert (first.name, first.content, first.expand, first.chomp) == ("first.txt", "$a\n", True, False)
    assert (second.name, second.content, second.expand, second.chomp) == ("second", "\tb\n", False, True)
    assert only(body).end_line == 6


def test_what_looks_like_a_heredoc_elsewhere_is_none() -> None:
    assert only("ENV a=<<EOF").heredocs == ()
    assert only('RUN ["cat", "<<EOF"]').heredocs == ()
    assert only("RUN cat '<<EOF'").heredocs == ()
    assert only("RUN cat <<<word").heredocs == ()


def test_onbuild_holds_an_instruction_of_its_own() -> None:
    onbuild = only("ONBUILD COPY --link <<E /x\nhello\nE")
    assert (onbuild.keyword, onbuild.args, onbuild.end_line) == ("ONBUILD", (), 4)
    trigger = onbuild.trigger
    assert trigger and (trigger.keyword, trigger.flags, trigger.line) == ("COPY", (("link", "true"),), 2)
    assert [one.content for one in trigger.heredocs] == ["hello\n"]


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("", "", "no FROM"),
        ("# only a comment\n", "", "no FROM"),
        ("ARG a\n", "", "no FROM"),
        ("RUN x\nFROM a", ":1", "before the first FROM"),
        ("FROM a\nFOO x", ":2", "no instruction"),
        ("FROM a\nRUN <<EOF\nx\n", ":2", "not ended"),
        ("FROM a\nRUN [1]", ":2", "something else than strings"),
        ("FROM a\nRUN --nope x", ":2", "no flag"),
        ("FROM a\nRUN --network=lan x", ":2", "cannot be"),
        ("FROM a\nCOPY --link --link a b", ":2", "twice"),
        ("FROM a\nCOPY --link=maybe a b", ":2", "true or false"),
        ("FROM a\nCOPY --from a b", ":2", "needs a value"),
        ("FROM a\nCOPY --from=$x a b", ":2", "does not expand"),
        ("FROM a\nCOPY --chown=\u00e9 a b", ":2", "outside ASCII"),
        ("FROM a\nCOPY a", ":2", "destination"),
        ("FROM a\nCOPY a <<E\nE", ":2", "heredoc"),
        ("FROM a b c d", ":1", "FROM takes"),
        ("FROM a AS 1b", ":1", "stage's name"),
        ("FROM a\nENV a", ":2", "no value"),
        ("FROM a\nENV a=b c", ":2", "name=value"),
        ("FROM a\nARG =b", ":2", "name=value"),
        ("FROM a\n\nUSER", ":3", "needs an argument"),
        ("FROM a\nSHELL sh -c", ":2", "JSON list"),
        ('FROM a\nVOLUME [""]', ":2", "VOLUME"),
        ("FROM a\nHEALTHCHECK NONE x", ":2", "HEALTHCHECK"),
        ("FROM a\nHEALTHCHECK --interval=1 CMD x", ":2", "cannot be"),
        ("FROM a\nHEALTHCHECK --retries=-1 CMD x", ":2", "cannot be"),
        ("FROM a\nONBUILD FROM b", ":2", "not allowed"),
        ("FROM a\nONBUILD FOO b", ":2", "no instruction"),
        ("FROM a\nRUN --mount=type=nfs x", ":2", "no mount of type"),
        ("FROM a\nRUN --mount=type=bind,from=$x x", ":2", "does not expand"),
        ("FROM a\nRUN --mount=target x", ":2", "no value"),
        ("FROM a\nRUN --mount=type=secret x", ":2", "needs an id"),
        ("FROM a\nRUN --mount=required,type=secret,id=a x", ":2", "no option required"),
        ("# escape=x\nFROM a", ":1", "escape"),
        ("# escape=`\n# escape=`\nFROM a", ":1", "twice"),
        ("FROM a\nRUN \x00", ":2", "UTF-8"),
        (f"FROM a\nRUN {'x' * 70_000}", ":2", "longer"),
    ],
)
def test_what_is_refused_says_where_and_how_to_mend_it(text: str, line: str, what: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        parse(text.encode(), "Some.Dockerfile")
    assert caught.value.where == f"Some.Dockerfile{line}"
    assert caught.value.mend


def test_bytes_that_are_not_utf8_are_refused_except_in_comments() -> None:
    assert parse(b"# caf\xe9\nFROM a\n").stages
    with pytest.raises(UsageError, match="UTF-8"):
        parse(b"FROM a\nRUN echo caf\xe9\n")
    with pytest.raises(UsageError, match="UTF-8"):
        parse(b"FROM a\nRUN <<E\n\xe9\nE\n")


PIECES = [
    "FROM a",
    " AS b",
    "\n",
    "RUN ",
    "COPY ",
    "<<E",
    "\nE\n",
    "\\\n",
    '"',
    "'",
    "\\",
    "`",
    "[",
    "]",
    "$",
    "${",
    "}",
    ":-",
    "--from=0 ",
    " ",
    "=",
    "#",
]
PIECES += [
    "# escape=`\n",
    "ONBUILD ",
    "ENV ",
    "ARG x",
    "EXPOSE ",
    "HEALTHCHECK CMD ",
    "--mount=type=cache,",
    "80",
    "\x00",
    "\u00a0",
    "\r\n",
    "a/b:c@",
    "WORKDIR x",
]


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=80), st.lists(st.sampled_from(PIECES), max_size=25).map(lambda parts: f"FROM a\n{''.join(parts)}".encode())
    )
)
def test_whatever_the_bytes_only_a_usage_error_is_raised(data: bytes) -> None:
    try:
        document(parse(data))
    except UsageError as error:
        assert error.where.startswith("Dockerfile")


def test_values_that_double_again_and_again_are_refused() -> None:
    with pytest.raises(UsageError, match="becomes longer"):
        document(parse(b"FROM a\nENV A=12345678\n" + b"ENV A=$A$A$A$A\n" * 30))


def test_deep_nesting_is_refused_not_crashed_on() -> None:
    for body in ("RUN " + "[" * 60_000, "ONBUILD " * 5_000 + "RUN x", "ENV a=" + "${a:-" * 10_000):
        with pytest.raises(UsageError):
            document(parse(f"FROM a\n{body}\n".encode()))
