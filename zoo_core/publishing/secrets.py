"""Search for content that must not be published: links, code, secrets in files and text, folders of this machine.

The rules are those of detect-secrets, and a few of our own for kinds that it does not know. They guard against
accidents, and cannot find a secret that somebody hides.
"""

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from zoo_core.errors import ResourceError, UnsafeContentError
from zoo_core.hub.redaction import access_tokens
from zoo_core.publishing.images import check_png

__all__ = ["check_text", "safe_names"]

_CODE = frozenset(
    {
        *(".bat", ".cmd", ".dll", ".dylib", ".exe", ".ipynb", ".jar", ".js", ".lua", ".pl", ".ps1", ".py", ".pyc", ".pyd", ".pyo", ".pyw"),
        *(".pyx", ".rb", ".sh", ".bash", ".zsh", ".so", ".whl"),
        # Weights and arrays in formats that can run code when they are read.
        *(".bin", ".ckpt", ".dill", ".h5", ".hdf5", ".joblib", ".keras", ".npy", ".npz", ".pdparams", ".pickle", ".pkl", ".pt", ".pth"),
    }
)
_SECRET_NAMES = re.compile(
    r"\.env(?:rc|\..+)?|.+\.env|\.netrc|_netrc|\.pypirc|\.npmrc|\.pgpass|\.htpasswd|\.git-credentials|\.aws|\.ssh|\.gnupg|\.docker"
    r"|id_(?:rsa|dsa|ecdsa|ed25519)|.+\.(?:pem|key|p12|pfx|jks|kdbx|ppk)|(?:hf[_-]?)?tokens?(?:\.txt)?"
    r"|(?:credentials?|secrets?)(?:\.(?:json|ya?ml|toml|txt|ini|cfg))?",
    re.IGNORECASE,
)
_NO_LINKS = "publish a copy with the files themselves: cp -rL FOLDER COPY"
_SECRETS = {
    "a Hugging Face token": rb"(?<![A-Za-z0-9_])(?:hf|api_org)_[A-Za-z0-9]{16,}",
    "a GitHub token": rb"(?<![A-Za-z0-9])(?:gh[oprsu]_[A-Za-z0-9]{16,}|github_pat_[A-Za-z0-9_]{20,})",
    "a secret key": rb"(?<![A-Za-z0-9-])sk-(?:[a-z0-9]+-){0,3}[A-Za-z0-9_]{16,}",
    "an AWS key": rb"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    "a Slack token": rb"(?<![A-Za-z0-9])xox[abeoprs]-[A-Za-z0-9-]{10,}",
    "a Google key": rb"(?<![A-Za-z0-9])AIza[A-Za-z0-9_-]{35}",
    "a private key": rb"-----BEGIN [A-Z ]*PRIVATE KEY",
    "an npm token": rb"(?<![A-Za-z0-9_])npm_[A-Za-z0-9]{36}(?![A-Za-z0-9])",
    # A variable or a blank to fill in is not a secret.
    "a secret in a variable": rb"\b(?:[A-Z][A-Z0-9_]*_(?:API_?KEY|ACCESS_KEY|SECRET|SECRET_KEY|TOKEN|PASSWORD)|aws_secret_access_key)"
    rb"[\\\"']*\s*[=:]\s*[\\\"']*(?![$<{.]|[xX*]{3}|[Yy][Oo][Uu][Rr])[^\s\"']{8,}",
}
# The detectors of detect-secrets for kinds of tokens; those for random strings are left out.
_DETECTORS = (
    *("AWSKeyDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "DiscordBotTokenDetector", "GitHubTokenDetector"),
    *("GitLabTokenDetector", "JwtTokenDetector", "KeywordDetector", "MailchimpDetector", "NpmDetector", "OpenAIDetector"),
    *("PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector", "SquareOAuthDetector", "StripeDetector"),
    *("TelegramBotTokenDetector", "TwilioKeyDetector"),
)
_FOLDER = re.compile(r"(?:^|(?<=[\s\"'=:(]))(?:(?:/[^/\s\"':,)]+){2,}|~/[^\s\"']+|[A-Za-z]:\\[^\s\"']+)")
_HOMES = re.compile(r"(?:/home/|/Users/|/root/|[A-Za-z]:\\+Users\\)[^\s\"'`)]+")
_BINARY = (".safetensors", ".png")


def safe_names(folder: Path) -> tuple[str, ...]:
    """The names of the files in a folder and below it, relative to it.

    Args:
        folder: the folder.

    Raises:
        UnsafeContentError: if one of them is a link or not a regular file, is code, or has the name of a file for
            secrets.
        ResourceError: if the folder cannot be read.
    """
    try:
        return tuple(sorted(_names(folder)))
    except OSError as error:
        raise ResourceError(f"cannot read {error.filename or folder}: {error.strerror or error}") from error


def _names(folder: Path) -> Iterator[str]:
    def fail(error: OSError) -> None:
        raise error

    for root, folders, files in os.walk(folder, onerror=fail):
        for item in (*folders, *files):
            path = Path(root, item)
            name = path.relative_to(folder).as_posix()
            _check_name(name)
            mode = path.lstat().st_mode
            if item in files or stat.S_ISLNK(mode):
                _demand(stat.S_ISREG(mode), f"{name} is a link, or not a regular file", _NO_LINKS)
                yield name


def _check_name(name: str) -> None:
    secret = _secret_in(os.fsencode(name))
    _demand(not secret, f"the name of a file looks like {secret}", "rename the file, and revoke that secret")
    base = PurePosixPath(name)
    _demand(not _SECRET_NAMES.fullmatch(base.name), f"{name} is a file for secrets", "move it out of the folder")
    _demand(base.suffix.lower() not in _CODE, f"{name} is code, or can hold code", "move it out of the folder: weights are safetensors")


def check_text(name: str, data: bytes) -> None:
    """Searches a file for secrets; the access token of this process is one of them.

    Args:
        name: name of the file, for messages.
        data: its bytes.

    Raises:
        UnsafeContentError: if it seems to hold a secret, whose place the message names without repeating it; if text is
            not UTF-8, and so cannot be searched; if it names a folder of this machine; if a picture is not a PNG alone.
    """
    _demand(name.endswith(_BINARY) or _is_utf8(data), f"{name} is not UTF-8, and cannot be searched for secrets", "save it as UTF-8")
    text = check_png(name, data) if name.endswith(".png") else data
    secret = _secret_in(data) or _secret_in(text) or _detected(text.decode("utf-8", "replace"))
    _demand(not secret, f"{name} holds what looks like {secret}", "take it out, and revoke it if it is one")
    folder = _folder_in(name, text.decode("utf-8", "replace"))
    _demand(not folder, f"{name} names a folder of this machine, {folder:.80}", "write it relative, or as $VARIABLE")


def _is_utf8(data: bytes) -> bool:
    """Whether the bytes are text in UTF-8. Text with zero bytes is taken for UTF-16."""
    try:
        return "\0" not in data.decode("utf-8")
    except UnicodeDecodeError:
        return False


def _secret_in(data: bytes) -> str:
    """The kind of the first secret in ``data``, and its line; empty if there seems to be none."""
    for kind, pattern in _SECRETS.items():
        if match := re.search(pattern, data):
            line = data.count(b"\n", 0, match.start()) + 1
            return f"{kind}, in line {line}" if line > 1 else kind
    return "your access token" if any(token.encode() in data for token in access_tokens(least=8)) else ""


def _detected(text: str) -> str:
    """The kind of the first secret that detect-secrets finds, and its line; empty if it finds none."""
    from detect_secrets.core.scan import scan_line
    from detect_secrets.settings import transient_settings

    with transient_settings({"plugins_used": [{"name": name} for name in _DETECTORS]}):
        for number, line in enumerate(text.splitlines(), 1):
            if secret := next(iter(scan_line(line)), None):
                return f"a secret ({secret.type}), in line {number}"
    return ""


def _folder_in(name: str, text: str) -> str:
    """The first path of a machine in a text; empty if there is none.

    In JSON it is any absolute path in a value, in other text a path below a home folder.
    """
    if not name.endswith(".json"):
        match = _HOMES.search(text)
        return match[0] if match else ""
    return next((match[0] for value in _strings(json.loads(text)) if (match := _FOLDER.search(value))), "")


def _strings(value: object) -> Iterator[str]:
    """All strings in a JSON value, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _demand(condition: bool, what: str, hint: str) -> None:
    if not condition:
        raise UnsafeContentError(what, hint)
