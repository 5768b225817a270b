from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import pytest

from pipeline.core.cancel import Cancel
from pipeline.core.credential import Credential
from pipeline.core.image import Repository, digest_of
from pipeline.errors import PipelineError, RefusedError, ToolError, UsageError
from pipeline.tools.http.client import Answer, Client
from pipeline.tools.registry import layers
from pipeline.tools.registry.client import Manifest, Registry
from pipeline.tools.registry.login import Challenge, parse_challenges
from pipeline.tools.registry.manifest import Descriptor, decode_config, decode_manifest
from pipeline.tools.registry.problem import problem
from tests.servers import Asked, Reply, Server, free_port, serve

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
SHA = "sha256:" + "a" * 64


def descriptor(media_type: str = LAYER, digest: str = SHA, size: int = 1, **rest: object) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size, **rest}


def image(**rest: object) -> bytes:
    return json.dumps({"schemaVersion": 2, "config": descriptor(CONFIG), "layers": [descriptor()], **rest}).encode()


@contextmanager
def registry(answer: Callable[[Asked], Reply], credential: Credential | None = None) -> Iterator[tuple[Registry, Server]]:
    with serve(answer) as there, Client({}, Cancel(), attempts=1) as http:
        yield Registry(Repository(there.address, "team/app"), http, credential), there


# Manifests and configurations


@pytest.mark.parametrize("media_type", [OCI, DOCKER])
def test_an_image_manifest(media_type: str) -> None:
    data = image(mediaType=media_type, annotations={"Config": "x", "config": "y"} if media_type == DOCKER else {}).replace(
        b'"Config"', b'"c"'
    )
    found = decode_manifest(data, media_type, "here")
    assert (found.digest, found.data, found.is_index) == (digest_of(data), data, False)
    assert (found.config.digest, [one.media_type for one in found.layers], found.manifests) == (SHA, [LAYER], ())
    assert "schemaVersion" not in repr(found)


def test_an_index() -> None:
    data = json.dumps({"schemaVersion": 2, "manifests": [descriptor(OCI, platform={"os": "linux", "architecture": "arm64"})]}).encode()
    found = decode_manifest(data, INDEX, "here")
    assert found.is_index
    assert found.config.digest == ""
    assert found.manifests[0].platform is not None
    assert found.manifests[0].platform.architecture == "arm64"


@pytest.mark.parametrize(
    ("data", "media_type", "kind"),
    [
        (image(), "text/html", ToolError),
        (image(), "application/vnd.docker.distribution.manifest.v1+prettyjws", ToolError),
        (b"<html>", OCI, ToolError),
        (b"[" * 200_000, OCI, ToolError),
        (b"[]", OCI, ToolError),
        (b'{"schemaVersion": 2}', OCI, ToolError),
        (b'{"schemaVersion": 2}', INDEX, ToolError),
        (image(), INDEX, ToolError),
        (image(layers=[descriptor(digest="md5:abc")]), OCI, ToolError),
        (image(layers=[descriptor(size=-1)]), OCI, ToolError),
        (image(mediaType=DOCKER), OCI, RefusedError),
        (image(manifests=[]), OCI, RefusedError),
        (image(layers=[descriptor(urls=["https://other.test/layer"])]), OCI, RefusedError),
        (image(config=descriptor(CONFIG, urls=["https://other.test/config"])), OCI, RefusedError),
        (image(Layers=[]), OCI, RefusedError),
        (image().replace(b'"layers"', b'"config": {}, "layers"'), OCI, RefusedError),
        (image(layers=[descriptor(Digest=SHA)]), OCI, RefusedError),
        (image(**{"layer\u017f": []}), OCI, RefusedError),
    ],
)
def test_what_is_no_manifest_or_no_honest_one(data: bytes, media_type: str, kind: type[PipelineError]) -> None:
    with pytest.raises(kind) as caught:
        decode_manifest(data, media_type, "here")
    assert type(caught.value) is kind
    assert caught.value.where == "here"


def configuration(**rest: object) -> tuple[bytes, Descriptor]:
    data = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [SHA]}, **rest}).encode()
    return data, Descriptor(CONFIG, digest_of(data), len(data))


