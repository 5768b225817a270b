"""The main job, end to end, on a real engine and a real registry."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.error
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration import projects
from tests.integration.projects import Project
from tests.integration.registries import registry_server


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with registry_server(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def project(tmp_path: Path, registry: str, request: pytest.FixtureRequest) -> Iterator[Project]:
    name = f"r{abs(hash(request.node.name)) % 10**8}"
    with projects.project(tmp_path, registry, name) as made:
        yield made


def get(url: str, *, method: str = "GET") -> tuple[int, bytes, str]:
    accept = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"
    request = urllib.request.Request(url, method=method, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read(), answer.headers.get("Docker-Content-Digest", "")
    except urllib.error.HTTPError as error:
        return error.code, b"", ""


def tags(project: Project) -> list[str]:
    status, body, _ = get(f"http://{project.registry}/v2/team/{project.name}/tags/list")
    return sorted(json.loads(body)["tags"]) if status == 200 else []


def digest(project: Project, tag: str) -> str:
    return get(f"http://{project.registry}/v2/team/{project.name}/manifests/{tag}")[2]


def version_tags(project: Project) -> list[str]:
    return [tag for tag in tags(project) if not tag.startswith("staging-")]


def served(project: Project, path: str = "index.html") -> str:
    return urllib.request.urlopen(f"http://127.0.0.1:{project.port}/{path}", timeout=5).read().decode()


def cases(project: Project, gate: str, child: str) -> list[str]:
    root = ET.parse(project.repo.path / ".pipeline" / "reports" / f"{gate}.xml").getroot()
    return [case.get("name", "") for case in root.iter("testcase") if case.find(child) is not None]


def test_a_release_a_rerun_and_an_update(project: Project) -> None:
    first = project.release("v1.0.0", "--to", "local")
    assert first.code == 0, first.err
    published = digest(project, "1.0.0")
    assert first.out == f"{project.repository}@{published}\n"
    assert "built" in served(project)
    assert {path.name for path in (project.repo.path / ".pipeline" / "reports").iterdir()} == {"check.xml", "scan.xml", "policy.xml"}
    assert f"PIPELINE_IMAGE={project.repository}@{published}" in (project.repo.path / ".pipeline" / "pipeline.env").read_text()

    again = project.run("release", "--to", "local")
    assert again.code == 0, again.err
    assert again.out == first.out
    assert "nothing was changed" in again.err
    assert "these inputs" in again.err
    assert digest(project, "1.0.0") == published

    project.repo.file("www/index.html", "two\n")
    second = project.release("v1.1.0", "--to", "local")
    assert second.code == 0, second.err
    assert served(project).startswith("two")
    assert version_tags(project) == ["1.0.0", "1.1.0"]


def test_a_fresh_clone_finishes_without_building_again(project: Project, tmp_path: Path) -> None:
    assert project.release("v1.0.0").code == 0
    published = digest(project, "1.0.0")
    clone = projects.clone(project, tmp_path / "clone")
    answer = clone.run("release", "--to", "local")
    assert answer.code == 0, answer.err
    assert answer.out == f"{project.repository}@{published}\n"
    build = json.loads((clone.repo.path / ".pipeline/evidence/default/build.json").read_text())
    assert build["facts"].get("engine_id", "") == ""
    scan = json.loads((clone.repo.path / ".pipeline/evidence/default/scan.json").read_text())
    assert scan["subject"] == {"kind": "manifest", "digest": published}
    assert "built" in served(project)


def test_a_sick_version_goes_back_by_itself(project: Project) -> None:
    assert project.release("v1.0.0", "--to", "local").code == 0
    (project.repo.path / "www/healthz").unlink()
    project.repo.file("www/index.html", "sick\n")
    answer = project.release("v1.1.0", "--to", "local")
    assert answer.code == 4, answer.err
    assert served(project).startswith("one")
    evidence = json.loads((project.repo.path / ".pipeline/evidence/default/deploy.json").read_text())
    assert evidence["facts"]["outcome"] == "rolled-back"


def test_a_vulnerable_package_stops_it_and_nothing_is_published(project: Project) -> None:
    project.package("openssl", "3.0.1-1")
    answer = project.release("v1.0.0", "--to", "local")
    assert answer.code == 10, answer.err
    assert "CVE-2022-0778" in answer.err
    assert version_tags(project) == []
    assert len(cases(project, "scan", "failure")) == 1
    with pytest.raises(OSError, match="refused"):
        served(project)


def test_a_waiver_with_an_owner_lets_it_pass_until_its_day(project: Project) -> None:
    waiver = '[[waiver]]\nid = "CVE-2022-0778"\nreason = "not reachable"\nowner = "ada"\nexpires = {}\n'
    project.package("openssl", "3.0.1-1")
    project.repo.file("waivers.toml", waiver.format("2001-01-01"))
    expired = project.release("v1.0.0")
    assert expired.code == 10
    assert "ada" in expired.err
    project.repo.file("waivers.toml", waiver.format("2999-01-01"))
    assert project.release("v1.0.1").code == 0
    assert len(cases(project, "scan", "skipped")) == 1


def test_a_secret_in_a_layer_stops_it(project: Project) -> None:
    project.repo.file("www/cloud.conf", "[default]\naws_access_key_id=AKIA" + "QYLPMN5HFIQR7BBB\n")
    answer = project.release("v1.0.0")
    assert answer.code == 10, answer.err
    assert version_tags(project) == []
    assert "QYLPMN5HFIQR7BBB" not in answer.err + answer.out


def test_all_gates_judge_though_the_first_says_no(project: Project) -> None:
    project.package("openssl", "3.0.1-1")
    project.repo.file("Dockerfile", "FROM scratch AS remote\nADD https://example.com/x /x\n" + projects.DOCKERFILE)
    text = (
        (project.repo.path / "Dockerfile")
        .read_text()
        .replace("COPY --from=build /www /www", "COPY --from=build /www /www\nENV PASSWORD=hunter22")
    )
    project.repo.file("Dockerfile", text)
    answer = project.release("v1.0.0")
    assert answer.code == 10, answer.err
    assert cases(project, "check", "failure")
    assert cases(project, "scan", "failure")
    assert "check" in answer.err.splitlines()[-2]
    assert "scan" in answer.err.splitlines()[-2]
    assert tags(project) == [], "what a gate refused before the upload is not even staged"


def test_an_untagged_commit_says_how_to_tag(project: Project) -> None:
    answer = project.run("release")
    assert answer.code == 2
    assert "git tag v0.1.0" in answer.err
    assert tags(project) == []


def test_a_snapshot_goes_through_every_gate_and_pushes_nothing(project: Project) -> None:
    answer = project.run("release", "--snapshot")
    assert answer.code == 0, answer.err
    for gate in ("Check", "Scan", "Policy"):
        assert f"✓ {gate}" in answer.err
    assert tags(project) == []


def test_a_dirty_tree_is_not_released(project: Project) -> None:
    project.repo.commit()
    project.repo.tag("v1.0.0")
    project.repo.file("www/index.html", "changed\n")
    answer = project.run("release")
    assert answer.code == 2
    assert "changed" in answer.err
    assert tags(project) == []


def test_untracked_files_are_refused_by_name(project: Project) -> None:
    project.repo.commit()
    project.repo.tag("v1.0.0")
    project.repo.file("www/left-over", "x\n")
    answer = project.run("release")
    assert answer.code == 2
    assert "left-over" in answer.err
    assert project.run("release", "--include-untracked").code == 0


def test_a_version_is_released_once(project: Project) -> None:
    assert project.release("v1.0.0").code == 0
    published = digest(project, "1.0.0")
    project.repo.file("www/index.html", "other\n")
    project.repo.commit()
    project.repo.git("tag", "-f", "v1.0.0")
    answer = project.run("release")
    assert answer.code == 10, answer.err
    assert "published already" in answer.err
    assert digest(project, "1.0.0") == published


def test_a_foreign_image_under_the_tag_is_refused(project: Project) -> None:
    assert project.release("v1.0.0").code == 0
    _, manifest, published = get(f"http://{project.registry}/v2/team/{project.name}/manifests/1.0.0")
    put(project, "2.0.0", manifest)
    answer = project.release("v2.0.0")
    assert answer.code == 10
    assert digest(project, "2.0.0") == published


def test_a_forged_layer_under_the_tag_is_refused_after_a_good_scan(project: Project, tmp_path: Path) -> None:
    """A registry takes a manifest with the genuine config and another layer, and Trivy's cache would call it clean."""
    assert project.release("v1.0.0").code == 0
    _, data, _ = get(f"http://{project.registry}/v2/team/{project.name}/manifests/1.0.0")
    manifest = json.loads(data)
    manifest["layers"][-1] = manifest["layers"][0]
    put(project, "1.0.0", json.dumps(manifest).encode())
    for where in (project, projects.clone(project, tmp_path / "clone")):
        answer = where.run("release", "--to", "local")
        assert answer.code == 10, answer.err
        assert "layer" in answer.err


