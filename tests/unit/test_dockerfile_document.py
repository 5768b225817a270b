"""The document that policies judge: its shape, and what it says of a whole Dockerfile."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from pipeline.core.dockerfile.document import document
from pipeline.core.dockerfile.parser import parse
from pipeline.errors import UsageError

DIGEST = "sha256:" + "1" * 64
WHOLE = f"""# syntax=docker/dockerfile:1
ARG GO=1.25
ARG NOTHING
FROM golang:${{GO}}@{DIGEST} AS build
ARG GO
ARG UNSET
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/root/.cache --mount=type=secret,id=npm,required go build -o /out/app

FROM localhost:5000/base:2 AS runtime
ARG UID=1000
ENV HOME=/home/app MODE="$NOPE"
LABEL name=old
USER ${{UID}}
EXPOSE 8080 9000-9001/UDP
VOLUME /data
HEALTHCHECK --interval=5s CMD ["/app", "check"]
ENTRYPOINT ["/app"]
CMD ["serve"]
ONBUILD COPY extra /extra

FROM runtime
LABEL name=new
WORKDIR sub
COPY --from=build --chown=$UID /out/app $HOME/app
COPY --from=nginx:1 /etc/mime /etc/
COPY <<MOTD /etc/motd
hello
MOTD
ADD https://example.com/x.tgz /x
ENTRYPOINT /app --fast
"""


def of(text: str, target: str = "", **args: str) -> Any:
    """As Rego will see it: what is no JSON fails here."""
    return json.loads(json.dumps(document(parse(text.encode()), target, args)))


def test_the_stages_and_their_bases() -> None:
    judged = of(WHOLE)
    assert (judged["syntax"], judged["escape"], judged["multi_stage"]) == ("docker/dockerfile:1", "\\", True)
    assert judged["global_args"] == [{"name": "GO", "value": "1.25"}, {"name": "NOTHING", "value": None}]
    build, runtime, last = judged["stages"]
    assert build["base"] == {
        "raw": f"golang:${{GO}}@{DIGEST}",
        "reference": f"golang:1.25@{DIGEST}",
        "stage": None,
        "scratch": False,
        "repository": "golang",
        "tag": "1.25",
        "digest": DIGEST,
    }
    assert (runtime["base"]["repository"], runtime["base"]["tag"]) == ("localhost:5000/base", "2")
    assert (last["base"]["stage"], last["base"]["repository"]) == (1, "")
    assert [(stage["name"], stage["final"], stage["needed"]) for stage in judged["stages"]] == [
        ("build", False, True),
        ("runtime", False, True),
        ("", True, True),
    ]


def test_the_user_is_followed_through_the_stages() -> None:
    judged = of(WHOLE, UID="7")
    assert [(stage["user"], stage["user_line"]) for stage in judged["stages"]] == [("", 0), ("7", 15), ("7", 15)]
    assert (judged["final"]["user"], judged["final"]["user_line"]) == ("7", 15)


def test_instructions_are_expanded_as_far_as_they_are_known() -> None:
    judged = of(WHOLE)
    go, unset, workdir, copy, run = judged["stages"][0]["instructions"]
    assert go["pairs"] == [{"name": "GO", "value": "1.25"}]
    assert unset["pairs"] == [{"name": "UNSET", "value": None}]
    assert (workdir["keyword"], workdir["args"]) == ("WORKDIR", ["/src"])
    assert (copy["from"]["kind"], copy["sources"], copy["destination"]) == ("context", ["go.mod", "go.sum"], "./")
    mounts = [(mount["type"], mount["id"], mount["target"]) for mount in run["mounts"]]
    assert mounts == [("cache", "", "/root/.cache"), ("secret", "npm", "")]
    assert run["mounts"][1]["options"]["required"] == "true"
    env = judged["stages"][1]["instructions"][1]
    assert env["pairs"] == [{"name": "HOME", "value": "/home/app"}, {"name": "MODE", "value": "$NOPE"}]


def test_the_final_image() -> None:
    final = of(WHOLE)["final"]
    assert (final["stage"], final["name"], final["workdir"]) == (2, "", "sub")
    assert final["exposed"] == ["8080/tcp", "9000-9001/udp"]
    assert final["labels"] == [{"name": "name", "value": "new"}]
    assert final["volumes"] == ["/data"]
    assert final["healthcheck"] == {
        "form": "exec",
        "args": ["CMD", "/app", "check"],
        "flags": [{"name": "interval", "value": "5s"}],
        "line": 18,
        "stage": 1,
    }
    assert (final["entrypoint"]["form"], final["entrypoint"]["args"]) == ("shell", ["/app --fast"])
    assert final["cmd"] is None, "an entrypoint drops the command that came with another one"


def test_what_ends_up_in_the_final_image_and_where_it_comes_from() -> None:
    copies = of(WHOLE)["final"]["copies"]
    assert [(one["keyword"], one["stage"], one["from"]["kind"], one["sources"], one["destination"]) for one in copies] == [
        ("COPY", 2, "context", ["extra"], "/extra"),
        ("COPY", 2, "stage", ["/out/app"], "/home/app/app"),
        ("COPY", 2, "image", ["/etc/mime"], "/etc/"),
        ("COPY", 2, "context", ["<<MOTD"], "/etc/motd"),
        ("ADD", 2, "context", ["https://example.com/x.tgz"], "/x"),
    ]
    assert (copies[1]["from"]["stage"], copies[2]["from"]["reference"]) == (0, "nginx:1")


def test_another_target_is_another_image() -> None:
    judged = of(WHOLE, "runtime")
    assert (judged["target"], judged["multi_stage"], judged["final"]["stage"]) == ("runtime", False, 1)
    assert judged["final"]["cmd"]["args"] == ["serve"]
    assert judged["final"]["copies"] == []
    assert [stage["needed"] for stage in judged["stages"]] == [False, True, False]


def test_onbuild_is_shown_as_written() -> None:
    onbuild = of(WHOLE)["stages"][1]["instructions"][-1]
    assert (onbuild["keyword"], onbuild["args"]) == ("ONBUILD", [])
    assert (onbuild["onbuild"]["keyword"], onbuild["onbuild"]["sources"], onbuild["onbuild"]["onbuild"]) == ("COPY", ["extra"], None)


def test_nothing_is_unknown_in_an_image_built_on_nothing() -> None:
    judged = of("FROM scratch\nENV A=${NOPE}x\nUSER ${U:-app}\n")
    assert judged["final"]["env"] == [{"name": "A", "value": "x"}]
    assert judged["final"]["user"] == "app"
    assert judged["stages"][0]["base"]["scratch"] is True


def test_arguments_and_environment_share_their_names_in_order() -> None:
    judged = of("FROM scratch\nARG A=1\nENV B=$A A=2 C=$A\nENV D=$A\nFROM scratch\nENV E=${A:-gone}\n")
    pairs = [{pair["name"]: pair["value"] for one in stage["instructions"] for pair in one["pairs"]} for stage in judged["stages"]]
    assert pairs[0] == {"A": "2", "B": "1", "C": "1", "D": "2"}
    assert pairs[1] == {"E": "gone"}


@pytest.mark.parametrize("port", ["http", "70000", "9-1", "80/xyz", "nohost:1:2", ""])
def test_ports_that_are_none_are_refused(port: str) -> None:
    with pytest.raises(UsageError) as caught:
        of(f"FROM a\nEXPOSE {port}\n")
    assert caught.value.where == "Dockerfile:2"


def test_ports_of_the_host_are_read_and_ignored() -> None:
    assert of("FROM a\nEXPOSE 127.0.0.1:1:80 [::1]:2:81 3:82/ 83\n")["final"]["exposed"] == ["80/tcp", "81/tcp", "82/tcp", "83/tcp"]


def test_every_key_is_always_there() -> None:
    judged = of("FROM a\nRUN x\n")
    assert set(judged) == {"syntax", "escape", "target", "multi_stage", "global_args", "stages", "final"}
    assert set(judged["stages"][0]) == {"index", "name", "line", "platform", "base", "final", "needed", "user", "user_line", "instructions"}
    one = "keyword line end_line raw flags args form heredocs pairs mounts from sources destination exposed onbuild"
    assert set(judged["stages"][0]["instructions"][0]) == set(one.split())
    final = "stage name user user_line healthcheck entrypoint cmd workdir exposed env labels volumes copies"
    assert set(judged["final"]) == set(final.split())


def test_two_hundred_lines_take_a_few_milliseconds() -> None:
    """10 ms is what we want; the limit is wide because machines that run tests are busy."""
    body = 'ARG V=1\nENV A=$V B="x y"\nRUN --mount=type=cache,target=/x apt-get update \\\n  && apt-get install a\nCOPY --chown=1 /a /b\n'
    data = ("FROM a\n" + body * 40).encode()
    best = min(_seconds(data) for _ in range(5))
    assert best < 0.05


def _seconds(data: bytes) -> float:
    started = time.process_time()
    document(parse(data))
    return time.process_time() - started
