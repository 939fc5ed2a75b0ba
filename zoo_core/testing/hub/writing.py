"""Answers that change a Hub: repositories, tags, uploads and commits."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

from zoo_core.testing.hub.api import OWNER, Api, Call, as_json, check_owner
from zoo_core.testing.hub.faults import Answer
from zoo_core.testing.hub.reading import front_matter
from zoo_core.testing.hub.store import LFS_PATTERNS, Blob, Commit, Refusal, Repo, Store, is_lfs, make_blob

__all__ = [
    "commit",
    "create_repo",
    "create_tag",
    "delete_repo",
    "delete_tag",
    "lfs_batch",
    "lfs_put",
    "lfs_verify",
    "preupload",
    "validate_yaml",
    "whoami",
]

LICENSES = frozenset(
    {
        *("afl-3.0", "agpl-3.0", "apache-2.0", "apple-amlr", "apple-ascl", "artistic-2.0", "bigcode-openrail-m"),
        *("bigscience-bloom-rail-1.0", "bigscience-openrail-m", "bsd", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "bsl-1.0"),
        *("c-uda", "cc", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0"),
        *("cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0"),
        *("cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "cdla-sharing-1.0"),
        *("creativeml-openrail-m", "deepfloyd-if-license", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "eupl-1.2"),
        *("gemma", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "intel-research", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0", "lgpl-lr", "llama2"),
        *("llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "lppl-1.3c", "mit", "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by"),
        *("ofl-1.1", "openmdw-1.0", "openrail", "openrail++", "osl-3.0", "other", "pddl", "postgresql", "unknown", "unlicense"),
        *("wtfpl", "zlib"),
    }
)
"""The names of licences that the Hub accepts."""
SDKS = frozenset({"gradio", "docker", "static", "streamlit"})
"""The kinds of Spaces."""
COLORS = frozenset({"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"})
"""The colours of the tile of a Space."""


def whoami(api: Api, call: Call) -> Answer:
    """The account behind a token."""
    if call.user is None:
        raise Refusal(401, "Invalid username or password.")
    token = {"displayName": "loopback", "role": "write" if call.user == OWNER else "read"}
    return as_json({"type": "user", "id": call.user, "name": call.user, "orgs": [], "auth": {"type": "access_token", "accessToken": token}})


def validate_yaml(api: Api, call: Call) -> Answer:
    """Checks that the metadata of a card can be read, and its licence is known. The client asks before it uploads a README.md."""
    try:
        asked = call.json()
        card = front_matter(asked["content"])
        _check_license(card)
        if asked.get("repoType") == "space":
            _check_space(card)
    except ValueError as error:
        return as_json({"errors": [{"message": str(error)}], "warnings": []}, 400)
    warnings = [] if card else [{"message": "empty or missing yaml metadata in repo card"}]
    return as_json({"errors": [], "warnings": warnings})


def _check_license(card: Mapping[str, Any]) -> None:
    stated = card.get("license", [])
    if unknown := [name for name in (stated if isinstance(stated, list) else [stated]) if name not in LICENSES]:
        raise ValueError(f'"license" must be one of a list of licenses, and not {unknown[0]!r}')


def _check_space(card: Mapping[str, Any]) -> None:
    if card.get("sdk") not in SDKS:
        raise ValueError(f'"sdk" must be one of {", ".join(sorted(SDKS))}')
    for key in ("colorFrom", "colorTo"):
        if card.get(key, "red") not in COLORS:
            raise ValueError(f'"{key}" must be one of {", ".join(sorted(COLORS))}')
    if len(card.get("short_description", "")) > 60:
        raise ValueError('"short_description" must have at most 60 characters')


def _named(call: Call) -> str:
    """The repository that the body of a call names."""
    asked = call.json()
    kind = asked.get("type", "model")
    if kind not in ("model", "space"):
        raise Refusal(400, "the loopback Hub serves models and Spaces only")
    return f"{'spaces/' if kind == 'space' else ''}{asked.get('organization') or OWNER}/{asked['name']}"


def create_repo(api: Api, call: Call) -> Answer:
    """Creates a repository, with the initial commit of ``.gitattributes``, and of a ``README.md`` in a Space."""
    check_owner(call)
    name = _named(call)
    asked = call.json()
    if name.startswith("spaces/") and asked.get("sdk") not in SDKS:
        raise Refusal(400, f"a Space needs a sdk, one of {', '.join(sorted(SDKS))}")
    url = f"{api.endpoint}/{name}"
    attributes = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in LFS_PATTERNS)
    repo = Repo(id=name, private=asked.get("visibility") == "private")
    files = {".gitattributes": attributes}
    if name.startswith("spaces/"):
        files["README.md"] = f"---\ntitle: {asked['name']}\nsdk: {asked['sdk']}\n---\n"
    try:
        api.store.create(repo, {path: make_blob(text.encode(), lfs=False) for path, text in files.items()}, "initial commit")
    except Refusal as refusal:
        # With exist_ok the client reads the address from the refusal.
        return as_json({"error": refusal.message, "url": url}, refusal.status)
    return as_json({"url": url, "name": name, "id": name})


def delete_repo(api: Api, call: Call) -> Answer:
    """Removes a repository. Its large files stay."""
    name = _named(call)
    api.own_repo(call, name)
    del api.store.repos[name]
    return as_json({})


def create_tag(api: Api, call: Call, repo_id: str, revision: str) -> Answer:
    """Tags a commit; a tag cannot be moved."""
    repo = api.own_repo(call, repo_id)
    name = call.json()["tag"]
    target = repo.at(revision)
    if name in repo.refs:
        raise Refusal(409, f"Reference already exists: {name}")
    repo.refs[name] = target.id
    return as_json({})


def delete_tag(api: Api, call: Call, repo_id: str, name: str) -> Answer:
    """Deletes a tag."""
    if api.own_repo(call, repo_id).refs.pop(name, None) is None:
        raise Refusal(404, f"Invalid rev id: {name}", "RevisionNotFound")
    return as_json({})


# Uploads


def preupload(api: Api, call: Call, repo_id: str, revision: str) -> Answer:
    """The upload mode of each file, and its present id: the client skips files that would not change."""
    files = api.own_repo(call, repo_id).at(revision).files
    return as_json({"files": [_upload_mode(asked["path"], asked["size"], files.get(asked["path"])) for asked in call.json()["files"]]})


def _upload_mode(path: str, size: int, there: Blob | None) -> dict[str, Any]:
    mode = "lfs" if is_lfs(path, size) else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": there.etag if there else None}


def lfs_batch(api: Api, call: Call, repo_id: str) -> Answer:
    """The addresses to upload large files to; files that the Hub already has need no upload."""
    api.own_repo(call, repo_id)
    objects = []
    for asked in call.json()["objects"]:
        entry = {"oid": asked["oid"], "size": asked["size"]}
        if asked["oid"] not in api.store.objects:
            verify = {"href": f"{api.endpoint}/{repo_id}.git/info/lfs/objects/verify"}
            entry["actions"] = {"upload": {"href": f"{api.content}/lfs/{asked['oid']}"}, "verify": verify}
        objects.append(entry)
    return as_json({"transfer": "basic", "objects": objects}, headers={"Content-Type": "application/vnd.git-lfs+json"})


def lfs_put(api: Api, call: Call, oid: str) -> Answer:
    """Stores a large file, if its sha256 is the name in its address."""
    if hashlib.sha256(call.body).hexdigest() != oid:
        raise Refusal(400, "the content has another sha256")
    api.store.objects[oid] = call.body
    return Answer()


def lfs_verify(api: Api, call: Call, repo_id: str) -> Answer:
    """Checks that a large file has arrived."""
    api.own_repo(call, repo_id)
    asked = call.json()
    if len(api.store.objects.get(asked["oid"], b"")) != asked["size"]:
        raise Refusal(404, "there is no object of that name and size")
    return as_json({})


def commit(api: Api, call: Call, repo_id: str, revision: str) -> Answer:
    """Makes a commit from a header and a line for each file, unless ``main`` is no longer at the parent in the header."""
    repo = api.own_repo(call, repo_id)
    if call.flag("create_pr"):
        raise Refusal(400, "the loopback Hub has no pull requests")
    if revision != "main":
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    lines = [Call(method="", path="", query={}, body=line).json() for line in call.body.split(b"\n") if line]
    header = next(line["value"] for line in lines if line["key"] == "header")
    if not repo.head.id.startswith(header.get("parentCommit", "")):
        raise Refusal(412, "A commit has happened since. Please refresh and try again.")
    files = dict(repo.head.files)
    for line in lines:
        _apply(api.store, files, repo.head, line["key"], line["value"])
    new = api.store.commit(repo, files, header["summary"], header.get("description", ""))
    return as_json({"success": True, "commitOid": new.id, "commitUrl": f"{api.endpoint}/{repo_id}/commit/{new.id}", "hookOutput": ""})


def _apply(store: Store, files: dict[str, Blob], before: Commit, key: str, value: Mapping[str, Any]) -> None:
    """Applies one line of a commit to ``files``."""
    if key == "header":
        return
    path = value["path"]
    if key == "file":
        files[path] = make_blob(_decoded(value["content"]), lfs=False)
    elif key == "lfsFile":
        if value["oid"] not in store.objects:
            raise Refusal(400, f"{path} points to an LFS object that was not uploaded")
        files[path] = make_blob(store.objects[value["oid"]], lfs=True)
    elif key == "deletedFile":
        if path not in before.files:
            raise Refusal(404, "A file with this name doesn't exist", "EntryNotFound")
        files.pop(path, None)
    elif key == "deletedFolder":
        for name in [name for name in files if name.startswith(path.rstrip("/") + "/")]:
            del files[name]
    else:
        raise Refusal(400, f"the loopback Hub does not support {key} in a commit")


def _decoded(content: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise Refusal(400, f"the content is not base64: {error}") from error