def put(project: Project, tag: str, manifest: bytes) -> None:
    url = f"http://{project.registry}/v2/team/{project.name}/manifests/{tag}"
    kind = json.loads(manifest)["mediaType"]
    urllib.request.urlopen(urllib.request.Request(url, manifest, {"Content-Type": kind}, method="PUT"), timeout=10).close()


def test_moving_tags_follow_and_never_go_back(project: Project) -> None:
    text = (project.repo.path / "pipeline.toml").read_text()
    project.repo.file("pipeline.toml", text + '\n[version]\ntags = ["{version}", "{major}.{minor}", "{major}", "latest"]\n')
    assert project.release("v1.1.0").code == 0
    newest = digest(project, "1.1.0")
    assert version_tags(project) == ["1", "1.1", "1.1.0", "latest"]
    project.repo.file("www/index.html", "older\n")
    assert project.release("v1.0.9").code == 0
    assert digest(project, "latest") == digest(project, "1") == newest
    assert digest(project, "1.0") == digest(project, "1.0.9") != newest


def test_the_steps_one_by_one(project: Project) -> None:
    project.repo.commit()
    project.repo.tag("v1.0.0")
    early = project.run("push")
    assert (early.code, tags(project)) == (2, [])
    for command in (["build", "--check"], ["build"], ["scan"], ["policy"]):
        answer = project.run(*command)
        assert answer.code == 0, answer.err
    pushed = project.run("push", "--json")
    assert pushed.code == 0, pushed.err
    assert json.loads(pushed.out)["image"] == f"{project.repository}@{digest(project, '1.0.0')}"
    deployed = project.run("deploy", "local")
    assert deployed.code == 0, deployed.err
    assert "built" in served(project)