def test_an_image_configuration() -> None:
    inner = {"Labels": {"a": "b", "Os": "1", "os": "2"}, "Env": ["A=1"], "User": "1000", "Entrypoint": ["/a"], "Cmd": None}
    data, one = configuration(created="2026-01-02T03:04:05Z", config=inner)
    found = decode_config(data, one, "here")
    assert (found.digest, found.diff_ids, found.labels["a"], found.env) == (one.digest, (SHA,), "b", ("A=1",))
    assert (found.architecture, found.os, found.created) == ("amd64", "linux", "2026-01-02T03:04:05Z")
    assert (found.user, found.entrypoint, found.cmd) == ("1000", ("/a",), ())


def test_an_image_configuration_of_little() -> None:
    found = decode_config(*configuration(config=None, created=None), "here")
    assert (found.labels, found.env, found.created) == ({}, (), "")


def test_a_configuration_that_is_another() -> None:
    data, one = configuration()
    for other in (Descriptor(CONFIG, SHA, one.size), Descriptor(CONFIG, one.digest, one.size + 1)):
        with pytest.raises(RefusedError, match="the config has digest"):
            decode_config(data, other, "here")
    with pytest.raises(ToolError, match="holds no image"):
        decode_config(data, Descriptor("application/vnd.example", one.digest, one.size), "here")
    with pytest.raises(RefusedError, match="twice"):
        decode_config(*configuration(RootFS={"diff_ids": []}), "here")


# Layers


def layer(content: bytes, media_type: str = LAYER) -> tuple[Descriptor, Iterator[bytes]]:
    return Descriptor(media_type, digest_of(content), len(content)), iter([content[i : i + 1000] for i in range(0, len(content), 1000)])


CONTENT = b"".join(hashlib.sha256(str(number).encode()).digest() for number in range(500))


@pytest.mark.parametrize(
    ("packed", "media_type"),
    [
        (CONTENT, LAYER),
        (gzip.compress(CONTENT), f"{LAYER}+gzip"),
        (gzip.compress(CONTENT), "application/vnd.docker.image.rootfs.diff.tar.gzip"),
        (gzip.compress(CONTENT[:999]) + gzip.compress(CONTENT[999:]), f"{LAYER}+gzip"),
    ],
)
def test_a_layer_is_hashed_as_what_it_unpacks_to(packed: bytes, media_type: str) -> None:
    assert layers.diff_id(*layer(packed, media_type), "here") == digest_of(CONTENT)


def test_a_layer_packed_with_zstd() -> None:
    try:
        import zstandard
    except ImportError:
        with pytest.raises(ToolError, match="packed with zstd"):
            layers.diff_id(*layer(b"\x28\xb5\x2f\xfd", f"{LAYER}+zstd"), "here")
        return
    pack = zstandard.ZstdCompressor().compress
    packed = pack(CONTENT[:999]) + pack(CONTENT[999:])
    assert layers.diff_id(*layer(packed, f"{LAYER}+zstd"), "here") == digest_of(CONTENT)
    with pytest.raises(RefusedError, match="not packed as"):
        layers.diff_id(*layer(CONTENT, f"{LAYER}+zstd"), "here")
    assert layers.diff_id(*layer(packed[:-5], f"{LAYER}+zstd"), "here") != digest_of(CONTENT)


@pytest.mark.parametrize(
    "packed",
    [CONTENT, gzip.compress(CONTENT)[:-20], gzip.compress(CONTENT) + b"rest", zlib.compress(CONTENT)],
    ids=["plain", "cut", "more", "zlib"],
)
def test_a_layer_that_is_not_packed_as_it_says(packed: bytes) -> None:
    with pytest.raises(RefusedError, match="not packed as"):
        layers.diff_id(*layer(packed, f"{LAYER}+gzip"), "here")


