from __future__ import annotations

import base64
import gzip
import io
import json
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.needles import Needles
from pipeline.core.secrets import secret_variable, suspect
from pipeline.errors import ToolError, UsageError
from pipeline.tools.docker import archive

KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("id_rsa", KEY),
        ("home/.ssh/id_ed25519", KEY),
        ("certs/server.pem", b"-----BEGIN RSA PRIVATE KEY-----"),
        ("server.key", b"-----BEGIN PRIVATE KEY-----"),
        (".env", b"DEBUG=1\nDATABASE_PASSWORD=hunter22\n"),
        (".env.production", b"export API_KEY='abc'\r\n"),
        ("deploy/prod.env", b"STRIPE_SECRET=sk_live\n"),
        (".npmrc", b"//registry.example.com/:_authToken=npm_abc\n"),
        (".pypirc", b"[pypi]\npassword = pypi-x\n"),
        ("pip.conf", b"index-url = https://u:p@host/simple"),
        (".netrc", b"machine x login y password z"),
        (".git-credentials", b"https://ada:pw@example.com\n"),
        ("root/.docker/config.json", b'{"auths": {"x": {"auth": "YWRh"}}}'),
        (".aws/credentials", b"aws_secret_access_key = x"),
        ("kubeconfig", b"users:\n- user:\n    token: abc\n"),
        ("service.json", b'{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----"}'),
        ("store.p12", b"\x30\x82"),
    ],
)
def test_files_with_secrets(path: str, content: bytes) -> None:
    found = suspect(path)
    assert found
    assert found.holds(content)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("ca.pem", b"-----BEGIN CERTIFICATE-----"),
        ("id_rsa", b""),
        (".env", b"LOG_LEVEL=info\nTOKEN=\nPASSWORD=${PASSWORD}\nSECRET=changeme\nAPI_KEY=<yours>\nDB_PASSWORD='' # later\n"),
        (".npmrc", b"//registry.example.com/:_authToken=${NPM_TOKEN}\nsave-exact=true\n"),
        (".docker/config.json", b'{"auths": {}, "credsStore": "desktop"}'),
        ("package.json", b'{"name": "x"}'),
    ],
)
def test_files_that_only_look_like_it(path: str, content: bytes) -> None:
    found = suspect(path)
    assert found is None or not found.holds(content)


@pytest.mark.parametrize("path", [".env.example", ".env.sample", "main.py", "environment", "key", "docs/id_rsa.md", "id_rsa.pub"])
def test_ordinary_files(path: str) -> None:
    assert suspect(path) is None


@pytest.mark.parametrize("name", ["PASSWORD", "DB_PASSWORD", "NPM_TOKEN", "token", "AWS_SECRET_ACCESS_KEY", "API_KEY", "APIKEY"])
def test_variables_that_hold_secrets(name: str) -> None:
    assert secret_variable(name)


@pytest.mark.parametrize("name", ["TOKEN_URL", "KEY_FILE", "PASSWORD_FILE", "TOKENIZER", "VERSION", "KEYCLOAK_HOST", "MONKEY"])
def test_variables_that_do_not(name: str) -> None:
    assert not secret_variable(name)


@given(st.binary(min_size=4, max_size=60).filter(lambda value: len(value.strip()) >= 4), st.binary(max_size=40), st.integers(1, 30))
def test_a_value_is_found_wherever_chunks_end(value: bytes, before: bytes, size: int) -> None:
    data = before + value.strip() + b"after"
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    assert Needles({"s": value}).scan(chunks) == {"s"}


@given(st.binary(min_size=8, max_size=60), st.binary(max_size=7), st.binary(max_size=7))
def test_a_value_is_found_in_base64_at_any_alignment(value: bytes, before: bytes, after: bytes) -> None:
    exact = value.strip()
    if len(exact) < 8:
        return
    inside = before + exact + after
    assert Needles({"s": value}).found(base64.b64encode(inside)) == {"s"}
    assert Needles({"s": value}).found(base64.urlsafe_b64encode(inside)) == {"s"}


def test_values_are_told_apart_and_others_are_not_found() -> None:
    needles = Needles({"one": b"first-value\n", "two": b"second-value"})
    assert needles.found(b"x first-value y") == {"one"}
    assert needles.found(b"x first-valu y") == set()
    assert needles.blank("a second-value b") == "a *** b"
    assert Needles({}).scan([b"anything"]) == set()


@pytest.mark.parametrize("value", [b"", b"abc", b" ab \n"])
def test_a_value_too_short_to_search_for_is_refused(value: bytes) -> None:
    with pytest.raises(UsageError, match="shorter than 4 bytes"):
        Needles({"pin": value})


