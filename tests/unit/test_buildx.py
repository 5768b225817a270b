from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.cancel import Cancel
from pipeline.errors import ToolError, UsageError
from pipeline.tools.buildx import Buildx, Built, Mount, Request, argv, decode

CONFIG = "sha256:" + "a" * 64
MANIFEST = "sha256:" + "b" * 64


def command(**options: object) -> tuple[str, ...]:
    request = Request(Path("/d/Dockerfile"), Path("/c"), **options)  # type: ignore[arg-type]
    return argv("docker", request, Path("/m"), Path("/i"))


def test_the_plainest_build() -> None:
    assert command() == (
        "docker",
        "buildx",
        "build",
        "--progress=plain",
        "--provenance=false",
        "--sbom=false",
        "--load",
        "--file=/d/Dockerfile",
        "--metadata-file=/m",
        "--iidfile=/i",
        "/c",
    )


def test_every_option() -> None:
    made = command(
        target="app",
        platform="linux/amd64",
        labels={"b": "2 3", "a": "1"},
        cache_from=("type=gha",),
        cache_to=("type=inline",),
        allow=("network.host",),
        no_cache=True,
        tag="x:built",
    )
    assert set(made[10:-1]) == {
        "--target=app",
        "--platform=linux/amd64",
        "--tag=x:built",
        "--no-cache",
        "--label=a=1",
        "--label=b=2 3",
        "--cache-from=type=gha",
        "--cache-to=type=inline",
        "--allow=network.host",
    }


def test_values_of_private_arguments_and_secrets_are_not_in_the_command() -> None:
    mounts = (Mount("npm", env="V0"), Mount("key", file=Path("/k")))
    args = {"FOO": "hidden", "HTTP_PROXY": "http://user:hidden@proxy"}
    made = command(args=args, private=frozenset(args), secrets=mounts)
    assert "hidden" not in " ".join(made)
    assert {"--build-arg=FOO", "--build-arg=HTTP_PROXY", "--secret=id=npm,env=V0", "--secret=id=key,src=/k"} <= set(made)


def test_an_argument_of_the_projects_files_never_reaches_the_environment() -> None:
    request = Request(Path("d"), Path("c"), args={"BASH_ENV": "evil.sh", "GO_VERSION": "1.25", "EMPTY": ""})
    assert request.environment == {}
    made = argv("docker", request, Path("m"), Path("i"))
    assert {"--build-arg=BASH_ENV=evil.sh", "--build-arg=GO_VERSION=1.25", "--build-arg=EMPTY="} <= set(made)


def test_a_request_does_not_show_its_arguments() -> None:
    assert "hidden" not in repr(Request(Path("d"), Path("c"), args={"A": "hidden"}))


def test_the_classic_store_names_the_image_by_its_config() -> None:
    metadata = f'{{"buildx.build.ref": "x", "containerimage.config.digest": "{CONFIG}", "containerimage.digest": "{CONFIG}"}}'
    assert decode(metadata.encode(), CONFIG.encode(), "") == Built(CONFIG, CONFIG, {})


def test_the_containerd_store_names_it_by_its_manifest() -> None:
    metadata = f'{{"containerimage.config.digest": "{CONFIG}", "containerimage.digest": "{MANIFEST}"}}'
    assert decode(metadata.encode(), CONFIG.encode(), "") == Built(CONFIG, MANIFEST, {})


def test_without_metadata_the_image_id_file_counts() -> None:
    assert decode(b"{}", CONFIG.encode() + b"\n", "") == Built("", CONFIG, {})


def test_bases_are_read_from_the_progress() -> None:
    progress = (
        "#4 resolve image config for docker-image://docker.io/docker/dockerfile:1\n"
        f"#5 docker-image://docker.io/docker/dockerfile:1@{CONFIG}\n"
        f"#7 [build 1/3] FROM docker.io/library/golang:1.25@{MANIFEST}\n"
        "#8 [1/2] FROM docker.io/library/local:latest\n"
    )
    found = {"docker.io/docker/dockerfile:1": CONFIG, "docker.io/library/golang:1.25": MANIFEST}
    assert decode(b"{}", CONFIG.encode(), progress).bases == found


@pytest.mark.parametrize("metadata", [b"", b"[]", b"not json", b'{"containerimage.digest": 1}', b'{"containerimage.digest": "x"}', b"{}"])
def test_an_answer_that_is_none_is_an_error(metadata: bytes) -> None:
    with pytest.raises(ToolError):
        decode(metadata, b"", "")


