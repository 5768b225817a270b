"""Reading `pipeline.toml` and `waivers.toml`: what is taken, and what is said about what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect

from pipeline.config import schema
from pipeline.config.load import Settings, find_root, load, load_waivers
from pipeline.config.walk import Walk
from pipeline.core.finding import Severity
from pipeline.errors import UsageError

NOTHING: Mapping[str, str] = {}

WHOLE = """\
[project]
name = "agent"
licenses = "Apache-2.0"

[image]
repository = "registry.example.com/enterprise/agent"
dockerfile = "Dockerfile"
args = { BASE = "debian:13" }
cache-to = ["type=registry,ref=registry.example.com/agent:cache,mode=max"]
secrets = { token = { env = "TOKEN" }, key = { file = "/run/secrets/key" } }

[version]
prefix = "v"
tags = ["{version}", "{major}.{minor}", "{major}", "latest"]

[scan]
fail-on = ["CRITICAL"]
unfixed = "fail"
enforce-from = 2027-02-01

[policy]
paths = ["policies"]

[network]
ca-bundle = "company-ca.pem"

[release]
deploy = ["staging"]

[environments.staging]
backend = "docker"
strategy = "replace"
probe = { http = "http://127.0.0.1:8080/healthz", interval = "1s", successes = 3, timeout = "60s" }

