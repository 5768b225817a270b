"""Who we are to a registry: its challenges answered, tokens fetched and kept (distribution's token authentication, RFC 7235)."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec

from pipeline.core.about import DISTRIBUTION
from pipeline.core.address import checked, loopback, shown
from pipeline.core.credential import Credential
from pipeline.core.image import Repository
from pipeline.core.text import line
from pipeline.errors import RefusedError, ToolError
from pipeline.tools.http.client import Answer, Client
from pipeline.tools.registry.problem import problem

_PART = re.compile(r'\s*,?\s*(?:([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([A-Za-z0-9_-]+)(?=\s|,|\Z))')
_TOKEN = re.compile(r"[!-~]+\Z")


@dataclass(frozen=True, slots=True)
class Challenge:
    """`scheme` in lower case."""

    scheme: str
    parameters: Mapping[str, str]


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""


class Login:
    """The Authorization header for each action (`pull`, `pull,push`), learned from challenges. Safe to share between threads."""

    def __init__(self, repository: Repository, http: Client, credential: Credential | None) -> None:
        self._repository, self._http, self._credential = repository, http, credential
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}

    def headers(self, action: str) -> dict[str, str]:
        known = self._known.get(action)
        return {"Authorization": known} if known else {}

    def describe(self) -> str:
        """How we are logged in, for a person."""
        if not self._known:
            return "none asked for"
        return (
            f"logged in{f' as {self._credential.user}' if self._credential.user else ''} ({self._credential.source})"
            if self._credential
            else "anonymous"
        )

    def meet(self, header: str, action: str, refused: Mapping[str, str]) -> None:
        """Answer a `WWW-Authenticate`; `refused` are the headers it came upon. Raises `ToolError` and, for a token server
        without TLS, `RefusedError`."""
        with self._lock:
            if self.headers(action) == refused:  # else another thread has met it meanwhile
                self._known[action] = self._answer(header, action)

    def _answer(self, header: str, action: str) -> str:
        challenges = {one.scheme: one.parameters for one in parse_challenges(header)}
        if "bearer" in challenges:
            return f"Bearer {self._token(challenges['bearer'], action)}"
        if "basic" not in challenges:
            raise ToolError(f"asks for a login we do not know: {line(header, 100) or 'it does not say which'}", where=str(self._repository))
        if not self._credential or not self._credential.password:
            mend = "log in with `docker login`, or give the job the registry's credentials"
            raise ToolError("asks for a user and password, and we have none", where=str(self._repository), mend=mend)
        return f"Basic {self._credential.basic}"

    def _token(self, parameters: Mapping[str, str], action: str) -> str:
        realm = checked(parameters.get("realm", ""))
        if not realm.startswith("https:") and not loopback(realm):
            what = f"wants our credentials at {shown(realm)}, without TLS"
            raise RefusedError(what, where=str(self._repository), mend="give the token server TLS")
        scope = parameters.get("scope") or (f"repository:{self._repository.path}:{action}" if action else "")
        question = {"service": parameters.get("service", ""), "scope": scope}
        answer = self._ask(realm, {name: value for name, value in question.items() if value})
        if answer.status != 200:
            raise problem(answer, f"log in at {shown(realm)}", str(self._repository))
        try:
            found = msgspec.json.decode(answer.body, type=_Token)
        except msgspec.DecodeError:
            found = _Token()
        token = found.token or found.access_token
        if not _TOKEN.match(token):
            raise ToolError("gave no token", where=shown(realm), mend="see whether this is the registry's token server")
        return token

    def _ask(self, realm: str, question: Mapping[str, str]) -> Answer:
        if self._credential and self._credential.identity_token:
            form = {"grant_type": "refresh_token", "client_id": DISTRIBUTION, "refresh_token": self._credential.identity_token, **question}
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._http.send("POST", realm, headers=headers, body=urlencode(form).encode())
        headers = {"Authorization": f"Basic {self._credential.basic}"} if self._credential else {}
        return self._http.send("GET", f"{realm}{'&' if '?' in realm else '?'}{urlencode(question)}", headers=headers)


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """The challenges of a `WWW-Authenticate`, several in one header included; what cannot be read ends it."""
    found: list[tuple[str, dict[str, str]]] = []
    position = 0
    while match := _PART.match(header, position):
        name, quoted, plain, scheme = match.groups()
        if scheme:
            found.append((scheme.lower(), {}))
        elif found:
            found[-1][1][name.lower()] = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
        position = match.end()
    return tuple(Challenge(scheme, parameters) for scheme, parameters in found)