def test_a_layer_of_other_bytes() -> None:
    _, chunks = layer(CONTENT)
    with pytest.raises(RefusedError, match="is sent as"):
        layers.diff_id(Descriptor(LAYER, SHA, len(CONTENT)), chunks, "here")
    one, chunks = layer(CONTENT)
    with pytest.raises(RefusedError, match="longer than"):
        layers.diff_id(Descriptor(LAYER, one.digest, one.size - 1), chunks, "here")
    one, chunks = layer(CONTENT)
    with pytest.raises(RefusedError, match="is sent as"):
        layers.diff_id(Descriptor(LAYER, one.digest, one.size + 1), chunks, "here")


def test_a_layer_that_is_none() -> None:
    with pytest.raises(ToolError, match="is no image layer"):
        layers.diff_id(*layer(CONTENT, "application/vnd.example"), "here")


def test_a_layer_that_unpacks_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "UNPACKED_LIMIT", 1 << 20)
    packed = gzip.compress(bytes(2 << 20))
    with pytest.raises(RefusedError, match="unpacks to more than"):
        layers.diff_id(*layer(packed, f"{LAYER}+gzip"), "here")


def blobs(*contents: bytes, fail: str = "") -> Callable[[Asked], Reply]:
    known = {digest_of(content): content for content in contents}

    def answer(asked: Asked) -> Reply:
        digest = asked.path.rpartition("/")[2]
        return Reply(500) if digest == fail else Reply(200, known[digest])

    return answer


def test_each_layer_is_fetched_once_and_held_against_its_place() -> None:
    one, two = b"one", b"two"
    kept = tuple(Descriptor(LAYER, digest_of(content), 3) for content in (one, two, one))
    manifest = Manifest(SHA, OCI, b"", layers=kept)
    with registry(blobs(one, two)) as (there, server):
        there.verify_layers(manifest, (digest_of(one), digest_of(two), digest_of(one)))
        assert len(server.asked) == 2
        with pytest.raises(RefusedError, match=f"layer 1 .*{digest_of(two)}.*{digest_of(one)}"):
            there.verify_layers(manifest, (digest_of(one), digest_of(one), digest_of(two)))
        with pytest.raises(RefusedError, match="has 3 layers, and its config names 2"):
            there.verify_layers(manifest, (digest_of(one), digest_of(two)))


def test_a_layer_that_the_registry_cannot_give() -> None:
    kept = tuple(Descriptor(LAYER, digest_of(bytes([number])), 1) for number in range(8))
    with (
        registry(blobs(*(bytes([number]) for number in range(8)), fail=kept[2].digest)) as (there, _),
        pytest.raises(ToolError, match="could not download a layer: status 500"),
    ):
        there.verify_layers(Manifest(SHA, OCI, b"", layers=kept), tuple(one.digest for one in kept))


def test_a_layer_that_breaks_off_is_fetched_again() -> None:
    left = [Reply(200, b"o", claimed=3), Reply(200, b"one")]
    with registry(lambda asked: left.pop(0)) as (there, _):
        there.verify_layers(Manifest(SHA, OCI, b"", layers=(Descriptor(LAYER, digest_of(b"one"), 3),)), (digest_of(b"one"),))


# What a registry says


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('Basic realm="a \\"b\\""', [("basic", {"realm": 'a "b"'})]),
        (
            'Bearer realm="https://a.test/t",service="s",scope="repository:x:pull,push"',
            [("bearer", {"realm": "https://a.test/t", "service": "s", "scope": "repository:x:pull,push"})],
        ),
        ("bearer REALM=https://a.test/t , error=x", [("bearer", {"realm": "https://a.test/t", "error": "x"})]),
        ('Negotiate, Basic realm="a", Bearer realm="b"', [("negotiate", {}), ("basic", {"realm": "a"}), ("bearer", {"realm": "b"})]),
        ("", []),
        ("=;", []),
    ],
)
def test_challenges(header: str, found: list[tuple[str, dict[str, str]]]) -> None:
    assert parse_challenges(header) == tuple(Challenge(*one) for one in found)


