from __future__ import annotations

import base64
import fcntl
import json
import os
import stat
from pathlib import Path

import pytest

from pipeline.core.cancel import Cancel
from pipeline.core.image import HUB
from pipeline.errors import ToolError, UsageError
from pipeline.tools.credentials import Credential, find, private_docker_config, single_docker_config

HOST = "registry.example.com"


def auth(user: str = "ann", password: str = "pass:word") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def configured(folder: Path, **config: object) -> dict[str, str]:
    """An environment whose docker configuration holds `config`."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return {"DOCKER_CONFIG": str(folder), "PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder.parent)}


def helper(folder: Path, name: str, script: str) -> str:
    """A credential helper; the PATH on which it is found."""
    folder.mkdir(exist_ok=True)
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def look(host: str, environ: dict[str, str], project: Path | None = None) -> tuple[str, str] | None:
    found = find(host, environ, Cancel(), project=project)
    return (found.user, found.password or found.identity_token) if found else None


def test_what_is_given_comes_first(tmp_path: Path) -> None:
    environ = configured(tmp_path / "docker", auths={HOST: auth()})
    given = {"": ("", ""), "other.example.com": ("x", "y"), HOST: ("ci", "token")}
    found = find(HOST, environ, Cancel(), given=given)
    assert found == Credential("ci", "token", source="the job")
    assert find(HOST, environ, Cancel(), given={HOST: ("ci", "")}) == Credential("ann", "pass:word", source="docker's configuration")


@pytest.mark.parametrize("key", [HOST, f"https://{HOST}", f"http://{HOST}/v2/", f"{HOST}/v1/"])
def test_a_stored_credential(tmp_path: Path, key: str) -> None:
    assert look(HOST, configured(tmp_path / "docker", auths={key: auth(), "other": auth("x")})) == ("ann", "pass:word")


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io", HUB])
def test_docker_hub_by_any_name(tmp_path: Path, key: str) -> None:
    assert look(HUB, configured(tmp_path / "docker", auths={key: auth()})) == ("ann", "pass:word")
    assert find(HUB, {}, Cancel(), given={key: ("ci", "token")}) == Credential("ci", "token", source="the job")


def test_a_port_is_part_of_the_host(tmp_path: Path) -> None:
    assert look(f"{HOST}:5000", configured(tmp_path / "docker", auths={HOST: auth()})) is None


def test_an_identity_token(tmp_path: Path) -> None:
    assert look(HOST, configured(tmp_path / "docker", auths={HOST: {**auth("", ""), "identitytoken": "t"}})) == ("", "t")


@pytest.mark.parametrize("entry", [{}, auth("", ""), {"auth": ""}])
def test_an_empty_entry_is_none(tmp_path: Path, entry: dict[str, str]) -> None:
    assert look(HOST, configured(tmp_path / "docker", auths={HOST: entry})) is None


def test_without_any_configuration(tmp_path: Path) -> None:
    assert look(HOST, {}) is None
    assert look(HOST, {"HOME": str(tmp_path)}) is None
    assert look(HOST, {"DOCKER_CONFIG": str(tmp_path / "nowhere")}) is None


def test_home_is_where_docker_keeps_it(tmp_path: Path) -> None:
    configured(tmp_path / ".docker", auths={HOST: auth()})
    assert look(HOST, {"HOME": str(tmp_path)}) == ("ann", "pass:word")


@pytest.mark.parametrize("content", ["{", "[]", '{"auths": 3}', "[" * 100_000])
def test_a_configuration_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    environ = configured(tmp_path / "docker")
    (tmp_path / "docker" / "config.json").write_text(content)
    with pytest.raises(UsageError, match="not a docker configuration"):
        look(HOST, environ)
    with pytest.raises(UsageError), private_docker_config(environ, {}):
        pass


@pytest.mark.parametrize("broken", ["***", base64.b64encode(b"nocolon").decode()])
def test_an_entry_that_cannot_be_read_is_not_quoted(tmp_path: Path, broken: str) -> None:
    with pytest.raises(UsageError, match="not base64") as caught:
        look(HOST, configured(tmp_path / "docker", auths={HOST: {"auth": broken}}))
    assert broken not in str(caught.value)


def test_a_helper_is_asked(tmp_path: Path) -> None:
    environ = configured(tmp_path / "docker", credsStore="ours", credHelpers={"else.example.com": "other"}, auths={HOST: {}})
    script = 'read host; printf \'{"ServerURL": "%s", "Username": "u-%s", "Secret": "%s-%s"}\' "$host" "$host" "$AWS_REGION" "$JOB_TOKEN"'
    environ |= {"PATH": helper(tmp_path / "bin", "ours", script), "AWS_REGION": "eu", "JOB_TOKEN": "not for helpers"}
    assert look(HOST, environ) == (f"u-{HOST}", "eu-")
    assert look(HUB, environ) == ("u-https://index.docker.io/v1/", "eu-")


def test_a_helper_for_one_host_and_its_token(tmp_path: Path) -> None:
    environ = configured(tmp_path / "docker", credHelpers={HOST: "ours"})
    environ["PATH"] = helper(tmp_path / "bin", "ours", 'echo \'{"Username": "<token>", "Secret": "t"}\'')
    assert look(HOST, environ) == ("", "t")
    assert look("other.example.com", environ) is None


def test_a_helper_that_knows_nothing_leaves_the_stored_one(tmp_path: Path) -> None:
    environ = configured(tmp_path / "docker", credsStore="ours", auths={HOST: auth()})
    environ["PATH"] = helper(tmp_path / "bin", "ours", "echo credentials not found in native keychain; exit 1")
    assert look(HOST, environ) == ("ann", "pass:word")


@pytest.mark.parametrize(
    ("script", "said"),
    [("echo the key ring is locked; exit 1", "key ring is locked"), ("echo hello", "did not answer"), (None, "not installed")],
)
def test_a_helper_that_fails(tmp_path: Path, script: str | None, said: str) -> None:
    environ = configured(tmp_path / "docker", credsStore="ours", auths={HOST: auth()})
    if script:
        environ["PATH"] = helper(tmp_path / "bin", "ours", script)
    with pytest.raises(ToolError, match=said):
        look(HOST, environ)


def test_a_helper_is_a_name_not_a_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the name of a credential helper"):
        look(HOST, configured(tmp_path / "docker", credsStore="x/../../evil"))


@pytest.mark.parametrize("link", [False, True])
def test_no_helper_of_the_checkout_is_run(tmp_path: Path, link: bool) -> None:
    project = tmp_path / "project"
    project.mkdir()
    environ = configured(project / "docker", credHelpers={HOST: "evil"}, auths={"other.example.com": auth()})
    environ["PATH"] = helper(tmp_path / "bin", "evil", f"touch {tmp_path}/ran")
    if link:
        (tmp_path / "link").symlink_to(project / "docker")
        environ["DOCKER_CONFIG"] = str(tmp_path / "link")
    with pytest.raises(UsageError, match="lies in the checkout"):
        look(HOST, environ, project)
    assert look("other.example.com", environ, project) == ("ann", "pass:word")
    assert not (tmp_path / "ran").exists()


def test_a_credential_shows_nothing() -> None:
    one = Credential("ann", "secret-word", "secret-token")
    assert "secret" not in repr(one)
    assert set(one.secrets) == {"secret-word", "secret-token", base64.b64encode(b"ann:secret-word").decode()}


def test_a_private_configuration_hides_nothing_of_the_users(tmp_path: Path) -> None:
    own = {"auths": {HOST: auth("old"), "other.example.com": auth()}, "credsStore": "desktop", "credHelpers": {HOST: "x", "else": "y"}}
    environ = configured(tmp_path / "docker", **own, currentContext="remote", proxies={"default": {}}, cliPluginsExtraDirs=["/opt/plugins"])
    for name in ("buildx", "contexts", "cli-plugins", "scout"):
        (tmp_path / "docker" / name).mkdir()
    with private_docker_config(environ, {HOST: Credential("ci", "token"), HUB: Credential("hub", "word")}) as folder:
        assert folder.parent == tmp_path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "config.json").stat().st_mode) == 0o600
        assert {one.name for one in folder.iterdir()} == {"config.json", "buildx", "contexts", "cli-plugins"}
        assert (folder / "buildx").resolve() == tmp_path / "docker" / "buildx"
        config = json.loads((folder / "config.json").read_text())
        inside = environ | {"DOCKER_CONFIG": str(folder)}
        assert look(HOST, inside) == ("ci", "token")
        assert look(HUB, inside) == ("hub", "word")
    assert (config["currentContext"], config["cliPluginsExtraDirs"], config["credsStore"]) == ("remote", ["/opt/plugins"], "desktop")
    assert config["credHelpers"] == {"else": "y", HOST: "", "https://index.docker.io/v1/": ""}
    assert set(config["auths"]) == {HOST, "other.example.com", "https://index.docker.io/v1/"}
    assert not folder.exists()
    assert (tmp_path / "docker" / "buildx").is_dir()


def test_a_private_configuration_takes_only_credentials_from_the_checkout(tmp_path: Path) -> None:
    environ = configured(tmp_path / "project", auths={HOST: auth()}, credsStore="evil", cliPluginsExtraDirs=["evil"], currentContext="evil")
    (tmp_path / "project" / "cli-plugins").mkdir()
    with private_docker_config(environ, {}, project=tmp_path / "project") as folder:
        assert json.loads((folder / "config.json").read_text()) == {"auths": {HOST: auth()}}
        assert [one.name for one in folder.iterdir()] == ["config.json"]


def test_a_private_configuration_is_removed_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError), private_docker_config({"TMPDIR": str(tmp_path)}, {}) as folder:
        raise KeyError
    assert not folder.exists()


def test_a_gate_gets_one_host_and_nothing_else(tmp_path: Path) -> None:
    environ = configured(tmp_path / "docker", auths={"other.example.com": auth()}, credsStore="desktop")
    with single_docker_config(environ, HOST, Credential("ann", "word")) as folder:
        assert json.loads((folder / "config.json").read_text()) == {"auths": {HOST: auth("ann", "word")}}
    with single_docker_config(environ, HOST, Credential("", identity_token="t")) as folder:
        assert look(HOST, {"DOCKER_CONFIG": str(folder)}) == ("", "t")
    with single_docker_config(environ, HOST, None) as folder:
        assert json.loads((folder / "config.json").read_text()) == {"auths": {}}


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    def left(name: str, age: float) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        os.utime(folder, (folder.stat().st_mtime - age,) * 2)
        return folder

    stale, held, young, other = (
        left("release-chain-docker-a", 900),
        left("release-chain-docker-b", 900),
        left("release-chain-docker-c", 1),
        left("x", 900),
    )
    (stale / "contexts").symlink_to(other)
    os.utime(stale, (1, 1))
    lock = os.open(held, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    with private_docker_config({"TMPDIR": str(tmp_path)}, {}) as ours:
        assert {one.name for one in tmp_path.iterdir()} == {held.name, young.name, other.name, ours.name}
    os.close(lock)
    assert (other / "config.json").exists()


def test_no_place_for_a_private_folder(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="no private folder"), private_docker_config({}, {}, parent=tmp_path / "nowhere"):
        pass