def test_push_judges_what_was_built_not_what_was_judged_before(project: Project) -> None:
    project.repo.commit()
    project.repo.tag("v1.0.0")
    for command in (["build", "--check"], ["build"], ["scan"], ["policy"]):
        assert project.run(*command).code == 0
    project.package("openssl", "3.0.1-1")
    project.repo.commit()
    project.repo.tag("v1.0.1")
    stale = project.run("push")
    assert stale.code == 10, stale.err
    assert "not what was built" in stale.err
    assert project.run("build").code == 0
    judged = project.run("push")
    assert judged.code == 10, judged.err
    assert "CVE-2022-0778" in judged.err
    assert tags(project) == []


def test_a_stricter_policy_counts_at_push(project: Project) -> None:
    project.repo.commit()
    project.repo.tag("v1.0.0")
    for command in (["build", "--check"], ["build"], ["scan"], ["policy"]):
        assert project.run(*command).code == 0
    rule = 'package team.release\n\ndeny contains {"msg": "not today", "severity": "CRITICAL"} if input.publishing\n'
    project.repo.file("policies/today.rego", rule)
    text = (project.repo.path / "pipeline.toml").read_text()
    project.repo.file("pipeline.toml", text + '\n[policy]\npaths = ["policies"]\n')
    project.repo.commit()
    project.repo.tag("v1.0.1")
    assert project.run("build").code == 0
    refused = project.run("push")
    assert refused.code == 10, refused.err
    assert "not today" in refused.err
    assert tags(project) == []