@pytest.mark.parametrize(
    ("status", "body", "kind", "what", "mend"),
    [
        (401, '{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}', ToolError, "may not do it: status 401, UNAUTHORIZED no", "log in"),
        (
            403,
            '{"errors":[{"code":"DENIED","message":"no"}]}',
            ToolError,
            "may not do it: status 403, DENIED no",
            "ask the registry's owner",
        ),
        (404, '{"errors":[{"code":"NAME_UNKNOWN","message":null}]}', ToolError, "status 404, NAME_UNKNOWN", "repository exists"),
        (429, '{"errors":[{"code":"TOOMANYREQUESTS"}]}', ToolError, "TOOMANYREQUESTS", "run it again later"),
        (500, "<html>\x1b", ToolError, "could not do it: status 500", "registry is well"),
        (400, '{"errors":[{"code":"TAG_INVALID","message":"the tag is immutable"}]}', RefusedError, "immutable", "make a new version"),
        (412, '{"errors":[{"code":"PRECONDITION","message":"configured as Immutable"}]}', RefusedError, "Immutable", "make a new version"),
        (418, '{"errors":[{"code":"X","message":"::error::\\u001b[31m"}]}', ToolError, "X ::error::\ufffd[31m", "see what answers"),
    ],
)
def test_refusals_in_words(status: int, body: str, kind: type[PipelineError], what: str, mend: str) -> None:
    error = problem(Answer(status, "https://registry.test/v2/", {}, body.encode()), "do it", "here")
    assert type(error) is kind
    assert what in error.what
    assert mend in error.mend


def test_a_manifest_of_another_digest() -> None:
    with registry(lambda asked: Reply(200, image(), {"Content-Type": OCI})) as (there, _):
        with pytest.raises(RefusedError, match="the registry sent"):
            there.find(SHA)
        assert there.get_manifest(digest_of(image())).data == image()
    with (
        registry(lambda asked: Reply(200, image(), {"Content-Type": OCI, "Docker-Content-Digest": SHA})) as (there, _),
        pytest.raises(RefusedError, match="the registry sent"),
    ):
        there.find("1.0")


def test_a_manifest_without_end() -> None:
    with (
        registry(lambda asked: Reply(200, b" " * (4 << 20) + image(), {"Content-Type": OCI})) as (there, _),
        pytest.raises(ToolError, match="longer than 4096 KiB"),
    ):
        there.find("1.0")


def test_what_is_absent() -> None:
    with registry(lambda asked: Reply(404)) as (there, _):
        assert (there.find("1.0"), there.head("1.0"), there.tags()) == (None, None, ())
        with pytest.raises(ToolError, match="is not in the registry"):
            there.get_manifest("1.0")


def test_what_is_no_reference_is_not_asked_for() -> None:
    with registry(lambda asked: Reply(404)) as (there, server):
        for reference in ("../other/manifests/1", "", "a/b", "sha256:abc"):
            with pytest.raises(UsageError):
                there.find(reference)
    assert not server.asked


def test_a_head_without_a_digest_is_read() -> None:
    with registry(lambda asked: Reply(200, image(), {"Content-Type": OCI})) as (there, server):
        assert there.head("1.0") == digest_of(image())
    assert [one.method for one in server.asked] == ["HEAD", "GET"]


def test_a_tag_that_is_overwritten_meanwhile() -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(201) if asked.method == "PUT" else Reply(200, image(), {"Content-Type": OCI})

    with registry(answer) as (there, server):
        other = decode_manifest(image(annotations={}), OCI, "here")
        with pytest.raises(RefusedError, match=f"{other.digest} was written, and the registry has {digest_of(image())}"):
            there.put_manifest("1.0", other)
    assert (server.asked[0].headers["Content-Type"], server.asked[0].body) == (OCI, other.data)


def test_tags_over_several_pages() -> None:
    def answer(asked: Asked) -> Reply:
        if "last=b" in asked.path:
            return Reply(200, b'{"tags": ["c"]}')
        return Reply(200, b'{"tags": ["a", "b"]}', {"Link": '</v2/team/app/tags/list?last=b&n=2>; rel="next"'})

    with registry(answer) as (there, _):
        assert there.tags() == ("a", "b", "c")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(200, b'{"tags": ["a\\u001b"]}'), "which is no tag"),
        (Reply(200, b"<html>"), "cannot be read"),
        (Reply(200, b"{}", {"Link": '</v2/team/app/tags/list?n=1>; rel="next"'}), "more than 100 pages"),
        (Reply(200, b"{}", {"Link": '<https://other.test/tags>; rel="next"'}), "another server"),
        (Reply(500), "status 500"),
    ],
)
def test_tags_that_cannot_be_listed(reply: Reply, said: str) -> None:
    with registry(lambda asked: reply) as (there, _), pytest.raises(ToolError, match=said):
        there.tags()


