"""What looks like a secret: names of files and variables, and what must be in a file for its name to count."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

READ_BYTES = 256 * 1024

_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----")
_ASSIGNED = re.compile(
    rb"^[ \t]*(?:export[ \t]+)?[A-Z0-9_.-]*"
    rb"(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL)[A-Z0-9_.-]*"
    rb"[ \t]*[=:][ \t]*[\"']?(?![\"']?[ \t]*(?:#|\r?$)|\$|<|(?:change-?me|xxx+|your|example|placeholder)\b)[^\s\"']",
    re.IGNORECASE | re.MULTILINE,
)
_NPM = re.compile(rb"_(?:authToken|auth|password)[ \t]*=[ \t]*(?!\$\{|\s)", re.IGNORECASE)
_URL_USER = re.compile(rb"://[^/\s:@]+:[^/\s@$]+@")
_JSON_KEY = re.compile(rb'"private_key"\s*:\s*"-----BEGIN')
_DOCKER_AUTH = re.compile(rb'"(?:auth|identitytoken|password)"\s*:\s*"[^"]')
_AWS = re.compile(rb"aws_secret_access_key|aws_session_token", re.IGNORECASE)
_KUBE = re.compile(rb"^\s*(?:token|client-key-data|password):\s*\S", re.MULTILINE)
_NETRC = re.compile(rb"\bpassword\s+\S", re.IGNORECASE)
_ANYTHING = re.compile(rb"[^\s]")

_VARIABLE = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PWD|PASSPHRASE|SECRETS?|TOKEN|API_?KEY|ACCESS_?KEY|SECRET_?KEY|PRIVATE_?KEY|CREDENTIALS?)(?:_(?:VALUE|BASE64|B64))?$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A file that may hold a secret: `what` it would be, and what its content must match to be one."""

    what: str
    content: re.Pattern[bytes]

    def holds(self, beginning: bytes) -> bool:
        """Whether the first `READ_BYTES` of the file have a secret in them."""
        return bool(self.content.search(beginning))


# (what the file name must match in full, or the end of the path where it has a slash; what it is; what must be in it)
_FILES: tuple[tuple[re.Pattern[str], str, re.Pattern[bytes]], ...] = tuple(
    (re.compile(name), what, content)
    for name, what, content in (
        (r"id_(rsa|dsa|ecdsa|ed25519)(_sk)?", "an SSH private key", _PRIVATE_KEY),
        (r".+\.(pem|key|ppk|pk8)", "a private key", _PRIVATE_KEY),
        (r".+\.(asc|gpg)", "an OpenPGP private key", _PRIVATE_KEY),
        (r".+\.(p12|pfx|jks|keystore)", "a key store", _ANYTHING),
        (r"\.env(\.(?!(example|sample|template|dist|defaults?)$)[\w.-]+)?|.+\.env", "an environment file with secrets", _ASSIGNED),
        (r"\.npmrc|\.yarnrc(\.yml)?", "a package registry's credentials", _NPM),
        (
            r"\.pypirc|pip\.conf",
            "a package index's credentials",
            re.compile(_URL_USER.pattern + rb"|^\s*password\s*[=:]\s*\S", re.MULTILINE),
        ),
        (r"[._]netrc", "credentials for hosts", _NETRC),
        (r"\.git-credentials", "git's credentials", _URL_USER),
        (r"\.pgpass|\.my\.cnf|\.htpasswd|\.vault-token|\.dockercfg", "credentials", _ANYTHING),
        (r"\.docker/config\.json", "docker's credentials", _DOCKER_AUTH),
        (r"\.aws/credentials", "AWS credentials", _AWS),
        (r"\.kube/config|kubeconfig|.+\.kubeconfig", "credentials for a Kubernetes cluster", _KUBE),
        (r".+\.json", "a service account's key", _JSON_KEY),
        (r".+\.tfstate", "Terraform's state, which holds secrets in the clear", _ASSIGNED),
    )
)


def suspect(path: str) -> Suspect | None:
    """What a file would be by its name alone; None for an ordinary one. `path` has slashes."""
    parts = PurePosixPath(path).parts
    names = {parts[-1], "/".join(parts[-2:])} if parts else set[str]()
    return next((Suspect(what, content) for pattern, what, content in _FILES if any(pattern.fullmatch(name) for name in names)), None)


def secret_variable(name: str) -> bool:
    """Whether a variable of this name is there to hold a secret: `API_TOKEN` is, `TOKEN_URL` and `KEY_FILE` are not."""
    return bool(_VARIABLE.search(name))