def fake(folder: Path, script: str) -> Buildx:
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    environ = {"PATH": f"{folder}:/usr/bin:/bin", "SECRET_OF_JOB": "seen"}
    return Buildx(environ, Cancel(), config=folder / "config", redact=lambda text: text.replace("s3cret", "***"))


def test_no_docker_command_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="docker command is not installed") as caught:
        Buildx({"PATH": str(tmp_path)}, Cancel(), config=None, redact=str)
    assert "docker-buildx" in caught.value.mend


def test_no_plugin_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"no buildx that works\ndocker: 'buildx' is not a docker command") as caught:
        fake(tmp_path, "echo \"docker: 'buildx' is not a docker command.\" >&2; exit 1").version()
    assert "docker-buildx" in caught.value.mend


def test_its_version(tmp_path: Path) -> None:
    assert fake(tmp_path, "echo github.com/docker/buildx v0.30.1 abc").version() == "0.30.1"


def test_a_failed_build_shows_the_last_lines_without_secrets(tmp_path: Path) -> None:
    buildx = fake(tmp_path, "echo \"$PASSWORD\" >&2; printf '\\033[31mERROR: no\\n' >&2; exit 1")
    with pytest.raises(ToolError) as caught:
        buildx.build(Request(tmp_path, tmp_path), {"PASSWORD": "s3cret"}, timeout=30)
    assert "***" in caught.value.what
    assert "s3cret" not in caught.value.what
    assert "\x1b" not in caught.value.what
    assert "exit code 1" in caught.value.what


def test_a_full_disk_has_its_own_advice(tmp_path: Path) -> None:
    buildx = fake(tmp_path, "echo 'write /x: no space left on device' >&2; exit 1")
    with pytest.raises(ToolError) as caught:
        buildx.build(Request(tmp_path, tmp_path), {}, timeout=30)
    assert "prune" in caught.value.mend


def test_a_build_that_hangs_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="did not end in time"):
        fake(tmp_path, "sleep 60").build(Request(tmp_path, tmp_path), {}, timeout=0.3)


def test_success_without_metadata_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"did not write metadata\.json"):
        fake(tmp_path, "exit 0").build(Request(tmp_path, tmp_path), {}, timeout=30)


def test_it_sees_the_arguments_and_nothing_of_the_job(tmp_path: Path) -> None:
    seen: list[str] = []
    with pytest.raises(ToolError):
        request = Request(tmp_path, tmp_path, args={"FOO": "bar", "S0": "y"}, private=frozenset({"FOO", "S0"}))
        fake(tmp_path, "env >&2; exit 1").build(request, {"S0": "x"}, timeout=30, on_line=seen.append)
    assert {"FOO=bar", "S0=x", f"DOCKER_CONFIG={tmp_path / 'config'}"} <= set(seen)
    assert not [line for line in seen if "SECRET_OF_JOB" in line]


NAMES = ["BASH_ENV", "ENV", "LD_PRELOAD", "PYTHONPATH", "NODE_OPTIONS", "PERL5OPT", "JAVA_TOOL_OPTIONS", "GIT_SSH_COMMAND", "DOCKER_HOST"]
NAMES += ["AWS_PROFILE", "HTTPS_PROXY", "PATH", "HOME", "IFS", "XDG_CONFIG_HOME", "SSL_CERT_FILE", "GODEBUG", "RELEASE_CHAIN_SECRET_0"]


@pytest.mark.parametrize("name", [*NAMES, "https_proxy", "lower", "_X", "A-B", "1X", "BASH_FUNC_x%%", "A\n"])
def test_a_private_argument_whose_name_means_something_is_refused(tmp_path: Path, name: str) -> None:
    request = Request(tmp_path, tmp_path, args={name: "from the job"}, private=frozenset({name}))
    with pytest.raises(UsageError, match="may mean something") as caught:
        fake(tmp_path, "exit 1").build(request, {}, timeout=30)
    assert "rename it" in caught.value.mend
    assert "from the job" not in str(caught.value)


def test_a_private_argument_that_is_buildxs_own_variable_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "docker").chmod(0o755)
    proxy = {"HTTP_PROXY": "http://proxy", "https_proxy": "http://proxy"}
    buildx = Buildx({"PATH": f"{tmp_path}:/usr/bin:/bin"} | proxy, Cancel(), config=None, redact=str)
    with pytest.raises(ToolError, match="exit code 1"):
        buildx.build(Request(tmp_path, tmp_path, args=proxy, private=frozenset(proxy)), {}, timeout=30)