# Who is told our credentials

ANN = Credential("ann", "word")


@pytest.mark.parametrize(
    "realm", ["http://tokens.test/token", "http://127.0.0.1.evil.test/", "http://127.0.0.1:80@evil.test/", "ftp://a.test/", ""]
)
def test_no_token_without_tls(realm: str) -> None:
    challenge = {"WWW-Authenticate": f'Bearer realm="{realm}",service="s"'}
    with registry(lambda asked: Reply(401, headers=challenge), ANN) as (there, _), pytest.raises((RefusedError, ToolError)) as caught:
        there.find("1.0")
    assert "without TLS" in caught.value.what or "not an address" in caught.value.what
    assert "word" not in str(caught.value)


def test_a_realm_without_tls_is_named() -> None:
    challenge = {"WWW-Authenticate": 'Bearer realm="http://tokens.test/token",service="s"'}
    with (
        registry(lambda asked: Reply(401, headers=challenge), ANN) as (there, _),
        pytest.raises(RefusedError, match=r"http://tokens\.test/token, without TLS"),
    ):
        there.find("1.0")


def test_a_challenge_without_credentials() -> None:
    with (
        registry(lambda asked: Reply(401, headers={"WWW-Authenticate": "Basic realm=x"})) as (there, _),
        pytest.raises(ToolError, match="we have none") as caught,
    ):
        there.find("1.0")
    assert "docker login" in caught.value.mend


@pytest.mark.parametrize("header", [{}, {"WWW-Authenticate": "Negotiate"}])
def test_a_challenge_that_we_do_not_know(header: dict[str, str]) -> None:
    with registry(lambda asked: Reply(401, headers=header), ANN) as (there, _), pytest.raises(ToolError, match="login we do not know"):
        there.find("1.0")


def test_a_wrong_password_is_not_tried_for_ever() -> None:
    with (
        registry(lambda asked: Reply(401, headers={"WWW-Authenticate": "Basic realm=x"}), ANN) as (there, server),
        pytest.raises(ToolError, match="may not read the manifest: status 401"),
    ):
        there.find("1.0")
    assert len(server.asked) == 2


def test_a_challenge_of_another_host_gets_no_answer() -> None:
    with serve(lambda asked: Reply(401, headers={"WWW-Authenticate": "Basic realm=x"})) as other:

        def away(asked: Asked) -> Reply:
            return Reply(307, headers={"Location": f"{other.url}{asked.path}"})

        with registry(away, ANN) as (there, _):
            with pytest.raises(ToolError, match="status 401"):
                there.find("1.0")
            with pytest.raises(ToolError, match="status 401"):
                there.verify_layers(Manifest(SHA, OCI, b"", layers=(Descriptor(LAYER, SHA, 1),)), (SHA,))
    assert [one.headers.get("Authorization") for one in other.asked] == [None, None]


def test_an_upload_on_another_host_is_given_up_without_our_credentials() -> None:
    with serve(lambda asked: Reply(204)) as other:

        def answer(asked: Asked) -> Reply:
            if "Authorization" not in asked.headers:
                return Reply(401, headers={"WWW-Authenticate": "Basic realm=x"})
            return Reply(202, headers={"Location": f"{other.url}/upload"})

        with registry(answer, ANN) as (there, _):
            there.check_push()
    assert [(one.method, one.headers.get("Authorization")) for one in other.asked] == [("DELETE", None)]