def tar(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as written:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            written.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            written.addfile(member)
    return stream.getvalue()


def saved(*layers: bytes, config: dict[str, object] | None = None, links: dict[str, str] | None = None) -> list[bytes]:
    """An image as `docker save` has it, in small chunks, its manifest last."""
    names = [f"blobs/sha256/{index}" for index in range(len(layers))]
    history = [{"created_by": f"RUN {index}"} for index in range(len(layers))]
    document = {"history": [{"created_by": "ENV A=b", "empty_layer": True}, *history]} | (config or {})
    manifest = [{"Config": "c.json", "RepoTags": None, "Layers": [*names, *(links or {})]}]
    files = dict(zip(names, layers, strict=True)) | {
        "c.json": json.dumps(document).encode(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    data = tar(files, links)
    return [data[at : at + 1000] for at in range(0, len(data), 1000)]


NEEDLES = Needles({"npm": b'npm_"secret"_value'})
LEAK = tar({"root/.npmrc": b"token=" + b'npm_"secret"_value'})
CLEAN = tar({"bin/app": b"x" * 5000})


@pytest.mark.parametrize("pack", [bytes, gzip.compress, lambda data: gzip.compress(data[:700]) + gzip.compress(data[700:])])
def test_a_secret_in_a_layer_is_named_with_its_instruction(pack: type[bytes]) -> None:
    (hit,) = archive.search(saved(pack(CLEAN), pack(LEAK)), NEEDLES)
    assert str(hit) == "npm is in layer 1 (RUN 1)"


def test_a_secret_in_the_configuration_is_found_though_json_escapes_it() -> None:
    found = archive.search(
        saved(CLEAN, config={"config": {"Env": ['T=npm_"secret"_value'], "Labels": {'npm_"secret"_value': ""}}}), NEEDLES
    )
    assert {str(hit) for hit in found} == {
        "npm is in the image's configuration (config.Env)",
        "npm is in the image's configuration (config.Labels)",
    }


def test_the_value_is_not_in_what_is_said() -> None:
    history = {"history": [{"created_by": 'RUN echo npm_"secret"_value > /x'}]}
    hits = archive.search(saved(LEAK, config=history), NEEDLES)
    assert [str(hit) for hit in hits] == [
        "npm is in layer 0 (RUN echo *** > /x)",
        "npm is in the image's configuration (history.created_by)",
    ]


def test_a_clean_image_has_no_hit() -> None:
    assert archive.search(saved(CLEAN, gzip.compress(CLEAN)), NEEDLES) == ()


def test_a_layer_that_is_a_link_counts_twice() -> None:
    hits = archive.search(saved(LEAK, links={"blobs/sha256/again": "0"}), NEEDLES)
    assert [hit.layer for hit in hits] == [0, 1]


def test_a_layer_whose_first_file_has_a_bracket_is_no_document() -> None:
    assert len(archive.search(saved(tar({"[id].js": b'npm_"secret"_value'})), NEEDLES)) == 1


def test_a_layer_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ToolError, match="layer 1 is not in what the engine saved"):
        archive.search(saved(CLEAN, links={"blobs/sha256/again": "gone"}), NEEDLES)


@pytest.mark.parametrize(
    "chunks",
    [
        [b""],
        [b"not a tar archive at all" * 100],
        saved(CLEAN)[:4],
        saved(gzip.compress(CLEAN)[:-9]),
        saved(b"\x28\xb5\x2f\xfd" + bytes(600)),
        [tar({"manifest.json": b"[]"})],
        [tar({"manifest.json": b'[{"Config": "gone"}]'})],
    ],
)
def test_what_cannot_be_read_is_an_error(chunks: list[bytes]) -> None:
    with pytest.raises(ToolError):
        archive.search(chunks, NEEDLES)


def test_the_config_digest_is_that_of_the_named_file() -> None:
    import hashlib

    document = json.dumps({"history": [{"created_by": "ENV A=b", "empty_layer": True}]}).encode()
    assert archive.config_digest(saved()) == "sha256:" + hashlib.sha256(document).hexdigest()


def test_contents_are_every_file_of_every_layer() -> None:
    layers = tar({"a": b"one", "b": b"two"}), gzip.compress(tar({"a": b"one"}))
    assert sorted(size for _, size in archive.contents(saved(*layers))) == [3, 3, 3]
    assert len({digest for digest, _ in archive.contents(saved(*layers))}) == 2
