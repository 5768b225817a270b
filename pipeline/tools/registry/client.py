"""A registry, as far as a release needs one (OCI distribution specification 1.1, docker schema 2): one repository of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from types import MappingProxyType
from urllib.parse import urlencode

import msgspec

from pipeline.core.address import origin, resolve, shown
from pipeline.core.credential import Credential
from pipeline.core.image import Repository, is_digest, is_tag
from pipeline.core.text import line
from pipeline.errors import RefusedError, ToolError, UsageError
from pipeline.tools.http.client import Answer, Client, Stream
from pipeline.tools.registry import layers, probe
from pipeline.tools.registry.login import Login
from pipeline.tools.registry.manifest import ACCEPT, ImageConfig, Manifest, decode_config, decode_manifest
from pipeline.tools.registry.problem import problem

__all__ = ["ImageConfig", "Manifest", "Registry"]

TAG_PAGES = 100
_READ, _WRITE, _DELETE = "pull", "pull,push", "delete"
_NEXT = re.compile(r'<([^<>]+)>\s*;\s*rel="?next"?')
_NONE: Mapping[str, str] = MappingProxyType({})


class _Tags(msgspec.Struct, frozen=True):
    tags: tuple[str, ...] | None = None


class Registry:
    """One repository, over plain HTTP on loopback and TLS elsewhere. Methods raise `ToolError` when the registry fails or refuses."""

    def __init__(self, repository: Repository, http: Client, credential: Credential | None = None) -> None:
        self.repository = repository
        self._http = http
        self._root = f"{'http' if repository.loopback else 'https'}://{repository.host}/v2/"
        self._login = Login(repository, http, credential)

    def find(self, reference: str) -> Manifest | None:
        """The manifest or index under a tag or digest; None where there is none. Its digest is computed over what came.

        Raises `RefusedError` when the bytes are not what was asked for, or name content at other addresses.
        """
        where = self._where(reference)
        answer = self._send(_READ, "GET", self._url(f"manifests/{reference}"), headers={"Accept": ACCEPT})
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise problem(answer, "read the manifest", where)
        manifest = decode_manifest(answer.body, _media_type(answer), where)
        promised = reference if is_digest(reference) else answer.headers.get("Docker-Content-Digest") or manifest.digest
        if manifest.digest != promised:
            raise RefusedError(f"the registry sent {manifest.digest} for {line(promised, 80)}", where=where)
        return manifest

    def get_manifest(self, reference: str) -> Manifest:
        """As `find`, where there must be one."""
        found = self.find(reference)
        if not found:
            raise ToolError("is not in the registry", where=self._where(reference), mend="see whether it was pushed, or removed since")
        return found

    def head(self, tag: str) -> str | None:
        """The digest that the registry says a tag points to; None where there is no such tag."""
        where = self._where(tag)
        answer = self._send(_READ, "HEAD", self._url(f"manifests/{tag}"), headers={"Accept": ACCEPT})
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise problem(answer, "look up the tag", where)
        digest = answer.headers.get("Docker-Content-Digest", "")
        return digest if is_digest(digest) else self.get_manifest(tag).digest

    def put_manifest(self, tag: str, manifest: Manifest) -> None:
        """Point a tag to a manifest, byte for byte, and read it back.

        Raises `RefusedError` when the registry does not let the tag be overwritten, or another manifest is under it afterwards.
        """
        where = self._where(tag)
        answer = self._send(_WRITE, "PUT", self._url(f"manifests/{tag}"), headers={"Content-Type": manifest.media_type}, body=manifest.data)
        if answer.status not in {200, 201}:
            raise problem(answer, "write the tag", where)
        stored = self.get_manifest(tag).digest
        for digest in (answer.headers.get("Docker-Content-Digest") or manifest.digest, stored):
            if digest != manifest.digest:
                what = f"{manifest.digest} was written, and the registry has {line(digest, 80)}"
                raise RefusedError(what, where=where, mend="see who else writes this tag")

    def config_of(self, manifest: Manifest) -> ImageConfig:
        """The configuration of an image, its bytes held against the manifest. Raises `RefusedError` when they differ."""
        where = self._where(manifest.digest)
        if manifest.is_index:
            raise ToolError("is an index of several images, not an image", where=where, mend="name one of its images by digest")
        answer = self._send(_READ, "GET", self._url(f"blobs/{manifest.config.digest}"))
        if answer.status != 200:
            raise problem(answer, "read the image's config", where)
        return decode_config(answer.body, manifest.config, where)

    def verify_layers(self, manifest: Manifest, diff_ids: tuple[str, ...]) -> None:
        """Download every layer and hold what it unpacks to against the judged `diff_ids`. Raises `RefusedError` naming the layer."""
        layers.verify(manifest, diff_ids, self._blob, self._where(manifest.digest))

    def tags(self) -> tuple[str, ...]:
        """Every tag of the repository; none where the repository does not exist yet."""
        found: list[str] = []
        url = self._url(f"tags/list?{urlencode({'n': 1000})}")
        for _ in range(TAG_PAGES):
            answer = self._send(_READ, "GET", url)
            if answer.status == 404:
                return ()
            if answer.status != 200:
                raise problem(answer, "list the tags", str(self.repository))
            found += self._page(answer)
            url = self._next(answer)
            if not url:
                return tuple(found)
        raise ToolError(f"has more than {TAG_PAGES} pages of tags", where=str(self.repository), mend="remove old tags")

    def check_push(self) -> None:
        """Whether we may push: an upload is opened and given up, and no tag written. Raises `ToolError` saying why not."""
        doing = f"push to {self.repository}"
        answer = self._send(_WRITE, "POST", self._url("blobs/uploads/"))
        if answer.status not in {201, 202}:
            raise problem(answer, doing, str(self.repository))
        location = answer.headers.get("Location", "")
        if location:
            upload = resolve(answer.url, location)
            with suppress(ToolError):  # not every registry or account can: then the upload expires
                self._send(_DELETE, "DELETE", upload)

    def probe(self) -> Iterator[probe.Check]:
        """The checks of `doctor`, up to the first that fails: DNS, TCP, TLS, credentials, push. Raises `CancelledError` only."""
        own = {"TLS": self._reach, "credentials": self._log_in, "push": self._may_push}
        return probe.checks(self._root, self._http.proxy(self._root), own)

    def _reach(self) -> str:
        self._http.send("GET", self._root)
        return "plain HTTP, on this machine only" if self.repository.loopback else "the certificate is trusted"

    def _log_in(self) -> str:
        answer = self._send("", "GET", self._root)
        if answer.status != 200:
            raise problem(answer, "log in", self.repository.host)
        return self._login.describe()

    def _may_push(self) -> str:
        self.check_push()
        return f"we may push to {self.repository}"

    def _page(self, answer: Answer) -> tuple[str, ...]:
        try:
            tags = msgspec.json.decode(answer.body, type=_Tags).tags or ()
        except msgspec.DecodeError as error:
            raise ToolError(f"its list of tags cannot be read: {line(str(error), 200)}", where=str(self.repository)) from None
        if strange := next((tag for tag in tags if not is_tag(tag)), ""):
            raise ToolError(f"lists {line(strange, 140)!r}, which is no tag", where=str(self.repository))
        return tags

    def _next(self, answer: Answer) -> str:
        """Where the list goes on; empty at its end."""
        link = _NEXT.search(answer.headers.get("Link", ""))
        if not link:
            return ""
        url = resolve(answer.url, link[1])
        if not self._ours(url):
            raise ToolError(f"continues its list of tags at {shown(url)}, another server", where=str(self.repository))
        return url

    def _send(self, action: str, method: str, url: str, *, headers: Mapping[str, str] = _NONE, body: bytes = b"") -> Answer:
        """Ask, and once more after a challenge. Our credentials go to the registry itself, never to where it points."""
        known = self._login.headers(action) if self._ours(url) else {}
        answer = self._http.send(method, url, headers={**headers, **known}, body=body)
        if answer.status != 401 or not self._ours(answer.url):
            return answer
        self._login.meet(answer.headers.get("WWW-Authenticate", ""), action, known)
        return self._http.send(method, url, headers={**headers, **self._login.headers(action)}, body=body)

    @contextmanager
    def _blob(self, digest: str) -> Iterator[Stream]:
        url = self._url(f"blobs/{digest}")
        known = self._login.headers(_READ)
        with ExitStack() as stack:
            stream = stack.enter_context(self._http.stream("GET", url, headers=known))
            if stream.status == 401 and self._ours(stream.url):
                self._login.meet(stream.headers.get("WWW-Authenticate", ""), _READ, known)
                stream = stack.enter_context(self._http.stream("GET", url, headers=self._login.headers(_READ)))
            if stream.status != 200:
                raise problem(stream.whole(), "download a layer", self._where(digest))
            yield stream

    def _ours(self, url: str) -> bool:
        return origin(url) == origin(self._root)

    def _url(self, rest: str) -> str:
        return f"{self._root}{self.repository.path}/{rest}"

    def _where(self, reference: str) -> str:
        if is_digest(reference):
            return f"{self.repository}@{reference}"
        if not is_tag(reference):
            raise UsageError(f"{line(reference, 140)!r} is neither a tag nor a digest", where=str(self.repository))
        return f"{self.repository}:{reference}"


def _media_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
