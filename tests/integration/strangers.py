"""Projects of people who never heard of us: small, ordinary, on an ordinary Debian base that is built here from its packages."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from tests import repositories
from tests.command import Answer, pipeline
from tests.integration.images import engine
from tests.repositories import Repo
from tests.trivy_database import Advisory, write

BASE = "rc-test-base:bookworm"
# As the images that people start from: without manuals, documentation and translations.
_SLIM = tuple(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info"))
# Facts about packages that every Debian has: no fixed version yet.
UNFIXED = (
    Advisory("CVE-2023-45853", "zlib", severity="CRITICAL", title="integer overflow in zipOpenNewFileInZip4_6"),
    Advisory("CVE-2022-3219", "gnupg2", severity="HIGH", title="denial of service with a crafted signature"),
    Advisory("CVE-2011-4116", "perl", severity="HIGH", title="File::Temp insecure temporary file handling"),
)

FILES = {
    "go": {
        "go.mod": "module example.com/team/rc-test-go\n\ngo 1.24\n",
        "main.go": 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println("hello") }\n',
        # The toolchain is not in the base: a shell stands in for the compiler.
        "build.sh": "#!/bin/sh\nset -e\ngrep -q 'func main' main.go\nprintf '#!/bin/sh\\necho hello\\n' > \"$1\"\nchmod +x \"$1\"\n",
        "Dockerfile": f"""FROM {BASE} AS build
WORKDIR /src
COPY . .
RUN sh build.sh /usr/local/bin/hello

FROM {BASE}
COPY --from=build /usr/local/bin/hello /usr/local/bin/hello
EXPOSE 8080
CMD ["hello"]
""",
    },
    "node": {
        "package.json": '{\n  "name": "@team/rc-test-node",\n  "version": "0.0.1",\n  "scripts": {"start": "node server.js"}\n}\n',
        "package-lock.json": '{"name": "@team/rc-test-node", "lockfileVersion": 3, "packages": {}}\n',
        "server.js": 'require("http").createServer((_, answer) => answer.end("hello\\n")).listen(3000)\n',
        "Dockerfile": f"""FROM {BASE}
ENV NODE_ENV=production
WORKDIR /app
COPY package*.json ./
COPY . .
EXPOSE 3000
CMD node server.js
""",
    },
    "python": {
        "requirements.txt": "flask==3.1.0\n",
        "app.py": 'print("hello")\n',
        "Dockerfile": f"""FROM {BASE}
RUN apt-get update && apt-get install -y busybox-static
ENV PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements.txt .
COPY . /app
CMD ["busybox", "httpd", "-f", "-p", "8000", "-h", "/app"]
""",
    },
}


# What work on a laptop leaves in the folder, and git does not track.
LEFT_BEHIND = {
    "go": ("coverage.out", "hello.test"),
    "node": ("node_modules/left-pad/index.js", "npm-debug.log"),
    "python": ("__pycache__/app.cpython-312.pyc", ".venv/bin/python"),
}


@dataclass
class Stranger:
    """A repository with its first commit, and the environment in which `pipeline` runs there. `said`: what its release printed."""

    repo: Repo
    repository: str
    env: dict[str, str]
    said: str = ""

    def run(self, *arguments: str, **environ: str) -> Answer:
        return pipeline(*arguments, cwd=self.repo.path, env=self.env | environ)

    def release(self, tag: str, *arguments: str, **environ: str) -> Answer:
        """Commit what is there, tag it and release it."""
        self.repo.commit(tag)
        self.repo.tag(tag)
        return self.run("release", *arguments, **environ)

    def know(self, *advisories: Advisory) -> None:
        """Put a vulnerability database where an earlier run would have left the one that it fetched."""
        cache = Path(self.env["XDG_CACHE_HOME"]) / "release-chain" / "trivy"
        shutil.rmtree(cache, ignore_errors=True)
        write(cache / "db-of-the-test", advisories)


@contextlib.contextmanager
def stranger(tmp: Path, files: dict[str, str], repository: str, advisories: Iterable[Advisory] = UNFIXED) -> Iterator[Stranger]:
    """A project of someone else, its images removed from the engine at the end."""
    repo = repositories.new(tmp / repository.rpartition("/")[2])
    made = Stranger(repo, repository, repositories.clean_environ(tmp / "home"))
    for name, content in files.items():
        repo.file(name, content)
    repo.commit("the first")
    made.know(*advisories)
    try:
        yield made
    finally:
        with engine() as client:
            _forget(client, repository)


@contextlib.contextmanager
def debian_base() -> Iterator[str]:
    """A Debian under `BASE`: made of its packages in half a minute and removed at the end, or one that is there and stays."""
    with engine() as client:
        there = bool(client.api.images(name=BASE))
        if not there:
            _build_base(client)
        try:
            yield BASE
        finally:
            if not there:
                client.images.remove(BASE, force=True)


def _build_base(client: docker.DockerClient) -> None:
    program = shutil.which("mmdebstrap")
    if not program:
        pytest.skip("needs mmdebstrap, to build a Debian base image where none can be pulled")
    argv = [program, "--quiet", "--variant=apt", "--include=ca-certificates", *_SLIM, "bookworm", "-"]
    done = subprocess.run(argv, capture_output=True, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"needs a Debian mirror, to build a base image: {done.stderr.decode()[-300:]}")
    client.api.import_image_from_data(done.stdout, repository="rc-test-base", tag="bookworm", changes=['CMD ["bash"]'])


def _forget(client: docker.DockerClient, repository: str) -> None:
    """Remove the images of one project from the engine: what was pushed, and the name of its last build."""
    for image in client.api.images():
        for one in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
            if one.startswith((repository, f"{repository.rpartition('/')[2]}:")):
                with contextlib.suppress(docker.errors.APIError):
                    client.api.remove_image(one, force=True)