def test_untracked_files_that_went_into_a_build_are_not_pushed(project: Project) -> None:
    project.repo.commit()
    project.repo.tag("v1.0.0")
    project.repo.file("www/left-over", "x\n")
    assert project.run("build").code == 0
    answer = project.run("push")
    assert answer.code == 2
    assert "left-over" in answer.err
    assert tags(project) == []


def test_a_release_reads_nothing_that_git_does_not_track(project: Project) -> None:
    project.repo.file(".dockerignore", ".git\nwaivers.toml\n")
    project.repo.commit()
    project.repo.tag("v1.0.0")
    project.repo.file("waivers.toml", "")
    answer = project.run("release")
    assert answer.code == 2
    assert "waivers.toml" in answer.err


def test_links_that_lead_out_of_the_project_are_not_read(project: Project, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2-and-more\n")
    (project.repo.path / "Dockerfile").unlink()
    (project.repo.path / "Dockerfile").symlink_to(tmp_path / "secret")
    answer = project.run("build", "--check")
    assert answer.code == 2
    assert "hunter2" not in answer.err


def test_evidence_is_written_nowhere_but_in_the_project(project: Project, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (project.repo.path / ".pipeline").symlink_to(tmp_path / "elsewhere")
    answer = project.run("build", "--check")
    assert answer.code == 2
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_another_config_than_our_own_build_under_the_tag_is_refused(project: Project, tmp_path: Path) -> None:
    project.repo.tag("v1.0.0")
    clone = projects.clone(project, tmp_path / "clone")
    assert project.run("build").code == 0
    other = clone.run("release", "--no-cache")
    assert other.code == 0, other.err
    answer = project.run("release")
    assert answer.code == 10, answer.err
    assert "this job built" in answer.err


def test_only_what_was_published_is_deployed(project: Project) -> None:
    assert project.release("v1.0.0").code == 0
    project.package("openssl", "3.0.1-1")
    assert project.release("v1.1.0").code == 10
    (staged,) = [tag for tag in tags(project) if tag.startswith("staging-") and digest(project, tag) != digest(project, "1.0.0")]
    for image in (f"{project.repository}@{digest(project, staged)}", f"{project.registry}/other/app@{digest(project, '1.0.0')}"):
        answer = project.run("deploy", "local", "--image", image)
        assert answer.code in {2, 10}, answer.err
    with pytest.raises(OSError, match="refused"):
        served(project)


def test_a_later_job_deploys_by_the_digest_it_is_handed(project: Project, tmp_path: Path) -> None:
    assert project.release("v1.0.0").code == 0
    clone = projects.clone(project, tmp_path / "clone")
    image = f"{project.repository}@{digest(project, '1.0.0')}"
    assert clone.run("deploy", "local", PIPELINE_IMAGE=image).code == 0
    assert "built" in served(project)
    refused = clone.run("deploy", "local", "--image", f"{project.repository}:1.0.0")
    assert refused.code == 2
    assert "digest" in refused.err


def test_a_port_that_is_taken_is_said_and_nothing_is_left(project: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", project.port))
        taken.listen()
        answer = project.release("v1.0.0", "--to", "local")
    assert answer.code in {3, 4}
    assert "port" in answer.err
    listed = subprocess.run(["docker", "ps", "-aq", "--filter", f"name={project.container}"], capture_output=True, text=True, check=True)
    assert listed.stdout == ""
    assert project.run("release", "--to", "local").code == 0


@pytest.mark.parametrize(
    ("repository", "said"),
    [("127.0.0.1:1/team/x", "refused"), ("registry.invalid/team/x", "name")],
)
def test_a_registry_that_is_not_there_stops_it_before_the_build(project: Project, repository: str, said: str) -> None:
    text = (project.repo.path / "pipeline.toml").read_text().replace(project.repository, repository)
    project.repo.file("pipeline.toml", text)
    answer = project.release("v1.0.0")
    assert answer.code == 3
    assert said in answer.err
    assert "✓ Build" not in answer.err
