"""The HTTP API of a Hub: a table from addresses to functions."""

import re
from collections.abc import Callable
from urllib.parse import unquote

from zoo_core.testing.hub import reading, writing
from zoo_core.testing.hub.api import Api, Call, refused
from zoo_core.testing.hub.faults import Answer
from zoo_core.testing.hub.store import Refusal

__all__ = ["content_answer", "hub_answer"]

_Routes = tuple[tuple[str, str, Callable[..., Answer]], ...]

# The id of a Space begins with spaces/, that of a data set with datasets/.
_REPO, _REVISION = r"((?:spaces/|datasets/)?[^/]+/[^/]+)", r"([^/]+)"
_ANY = r"/api/(?:models/([^/]+/[^/]+)|((?:spaces|datasets)/[^/]+/[^/]+))"

_HUB_ROUTES: _Routes = (
    ("GET", r"/api/whoami-v2", writing.whoami),
    ("GET", r"/api/models", reading.list_models),
    ("POST", r"/api/validate-yaml", writing.validate_yaml),
    ("POST", r"/api/repos/create", writing.create_repo),
    ("DELETE", r"/api/repos/delete", writing.delete_repo),
    ("GET", _ANY, reading.model_info),
    ("GET", rf"{_ANY}/revision/{_REVISION}", reading.model_info),
    ("GET", rf"{_ANY}/tree/{_REVISION}(?:/(.*))?", reading.tree),
    ("POST", rf"{_ANY}/paths-info/{_REVISION}", reading.paths_info),
    ("GET", rf"{_ANY}/refs", reading.refs),
    ("GET", rf"{_ANY}/commits/{_REVISION}", reading.commits),
    ("GET", rf"{_ANY}/auth-check", reading.auth_check),
    ("POST", rf"{_ANY}/tag/{_REVISION}", writing.create_tag),
    ("DELETE", rf"{_ANY}/tag/{_REVISION}", writing.delete_tag),
    ("POST", rf"{_ANY}/preupload/{_REVISION}", writing.preupload),
    ("POST", rf"{_ANY}/commit/{_REVISION}", writing.commit),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", writing.lfs_batch),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/verify", writing.lfs_verify),
    ("GET|HEAD", rf"/{_REPO}/resolve/{_REVISION}/(.*)", reading.resolve),
)

_CONTENT_ROUTES: _Routes = (
    ("GET|HEAD", r"/lfs/([0-9a-f]{64})/([^/]*)", reading.content),
    ("PUT", r"/lfs/([0-9a-f]{64})", writing.lfs_put),
)


def hub_answer(api: Api, call: Call) -> Answer:
    """The answer of the Hub's own address."""
    if call.user == "":
        return refused(Refusal(401, "Invalid credentials in Authorization header"))
    return _routed(_HUB_ROUTES, api, call)


def content_answer(api: Api, call: Call) -> Answer:
    """The answer of the address of large files, which needs no token: the address of a file is enough to read it."""
    return _routed(_CONTENT_ROUTES, api, call)


def _routed(routes: _Routes, api: Api, call: Call) -> Answer:
    try:
        for methods, pattern, function in routes:
            match = re.fullmatch(pattern, call.path)
            if match and call.method in methods.split("|"):
                with api.store.lock:
                    return function(api, call, *(unquote(group) for group in match.groups() if group is not None))
        raise Refusal(404, f"the loopback Hub does not serve {call.method} {call.path}")
    except Refusal as refusal:
        return refused(refusal)