def test_tokens_are_kept_for_each_scope_and_renewed() -> None:
    valid = {"pull": "p1", "pull,push": "w1"}

    def tokens(asked: Asked) -> Reply:
        action = "pull,push" if "push" in asked.path else "pull"
        return Reply(200, json.dumps({"token": valid[action]}).encode())

    with serve(tokens) as realm:

        def answer(asked: Asked) -> Reply:
            if asked.method == "DELETE":
                return Reply(204)
            action = "pull,push" if asked.method == "POST" else "pull"
            if asked.headers.get("Authorization") != f"Bearer {valid[action]}":
                scope = f'Bearer realm="{realm.url}/token",service="s",scope="repository:team/app:{action}"'
                return Reply(401, headers={"WWW-Authenticate": scope})
            return Reply(202 if asked.method == "POST" else 200, b'{"tags": []}', {"Location": "/up"})

        with registry(answer, ANN) as (there, _):
            there.tags()
            there.tags()
            there.check_push()
            assert len(realm.asked) == 2
            valid["pull"] = "p2"
            there.tags()
    assert [one.path for one in realm.asked] == [
        "/token?service=s&scope=repository%3Ateam%2Fapp%3Apull",
        "/token?service=s&scope=repository%3Ateam%2Fapp%3Apull%2Cpush",
        "/token?service=s&scope=repository%3Ateam%2Fapp%3Apull",
    ]
    assert {one.headers["Authorization"] for one in realm.asked} == {f"Basic {ANN.basic}"}


def test_an_identity_token_is_exchanged() -> None:
    with serve(lambda asked: Reply(200, b'{"access_token": "t"}')) as realm:

        def answer(asked: Asked) -> Reply:
            if asked.headers.get("Authorization") != "Bearer t":
                return Reply(401, headers={"WWW-Authenticate": f'Bearer realm="{realm.url}/token",service="s"'})
            return Reply(200, b"{}")

        with registry(answer, Credential("", identity_token="secret")) as (there, _):
            assert there.tags() == ()
    assert realm.asked[0].method == "POST"
    assert b"refresh_token=secret" in realm.asked[0].body
    assert b"scope=repository%3Ateam%2Fapp%3Apull" in realm.asked[0].body


@pytest.mark.parametrize(
    "reply", [Reply(200, b"{}"), Reply(200, b"<html>"), Reply(200, b'{"token": "a\\r\\nX: y"}'), Reply(401), Reply(500)]
)
def test_a_token_server_that_gives_none(reply: Reply) -> None:
    with serve(lambda asked: reply) as realm:
        challenge = {"WWW-Authenticate": f'Bearer realm="{realm.url}/token"'}
        with registry(lambda asked: Reply(401, headers=challenge), ANN) as (there, _), pytest.raises(ToolError):
            there.tags()


# Doctor


def test_the_probe_ends_with_the_first_red_line() -> None:
    with Client({}, Cancel(), attempts=1) as http:
        found = list(Registry(Repository(f"127.0.0.1:{free_port()}", "a"), http).probe())
        assert [(one.name, one.ok) for one in found] == [("DNS", True), ("TCP", False)]
        assert found[1].mend
        found = list(Registry(Repository("registry.invalid", "a"), http).probe())
    assert [(one.name, one.ok) for one in found] == [("DNS", False)]


def test_the_probe_of_what_is_no_registry() -> None:
    with registry(lambda asked: Reply(404, b"<html>")) as (there, _):
        assert [(one.name, one.ok) for one in there.probe()] == [("DNS", True), ("TCP", True), ("TLS", True), ("credentials", False)]


def test_the_probe_says_that_we_may_not_push() -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(200) if asked.method == "GET" else Reply(403, b'{"errors":[{"code":"DENIED","message":"read only"}]}')

    with registry(answer) as (there, _):
        *_, last = there.probe()
    assert (last.name, last.ok) == ("push", False)
    assert "may not push to" in last.detail
    assert "read only" in last.detail


def test_importing_the_client_does_not_import_requests() -> None:
    import subprocess
    import sys

    code = "import sys, pipeline.tools.registry.client; sys.exit('requests' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_descriptors_are_equal_by_content() -> None:
    assert Descriptor(LAYER, SHA, 1) == msgspec.convert(descriptor(), Descriptor)