[environments.staging.container]
name = "agent"
ports = ["8080:8080", "127.0.0.1:53:53/udp"]
volumes = ["/opt/agent/config:/etc/agent:ro"]
restart = "on-failure:3"
env = { LOG_LEVEL = "info" }
secrets = { DB_PASSWORD = { env = "DB_PASSWORD" } }
"""


def settings(folder: Path, text: str, environ: Mapping[str, str] = NOTHING, defaults: Mapping[str, str] = NOTHING) -> Settings:
    (folder / "pipeline.toml").write_text(text)
    return load(folder, environ, defaults)


def complaint(folder: Path, text: str, environ: Mapping[str, str] = NOTHING) -> str:
    with pytest.raises(UsageError) as caught:
        settings(folder, text, environ)
    return f"{caught.value}; {caught.value.mend}"


def test_the_whole(tmp_path: Path) -> None:
    read = settings(tmp_path, WHOLE)
    assert read.image.repository == "registry.example.com/enterprise/agent"
    assert read.image.secrets["key"].file == "/run/secrets/key"
    assert read.file.scan.fail_on == (Severity.CRITICAL,)
    assert read.file.scan.enforce_from == date(2027, 2, 1)
    assert read.file.environments["staging"].probe.successes == 3
    assert (read.image_name, read.path) == ("default", tmp_path / "pipeline.toml")


def test_no_file_is_all_defaults(tmp_path: Path) -> None:
    read = load(tmp_path, NOTHING, NOTHING)
    assert (read.path, read.image) == (None, schema.Image())
    assert read.file.project.name == tmp_path.name
    assert read.origins == {"project.name": "the folder's name"}


def test_a_byte_order_mark_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_bytes(b'\xef\xbb\xbf[project]\r\nname = "x"\r\n')
    assert load(tmp_path, NOTHING, NOTHING).file.project.name == "x"


def test_the_ci_fills_what_the_file_leaves_out(tmp_path: Path) -> None:
    ci = {"image.repository": "ghcr.io/acme/agent", "project.source": "https://github.com/acme/agent"}
    read = settings(tmp_path, '[project]\nsource = "https://example.com/agent"\n', defaults=ci)
    assert read.image.repository == "ghcr.io/acme/agent"
    assert read.file.project.source == "https://example.com/agent"
    assert read.origins["image.repository"] == "CI"
    assert read.origins["project.source"] == "pipeline.toml"


def test_images_by_name(tmp_path: Path) -> None:
    ci = {"image.repository": "ghcr.io/acme/agent"}
    (tmp_path / "pipeline.toml").write_text('[images.web]\ntarget = "web"\n[images.api]\ntarget = "api"\n')
    read = load(tmp_path, NOTHING, ci, image="web")
    assert (read.image_name, read.image.target, read.image.repository) == ("web", "web", "ghcr.io/acme/agent/web")
    assert read.origins["images.web.repository"] == "CI"
    with pytest.raises(UsageError, match="there is no image 'wbe'") as caught:
        load(tmp_path, NOTHING, ci, image="wbe")
    assert caught.value.mend == "did you mean web?"
    with pytest.raises(UsageError, match="there is no image 'default'"):
        load(tmp_path, NOTHING, ci)


def test_images_default_is_image_and_an_only_one_is_meant(tmp_path: Path) -> None:
    assert settings(tmp_path, '[images.default]\ntarget = "x"\n').image.target == "x"
    assert settings(tmp_path, '[images.web]\ntarget = "y"\n').image_name == "web"


def test_environment_variables(tmp_path: Path) -> None:
    text = '[image]\nrepository = "${HOST}/team/app"\nargs = { A = "${ONE}-${TWO}", B = "$${ONE}", C = "$ONE" }\n'
    text += '[environments.x]\nprobe.exec = ["sh", "-c", "echo $${HOME}"]\n[environments.x.container]\nname = "x"\nenv.E = "${ONE}"\n'
    read = settings(tmp_path, text, {"HOST": "registry.example.com", "ONE": "1", "TWO": ""})
    assert read.image.repository == "registry.example.com/team/app"
    assert read.image.args == {"A": "1-", "B": "${ONE}", "C": "$ONE"}
    assert read.file.environments["x"].probe.exec == ("sh", "-c", "echo ${HOME}")
    assert read.interpolated == {"image.repository", "image.args.A", "environments.x.container.env.E"}
    assert read.origins["image.args.A"] == "environment variable ONE and TWO"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[image]\nargs.A = "${NOPE}"', "pipeline.toml:2: `image.args.A` needs the environment variable NOPE, which is not set"),
        ('[image]\nlabels.a = "${NOPE}"', "pipeline.toml:2: `image.labels.a` takes nothing from the environment"),
        ('[project]\n\nname = "${NOPE}"', "pipeline.toml:3: `project.name` takes nothing from the environment"),
        ('[image]\nargs.A = "${a-b}"', "pipeline.toml:2: `image.args.A` has ${ without a name and }"),
        ('[image]\nargs.A = "${"', "pipeline.toml:2: `image.args.A` has ${ without a name and }"),
        ('[environments.e]\nprobe = { http = "http://${H}/" }', "`environments.e.probe.http` takes nothing from the environment"),
    ],
)
def test_environment_variables_that_cannot_be_taken(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaint(tmp_path, text)


def test_a_refused_value_from_the_environment_is_not_shown(tmp_path: Path) -> None:
    said = complaint(tmp_path, '[image]\nrepository = "${R}"', {"R": "hunter2 hunter2"})
    assert "pipeline.toml:2: `image.repository`: what the environment puts here is refused" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[scan]\nfail_on = []", "pipeline.toml:2: unknown key `fail_on` in [scan]; did you mean `fail-on`?"),
        ('[scna]\ntimeout = "1s"', "pipeline.toml:1: unknown key `scna` at the top; did you mean `scan`?"),
        ("[scan]\nzzz = 1", "known here: fail-on, unfixed"),
        ('[scan]\ntimeout = "1m"\n[policy]\ntimeout = "1"\n', "pipeline.toml:4: `policy.timeout`: '1' is not a duration"),
        (
            "[image]\nsecrets = { a = { enw = 'X', env = 'X' } }",
            "pipeline.toml:2: unknown key `enw` in [image.secrets.a]; did you mean `env`?",
        ),
        ("scan.unfixed = 'wran'", "pipeline.toml:1: `scan.unfixed`: 'wran' is not known; did you mean `warn`?"),
        ('[scan]\n"unfixed" = true', "pipeline.toml:2: `scan.unfixed` must be one of fail, warn, not a boolean"),
        (
            "[scan]\nfail-on = [\n'HIGH',\n'critical',\n]",
            "pipeline.toml:4: `scan.fail-on[1]`: 'critical' is not known; did you mean `CRITICAL`?",
        ),
        ("[scan]\nfail-on = 'HIGH'", "`scan.fail-on` must be an array, not a string"),
        ("[scan]\nenforce-from = '2027-01-01'", "must be a date such as 2027-02-01, without quotes, not a string"),
        ("[scan]\nenforce-from = 2027-01-01T00:00:00", "must be a date such as 2027-02-01, without quotes, not a time"),
        ("[scan]\nallow-empty = 1", "`scan.allow-empty` must be true or false, not 1"),
        ("scan = 1", "`scan` must be a table, not 1"),
        ("[images]\ndefault = 1", "`images.default` must be a table, not 1"),
        ("[images.'../x']", "'../x' is not a name"),
        ("[image]\n[images.default]", "pipeline.toml:2: [image] is short for [images.default], and both are there"),
        ("[images.a]\nrepository='h.x/a'\n[images.b]\nrepository='h.x/a'", "pipeline.toml:4: the images a and b have the same repository"),
        ("[image]\nplatforms = ['linux/amd64', 'linux/arm64']", "2 platforms: one platform for now"),
        ("[image]\nplatforms = ['amd64']", "`image.platforms[0]`: 'amd64' is not a platform"),
        (
            "[image]\nrepository = 'Reg.example.com/Team/x:1'",
            "is not an image repository; write it as host/path in lower case, without a tag",
        ),
        ("[image]\nrepository = ''", "'' is not an image repository"),
        ("[image]\ndockerfile = '/etc/Dockerfile'", "is not a path inside the project"),
        ("[image]\ncontext = '..'", "leads out of the project"),
        ("[image]\ncontext = 'https://example.com/x.git'", "is not a path inside the project"),
        ("[image]\ntarget = '--push'", "is not a build stage"),
        ("[image]\nargs.'a b' = 'x'", "'a b' is not the name of a variable"),
        ("[image]\ncontext-limit = '200mb'", "'200mb' is not a size"),
        ("[image]\ncache-to = ['type=regsitry,ref=a']", "names no cache that BuildKit knows"),
        ("[image]\ncache-from = ['type=registry']", "`image.cache-from[0]`: '' is not an image repository"),
        ("[image]\nallow = ['network.none']", "did you mean `network.host`?"),
        ("[image]\ninclude-untracked = ['../*']", "is not a pattern inside the project"),
        (
            "[image.secrets.a]\nenv = 'X'\nfile = 'y'",
            "pipeline.toml:3: [image.secrets.a] needs exactly one of env and file, and has env and file",
        ),
        ("[policy]\nmanifests = ['k8s/**.yaml']", "`policy.manifests[0]`: 'k8s/**.yaml' has ** beside something else"),
        ("[image]\ntrusted-frontends = ['example.com/f:1']", "`image.trusted-frontends[0]`: 'example.com/f:1' has no digest; pin it"),
        ("[image.secrets.a]", "needs exactly one of env and file, and has none"),
        ("[version]\nprefix = 'a b'", "'a b' is not the beginning of a git tag"),
        ("[version]\ntags = ['{verison}']", "is not an image tag template; use {version}, {major}, {minor}, {patch} and plain text"),
        ("[version]\ntags = ['staging-{version}']", "is reserved"),
        ("[policy]\npaths = ['../policies']", "leads out of the project"),
        ("[network]\nca-bundle = '../ca.pem'", "leads out of the project"),
        (
            "[release]\ndeploy = ['prod', 'stagin']\n[environments.staging]\nprobe.tcp = 'a:1'",
            "there is no environment 'stagin'; did you mean `staging`?",
        ),
        ("[environments.e]\nbackend = 'docker'", "pipeline.toml:1: `environments.e.probe` is missing"),
        ("[environments.e]\nprobe = {}", "needs exactly one of http, tcp and exec, and has none"),
        ("[environments.e]\nprobe = { tcp = 'a:1', exec = ['x'] }", "and has tcp and exec"),
        ("[environments.e]\nprobe.http = 'localhost:8080'", "'localhost:8080' is not an address"),
        ("[environments.e]\nprobe.http = 'http://user:pass@h/'", "is not an address"),
        ("[environments.e]\nprobe.tcp = 'localhost'", "is not an address to connect to"),
        ("[environments.e]\nprobe.exec = []", "`environments.e.probe.exec` is empty"),
        ("[environments.e]\nprobe = { tcp = 'a:1', successes = 0 }", "must be a whole number, at least 1, not 0"),
        ("[environments.e]\nprobe = { tcp = 'a:1', interval = '0s' }", "'0s' is not a duration"),
        ("[environments.e]\nbackend = 'dokcer'\nprobe.tcp = 'a:1'", "did you mean `docker`?"),
        ("[environments.e]\nprobe.tcp = 'a:1'\nhost = 'example.com'", "is not an engine's address"),
        ("[environments.e]\nprobe.tcp = 'a:1'\n[environments.e.container]", "pipeline.toml:3: `environments.e.container.name` is missing"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaint(tmp_path, text)


def test_the_second_of_two_entries_and_a_container(tmp_path: Path) -> None:
    text = "[environments.e]\nprobe.tcp = 'a:1'\n[environments.e.container]\nname = 'a'\nports = ['80:80', 'x']\nvolumes = ['/a:b']\n"
    text += "restart = 'sometimes'\nenv = { A = '1' }\nsecrets = { A = { env = 'A' } }\n"
    said = complaint(tmp_path, text)
    assert "pipeline.toml:5: `environments.e.container.ports[1]`: 'x' is not a published port" in said
    assert "pipeline.toml:6: `environments.e.container.volumes[0]`: '/a:b' is not a volume" in said
    assert "pipeline.toml:7: `environments.e.container.restart`: 'sometimes' is not a restart policy" in said
    assert "pipeline.toml:9: `A` is in [environments.e.container] both as env and as a secret" in said


def test_every_problem_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    said = complaint(tmp_path, "[scan]\nfail_on = []\nunfixed = 1\n[polcy]\n[release]\ndeploy = ['x']\n")
    assert "pipeline.toml: 4 problems" in said
    places = [line.split(":")[1] for line in said.splitlines() if line.startswith("  pipeline.toml:")]
    assert places == ["2", "3", "4", "6"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[scan]\ntimeout = \n", "pipeline.toml:2: not TOML: Invalid value"),
        ("[scan]\ntimeout = '1m'\ntimeout = '2m'\n", "pipeline.toml:3: not TOML: Cannot overwrite a value; each key and each table"),
        ("[scan]\n[scan]\n", "pipeline.toml:2: not TOML"),
        ("a = [\n1,\n", "pipeline.toml:1: not TOML"),
        ("a = " + "[" * 5000, "is nested too deeply"),
    ],
)
def test_syntax_errors(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaint(tmp_path, text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_bytes(b"[project]\nname = '\xff'\n")
    with pytest.raises(UsageError, match=r"pipeline\.toml:2: is not UTF-8"):
        load(tmp_path, NOTHING, NOTHING)
    with pytest.raises(UsageError, match="does not exist"):
        load(tmp_path, NOTHING, NOTHING, path=tmp_path / "other.toml")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path, NOTHING, NOTHING, path=tmp_path / "folder")


def test_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "elsewhere").symlink_to(tmp_path)
    assert "leads out of the project" in complaint(project, "[image]\ncontext = 'elsewhere'")
    assert settings(project, "[network]\nca-bundle = '/etc/ssl/ca.pem'").file.network.ca_bundle == "/etc/ssl/ca.pem"


def test_text_from_the_file_is_defused(tmp_path: Path) -> None:
    said = complaint(tmp_path, '[scan]\nunfixed = "\\u001b[31m"\n"\\u001b]0;x\\n::error::" = 1\n')
    assert "\x1b" not in said
    assert all(not line.startswith("::") for line in said.splitlines())


def test_the_root(tmp_path: Path) -> None:
    deep = tmp_path / "repo" / "app" / "src"
    deep.mkdir(parents=True)
    assert find_root(deep) == deep
    (tmp_path / "pipeline.toml").touch()
    assert find_root(deep) == tmp_path
    (tmp_path / "repo" / ".git").touch()
    assert find_root(deep) == tmp_path / "repo"
    (tmp_path / "repo" / "app" / "pipeline.toml").touch()
    assert find_root(deep) == tmp_path / "repo" / "app"


WAIVER = '[[waiver]]\nid = "CVE-1"\nreason = "r"\nowner = "o"\nexpires = 2026-12-31\n'


def test_waivers(tmp_path: Path) -> None:
    assert load_waivers(tmp_path) == ()
    (tmp_path / "waivers.toml").write_text(WAIVER + WAIVER.replace("CVE-1", "CVE-2") + 'package = "openssl"\n')
    first, second = load_waivers(tmp_path)
    assert (first.id, first.expires, second.package) == ("CVE-1", date(2026, 12, 31), "openssl")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WAIVER + WAIVER.replace("owner", "onwer"), "waivers.toml:9: unknown key `onwer` in [waiver[1]]; did you mean `owner`?"),
        (WAIVER + WAIVER.replace("owner", "onwer"), "waivers.toml:6: `waiver[1].owner` is missing"),
        (WAIVER.replace("2026-12-31", '"2026-12-31"'), "waivers.toml:5: `waiver[0].expires` must be a date"),
        (WAIVER.replace('"r"', '" "'), "waivers.toml:3: `waiver[0].reason` is empty; a waiver says what, why, and who answers for it"),
        ('[waiver]\nid = "x"\n', "waivers.toml:1: `waiver` must be an array, not a table"),
        ("[[waivers]]\n", "waivers.toml:1: unknown key `waivers` at the top; did you mean `waiver`?"),
        ("[[waiver]\n", "waivers.toml:1: not TOML"),
    ],
)
def test_waivers_that_are_wrong(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "waivers.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_waivers(tmp_path)
    assert said in f"{caught.value}; {caught.value.mend}".replace(" `pipeline", "; `pipeline")


KEYS = st.sampled_from([*schema.File.__struct_encode_fields__, *schema.Image.__struct_encode_fields__, "http", "tcp", "env", "name", "x"])
VALUES = st.recursive(
    st.sampled_from(["", "v", "90s", "HIGH", "warn", "docker", "a:1", 1, 0, 1.5, True, date(2027, 1, 1)]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_what_the_walk_lets_through_is_of_the_schemas_types(data: dict[str, object]) -> None:
    problems = list(Walk(Path("/nowhere")).problems(data, inspect.type_info(schema.File)))
    try:
        msgspec.convert(data, schema.File)
    except msgspec.ValidationError:
        assert problems
