"""Answers that read from a Hub: lists, model infos, trees, commits and files."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, quote

from zoo_core.testing.hub.api import OWNER, Api, Call, as_json
from zoo_core.testing.hub.faults import Answer
from zoo_core.testing.hub.store import Blob, Commit, Refusal, Repo

__all__ = ["auth_check", "commits", "content", "front_matter", "list_models", "model_info", "paths_info", "refs", "resolve", "tree"]


def list_models(api: Api, call: Call) -> Answer:
    """The models that the caller may see, by tag, author and search."""
    models = [repo for repo in api.store.repos.values() if not repo.id.startswith(("datasets/", "spaces/"))]
    seen = [repo for repo in models if not repo.private or call.user == OWNER]
    if author := call.one("author"):
        seen = [repo for repo in seen if repo.id.split("/")[0] == author]
    if search := call.one("search").lower():
        seen = [repo for repo in seen if search in repo.id.lower()]
    for tag in call.query.get("filter", ()):
        seen = [repo for repo in seen if tag in _tags(repo, _card(repo.head))]
    if (sort := call.one("sort")) in ("createdAt", "lastModified"):
        seen.sort(key=lambda repo: _info(repo, repo.head)[sort], reverse=True)
    infos = [_info(repo, repo.head) for repo in seen]
    return api.paged(call, [info if call.flag("full") else {**info, "siblings": None} for info in infos])


def model_info(api: Api, call: Call, repo_id: str, revision: str = "main") -> Answer:
    """The metadata of a repository at a revision, with its files; with their sizes and digests if the query asks for ``blobs``."""
    repo = api.repo(call, repo_id)
    info = _info(repo, repo.at(revision), blobs=call.flag("blobs"))
    if expand := call.query.get("expand"):
        info = {name: info.get(name) for name in ("_id", "id", "modelId", *expand)}
    return as_json(info)


def _info(repo: Repo, commit: Commit, blobs: bool = False) -> dict[str, Any]:
    card = _card(commit)
    name = repo.id.removeprefix("spaces/").removeprefix("datasets/")
    return {
        "_id": hashlib.sha1(repo.id.encode()).hexdigest()[:24],
        "id": name,
        "modelId": name,
        "author": name.split("/")[0],
        **({"sdk": card.get("sdk")} if repo.id.startswith("spaces/") else {}),
        "sha": commit.id,
        "private": repo.private,
        "gated": "manual" if repo.gated else False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": _tags(repo, card),
        "cardData": card or None,
        "createdAt": repo.commits[0].date,
        "lastModified": commit.date,
        "siblings": [_sibling(path, blob, blobs) for path, blob in commit.files.items()],
    }


def _sibling(path: str, blob: Blob, blobs: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"rfilename": path}
    if blobs:
        entry |= {"size": blob.size, "blobId": blob.oid}
        if blob.sha256:
            entry["lfs"] = {"sha256": blob.sha256, "size": blob.size, "pointerSize": blob.pointer_size}
    return entry


def _card(commit: Commit) -> dict[str, Any]:
    if "README.md" not in commit.files:
        return {}
    try:
        return front_matter(commit.files["README.md"].data.decode(errors="replace"))
    except ValueError:
        return {}


def _tags(repo: Repo, card: Mapping[str, Any]) -> list[str]:
    listed = card.get("tags") if isinstance(card.get("tags"), list) else []
    named = [card.get("library_name"), card.get("pipeline_tag"), f"license:{card['license']}" if card.get("license") else None]
    return list(dict.fromkeys(str(tag) for tag in (*repo.tags, *named, *(listed or [])) if tag))


def tree(api: Api, call: Call, repo_id: str, revision: str, folder: str = "") -> Answer:
    """Files and folders below a folder, in pages."""
    commit = api.repo(call, repo_id).at(revision)
    prefix = f"{folder.rstrip('/')}/" if folder else ""
    below = {path: blob for path, blob in commit.files.items() if path.startswith(prefix)}
    if folder and not below:
        commit.blob(folder)
    entries = [*map(_folder_entry, sorted(_folders(below))), *(_file_entry(path, blob) for path, blob in below.items())]
    entries = [entry for entry in entries if entry["path"].startswith(prefix)]
    if not call.flag("recursive"):
        entries = [entry for entry in entries if "/" not in entry["path"][len(prefix) :]]
    return api.paged(call, entries)


def _folders(paths: Iterable[str]) -> set[str]:
    return {path[:end] for path in paths for end, letter in enumerate(path) if letter == "/" and end > 0}


def _folder_entry(path: str) -> dict[str, Any]:
    return {"type": "directory", "oid": hashlib.sha1(path.encode()).hexdigest(), "size": 0, "path": path}


def _file_entry(path: str, blob: Blob) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "oid": blob.oid, "size": blob.size, "path": path}
    if blob.sha256:
        entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": blob.pointer_size}
    return entry


def paths_info(api: Api, call: Call, repo_id: str, revision: str) -> Answer:
    """The entries of existing paths, as in :func:`tree`."""
    commit = api.repo(call, repo_id).at(revision)
    asked = parse_qs(call.body.decode(), keep_blank_values=True).get("paths", [])
    folders = _folders(commit.files)
    files = [_file_entry(path, commit.files[path]) for path in asked if path in commit.files]
    return as_json([*files, *(_folder_entry(path) for path in asked if path in folders)])


def refs(api: Api, call: Call, repo_id: str) -> Answer:
    """The one branch and the tags."""
    repo = api.repo(call, repo_id)
    tags = [{"name": name, "ref": f"refs/tags/{name}", "targetCommit": commit} for name, commit in repo.refs.items()]
    main = {"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head.id}
    return as_json({"branches": [main], "tags": tags, "converts": [], "pullRequests": []})


def commits(api: Api, call: Call, repo_id: str, revision: str) -> Answer:
    """The history of a revision, the newest commit first."""
    history = api.repo(call, repo_id).history(revision)
    return api.paged(
        call,
        [
            {"id": commit.id, "title": commit.title, "message": commit.message, "date": commit.date, "authors": [{"user": OWNER}]}
            for commit in history
        ],
    )


def auth_check(api: Api, call: Call, repo_id: str) -> Answer:
    """Whether the caller may read the files."""
    api.open_repo(call, repo_id)
    return as_json({})


# Downloads


def resolve(api: Api, call: Call, repo_id: str, revision: str, path: str) -> Answer:
    """A regular file, or a redirect to the address of a large one; the headers hold its commit and digests."""
    commit = api.open_repo(call, repo_id).at(revision)
    blob = commit.blob(path)
    headers = {"X-Repo-Commit": commit.id, "ETag": f'"{blob.oid}"'}
    if blob.sha256 is None:
        return _ranged(call, blob.data, headers)
    headers |= {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(blob.size)}
    # The whole name is one path segment, so that faults and the log can tell files apart.
    return Answer(status=302, headers={**headers, "Location": f"{api.content}/lfs/{blob.sha256}/{quote(path, safe='')}"})


def _ranged(call: Call, data: bytes, headers: Mapping[str, str]) -> Answer:
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", **headers}
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", call.range or "")
    if not match or not any(match.groups()):
        return Answer(headers=headers, body=data)
    first, last = match.groups()
    start = int(first) if first else max(len(data) - int(last), 0)
    stop = min(int(last) + 1, len(data)) if first and last else len(data)
    if start >= stop:
        return Answer(status=416, headers={**headers, "Content-Range": f"bytes */{len(data)}"})
    return Answer(status=206, headers={**headers, "Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}, body=data[start:stop])


def content(api: Api, call: Call, oid: str, _name: str) -> Answer:
    """A large file by its sha256."""
    if oid not in api.store.objects:
        raise Refusal(404, "there is no object of that name")
    return _ranged(call, api.store.objects[oid], {"ETag": f'"{oid}"'})


def front_matter(text: str) -> dict[str, Any]:
    """The metadata of a model card; empty for a card without.

    Raises:
        ValueError: if it is not a YAML mapping.
    """
    import yaml

    match = re.match(r"---\r?\n(.*?)\r?\n---\s*$", text, re.DOTALL | re.MULTILINE)
    try:
        metadata = yaml.safe_load(match[1]) if match else {}
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    if not isinstance(metadata or {}, dict):
        raise ValueError("the metadata of the card is not a mapping")
    return metadata or {}
