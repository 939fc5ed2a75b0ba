"""The loopback Hub: the real client takes it for a Hub, and every fault reaches that client as what it is."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    close_session,
    constants,
    get_hf_file_metadata,
    get_session,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get

from zoo_core.testing.hub import LoopbackHub, Request, loopback_hub
from zoo_core.testing.hub.store import is_lfs, make_blob

pytest_plugins = ["zoo_core.testing.hub"]

CARD = b"---\nlibrary_name: zoo\nlicense: mit\ntags:\n- zoo-model\n---\n# Cats\n"
WEIGHTS = bytes(range(256)) * 16
FILES = {"README.md": CARD, "config.json": b'{"format": 1}', "model.safetensors": WEIGHTS}
CATS = "zoo/cats"


@pytest.fixture
def api(hub: LoopbackHub) -> HfApi:
    """A client with the owner's token."""
    return HfApi(endpoint=hub.endpoint, token=hub.token)


@pytest.fixture
def paged() -> Iterator[LoopbackHub]:
    """A Hub whose lists have two entries a page."""
    with loopback_hub(page_size=2) as hub:
        yield hub
        close_session()


def commit(api: HfApi, files: dict[str, bytes], **arguments: Any) -> str:
    """Commits to the cats through the client."""
    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    return api.create_commit(CATS, operations, commit_message="a commit", **arguments).oid


def asked(hub: LoopbackHub, method: str) -> list[Request]:
    """The requests of one method."""
    return [request for request in hub.requests if request.method == method]


def status_of(error: pytest.ExceptionInfo[HfHubHTTPError]) -> int:
    return error.value.response.status_code


def run(hub: LoopbackHub, home: Path, source: str, **variables: str | None) -> "subprocess.CompletedProcess[str]":
    """Runs a client in a process of its own. A variable that is None is unset."""
    given = {**os.environ, **hub.environment(home), **variables}
    where = {name: value for name, value in given.items() if value is not None}
    return subprocess.run([sys.executable, "-c", source], env=where, capture_output=True, text=True, check=False, timeout=60)


# Accounts and repositories


def test_a_token_says_who_somebody_is(hub: LoopbackHub, api: HfApi) -> None:
    assert api.whoami()["name"] == "zoo"
    assert api.whoami(token=hub.visitor_token)["name"] == "visitor"
    with pytest.raises(HfHubHTTPError, match="Invalid user token") as wrong:
        api.whoami(token="hf_wrong")
    assert status_of(wrong) == 401


def test_a_new_repository_has_an_initial_commit(hub: LoopbackHub, api: HfApi) -> None:
    assert api.create_repo(CATS).repo_id == CATS
    assert api.create_repo("dogs", private=True).repo_id == "zoo/dogs"
    assert api.model_info(CATS).sha == hub.commits(CATS)[0].id
    assert not api.model_info(CATS).private
    assert api.model_info("zoo/dogs").private


def test_a_repository_is_created_once(hub: LoopbackHub, api: HfApi) -> None:
    first = api.create_repo(CATS)
    assert api.create_repo(CATS, exist_ok=True) == first
    with pytest.raises(HfHubHTTPError, match="already created") as again:
        api.create_repo(CATS)
    assert status_of(again) == 409
    assert len(hub.commits(CATS)) == 1


def test_only_the_owner_changes_anything(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES)
    for token, status in ((hub.visitor_token, 403), (False, 401)):
        for change in (
            lambda token: api.create_repo("zoo/dogs", token=token),
            lambda token: api.create_tag(CATS, tag="v1", token=token),
            lambda token: api.delete_repo(CATS, token=token),
            lambda token: commit(api, {"config.json": b"{}"}, token=token),
        ):
            with pytest.raises(HfHubHTTPError) as refused:
                change(token)
            assert status_of(refused) == status
    assert list(hub.repos) == [CATS]
    assert len(hub.commits(CATS)) == 1
    assert not hub.repos[CATS].refs


def test_a_deleted_repository_is_gone(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES)
    api.delete_repo(CATS)
    assert not api.repo_exists(CATS)
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo(CATS)


def test_a_private_repository_does_not_exist_for_others(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES, private=True)
    assert api.model_info(CATS).private
    for token, status in ((hub.visitor_token, 404), (False, 401)):
        for repo in (CATS, "zoo/none"):
            with pytest.raises(RepositoryNotFoundError) as hidden:
                api.model_info(repo, token=token)
            assert status_of(hidden) == status
        with pytest.raises(RepositoryNotFoundError):
            hf_hub_download(CATS, "config.json", token=token)
    assert Path(hf_hub_download(CATS, "config.json", token=hub.token)).read_bytes() == FILES["config.json"]


def test_a_gated_repository_shows_itself_and_not_its_files(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES, gated=True)
    for token, status in ((hub.visitor_token, 403), (False, 401)):
        assert api.model_info(CATS, token=token).gated == "manual"
        with pytest.raises(GatedRepoError) as refused:
            hf_hub_download(CATS, "config.json", token=token)
        assert status_of(refused) == status
        with pytest.raises(GatedRepoError):
            api.auth_check(CATS, token=token)
    api.auth_check(CATS)


# Uploads


def test_a_card_is_validated_before_anything_is_uploaded(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES)
    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
        commit(api, {"README.md": b"---\ntags: [\n---\n", "model.safetensors": b"new"})
    assert [str(request) for request in hub.requests] == ["POST /api/validate-yaml"]
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        commit(api, {"README.md": b"# Cats\n"})


def test_a_commit_holds_regular_and_large_files(hub: LoopbackHub, api: HfApi) -> None:
    api.create_repo(CATS)
    made = commit(api, FILES)
    assert {path: hub.read(CATS, path) for path in FILES} == FILES
    assert hub.commits(CATS)[0].id == made
    info = api.model_info(CATS, files_metadata=True)
    assert info.sha == made
    assert info.card_data is not None
    assert info.card_data.license == "mit"
    assert info.tags == ["zoo", "license:mit", "zoo-model"]
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or []}
    large, regular = siblings["model.safetensors"], siblings["config.json"]
    assert large.size == len(WEIGHTS)
    assert large.lfs is not None
    assert large.lfs.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert regular.lfs is None
    assert regular.blob_id == hashlib.sha1(b"blob 13\0" + FILES["config.json"]).hexdigest()


def test_a_large_file_goes_to_the_other_address_without_the_token(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, {})
    commit(api, {"model.safetensors": WEIGHTS})
    hf_hub_download(CATS, "model.safetensors", token=hub.token)
    content = [request for request in hub.requests if request.host == "content"]
    assert [(request.method, request.received, request.sent) for request in content] == [("PUT", len(WEIGHTS), 0), ("GET", 0, len(WEIGHTS))]
    assert not any(request.authorized for request in content)
    assert all(request.authorized for request in hub.requests if request.host == "hub")


def test_which_files_are_large(hub: LoopbackHub) -> None:
    assert is_lfs("model.safetensors", 1)
    assert is_lfs("samples/cats.png", 1)
    assert is_lfs("data.bin", 10_000_001)
    assert not is_lfs("data.bin", 10_000_000)
    assert not is_lfs("model.safetensors", 0)


def test_files_and_folders_are_deleted(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, {"a": b"1", "b/c": b"2", "b/d": b"3", "e": b"4"})
    api.create_commit(CATS, [CommitOperationDelete("a"), CommitOperationDelete("b/")], commit_message="less")
    assert list(hub.commits(CATS)[0].files) == ["e"]
    with pytest.raises(EntryNotFoundError):
        api.delete_file("none", CATS)


def test_the_same_content_again_makes_no_commit_and_sends_no_large_file(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES)
    before = hub.commits(CATS)
    assert commit(api, FILES) == before[0].id
    assert hub.commits(CATS) == before
    hub.add_repo("zoo/copy", {})
    api.create_commit("zoo/copy", [CommitOperationAdd("other.safetensors", WEIGHTS)], commit_message="the same weights")
    assert hub.read("zoo/copy", "other.safetensors") == WEIGHTS
    assert not asked(hub, "PUT")


def test_a_stale_parent_is_refused(hub: LoopbackHub, api: HfApi) -> None:
    first = hub.add_repo(CATS, FILES)
    second = commit(api, {"config.json": b"2"}, parent_commit=first)
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as stale:
        commit(api, {"config.json": b"3"}, parent_commit=first)
    assert status_of(stale) == 412
    assert hub.read(CATS, "config.json") == b"2"
    commit(api, {"config.json": b"3"}, parent_commit=second[:7])
    assert hub.read(CATS, "config.json") == b"3"


def test_of_two_commits_at_once_one_is_stale(hub: LoopbackHub, api: HfApi) -> None:
    first = hub.add_repo(CATS, FILES)

    def publish(name: str) -> int:
        try:
            commit(api, {"config.json": name.encode()}, parent_commit=first)
        except HfHubHTTPError as error:
            return error.response.status_code
        return 200

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(publish, "ab")) == [200, 412]
    assert len(hub.commits(CATS)) == 2


def test_commit_ids_depend_on_content_parent_and_message_alone() -> None:
    ids = []
    for _ in range(2):
        with loopback_hub() as hub:
            ids.append((hub.add_repo(CATS, FILES), hub.commit(CATS, {"config.json": b"2"}), hub.commits(CATS)[0].date))
    assert ids[0] == ids[1]


def test_a_large_object_is_what_its_address_says(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, {})
    oid = hashlib.sha256(WEIGHTS).hexdigest()
    refused = get_session().put(f"{hub.content_endpoint}/lfs/{oid}", content=b"others")
    assert refused.status_code == 400
    commit(api, {"model.safetensors": WEIGHTS})
    assert hub.read(CATS, "model.safetensors") == WEIGHTS


def test_an_upload_to_a_server_without_xet_needs_the_lfs_path(hub: LoopbackHub, tmp_path: Path) -> None:
    pytest.importorskip("hf_xet")
    hub.add_repo(CATS, {})
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    source = f"""
from huggingface_hub import HfApi
path = {str(tmp_path / "model.safetensors")!r}
try:
    HfApi().upload_file(path_or_fileobj=path, path_in_repo="by-path.safetensors", repo_id="{CATS}")
except ConnectionError as error:
    print(type(error).__name__)
with open(path, "rb") as file:
    HfApi().upload_file(path_or_fileobj=file, path_in_repo="by-file.safetensors", repo_id="{CATS}")
"""
    done = run(hub, tmp_path / "home", source, HF_HUB_DISABLE_XET=None)
    assert done.stdout.splitlines() == ["ConnectionError"], done.stderr
    assert list(hub.commits(CATS)[0].files) == ["by-file.safetensors"]


# Revisions and lists


def test_tags_and_commits_keep_what_main_has_left(hub: LoopbackHub, api: HfApi) -> None:
    first = hub.add_repo(CATS, FILES)
    api.create_tag(CATS, tag="v1.0")
    second = hub.commit(CATS, {"config.json": b"2", "model.safetensors": b"3"})
    for revision, commit, files in (("v1.0", first, FILES), (first, first, FILES), ("main", second, {"config.json": b"2"})):
        assert api.model_info(CATS, revision=revision).sha == commit
        for name in ("config.json", "model.safetensors"):
            path = Path(hf_hub_download(CATS, name, revision=revision))
            assert path.read_bytes() == files.get(name, b"3")
            assert path.parent.name == commit
    with pytest.raises(RevisionNotFoundError):
        api.model_info(CATS, revision="v2.0")
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download(CATS, "config.json", revision="0" * 40)


def test_a_missing_file_is_an_entry_not_found(hub: LoopbackHub) -> None:
    made = hub.add_repo(CATS, FILES)
    with pytest.raises(RemoteEntryNotFoundError) as missing:
        hf_hub_download(CATS, "none.json")
    assert missing.value.response.headers["X-Repo-Commit"] == made


def test_a_tag_is_made_once_and_deleted_once(hub: LoopbackHub, api: HfApi) -> None:
    first = hub.add_repo(CATS, FILES)
    api.create_tag(CATS, tag="v1/first")
    hub.commit(CATS, {"config.json": b"2"})
    with pytest.raises(HfHubHTTPError, match="already exists") as again:
        api.create_tag(CATS, tag="v1/first")
    assert status_of(again) == 409
    api.create_tag(CATS, tag="v1/first", exist_ok=True)
    assert [(tag.name, tag.target_commit) for tag in api.list_repo_refs(CATS).tags] == [("v1/first", first)]
    assert api.model_info(CATS, revision="v1/first").sha == first
    api.delete_tag(CATS, tag="v1/first")
    with pytest.raises(RevisionNotFoundError):
        api.delete_tag(CATS, tag="v1/first")


def test_history_is_the_newest_first(hub: LoopbackHub, api: HfApi) -> None:
    first = hub.add_repo(CATS, FILES)
    second = commit(api, {"config.json": b"2"}, commit_description="why")
    history = api.list_repo_commits(CATS)
    assert [(commit.commit_id, commit.title, commit.message) for commit in history] == [
        (second, "a commit", "why"),
        (first, "initial commit", ""),
    ]
    assert [commit.commit_id for commit in api.list_repo_commits(CATS, revision=first)] == [first]
    assert api.list_repo_refs(CATS).branches[0].target_commit == second


def test_models_are_found_by_tag_author_and_search(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES)
    hub.add_repo("other/dogs", {}, tags=["zoo-model"])
    hub.add_repo("other/cats", {}, private=True, tags=["zoo-model"])

    def found(**arguments: Any) -> list[str]:
        return [model.id for model in api.list_models(**arguments)]

    assert found() == [CATS, "other/dogs", "other/cats"]
    assert found(filter="zoo-model", token=False) == [CATS, "other/dogs"]
    assert found(filter=["zoo-model", "license:mit"]) == [CATS]
    assert found(author="other", sort="last_modified") == ["other/cats", "other/dogs"]
    assert found(search="CAT") == [CATS, "other/cats"]
    assert found(limit=1) == [CATS]


def test_trees_and_lists_come_in_pages(paged: LoopbackHub, tmp_path: Path) -> None:
    api = HfApi(endpoint=paged.endpoint, token=paged.token)
    files = {f"folder/{name}/{name}.json": name.encode() for name in "abc"} | {"d.png": b"d"}
    paged.add_repo(CATS, files)
    assert [entry.path for entry in api.list_repo_tree(CATS, recursive=True)] == [
        "folder",
        "folder/a",
        "folder/b",
        "folder/c",
        "d.png",
        "folder/a/a.json",
        "folder/b/b.json",
        "folder/c/c.json",
    ]
    assert len(asked(paged, "GET")) == 4
    assert [entry.path for entry in api.list_repo_tree(CATS)] == ["folder", "d.png"]
    assert [entry.path for entry in api.list_repo_tree(CATS, "folder")] == ["folder/a", "folder/b", "folder/c"]
    with pytest.raises(EntryNotFoundError):
        list(api.list_repo_tree(CATS, "none"))
    folder = Path(snapshot_download(CATS, endpoint=paged.endpoint, token=paged.token, cache_dir=tmp_path))
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == files
    for name in "abc":
        paged.add_repo(f"zoo/{name}", {})
    assert len(list(api.list_models(author="zoo"))) == 4


def test_paths_info_tells_files_from_folders(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, {"a/b.json": b"{}", "c.safetensors": WEIGHTS})
    info = {entry.path: entry for entry in api.get_paths_info(CATS, ["a", "a/b.json", "c.safetensors", "none"])}
    assert [type(entry).__name__ for entry in info.values()] == ["RepoFile", "RepoFile", "RepoFolder"]
    assert getattr(info["c.safetensors"], "lfs").sha256 == hashlib.sha256(WEIGHTS).hexdigest()  # noqa: B009  # a folder has none


# Downloads


def test_a_snapshot_is_the_whole_repository(hub: LoopbackHub) -> None:
    made = hub.add_repo(CATS, {**FILES, "samples/a b.png": b"png", "empty": b""})
    folder = Path(snapshot_download(CATS))
    assert folder.name == made
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == set(hub.commits(CATS)[0].files)
    assert (folder / "samples/a b.png").read_bytes() == b"png"


def test_blobs_are_named_by_git_and_by_sha256(hub: LoopbackHub) -> None:
    hub.add_repo(CATS, FILES)
    names = {name: Path(hf_hub_download(CATS, name)).resolve().name for name in ("config.json", "model.safetensors")}
    assert names["config.json"] == make_blob(FILES["config.json"], lfs=False).oid
    assert names["model.safetensors"] == hashlib.sha256(WEIGHTS).hexdigest()


def test_a_download_resumes_where_it_stopped(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.add_repo(CATS, FILES)
    with (tmp_path / "part").open("w+b") as file:
        file.write(WEIGHTS[:1000])
        http_get(hf_hub_url(CATS, "model.safetensors", endpoint=hub.endpoint), file, resume_size=1000, expected_size=len(WEIGHTS))
    assert (tmp_path / "part").read_bytes() == WEIGHTS
    assert [(request.range, request.status, request.sent) for request in hub.requests if request.host == "content"] == [
        ("bytes=1000-", 206, len(WEIGHTS) - 1000)
    ]


@pytest.mark.parametrize(
    ("asked_range", "status", "part"),
    [
        ("bytes=0-9", 206, WEIGHTS[:10]),
        ("bytes=4090-9999", 206, WEIGHTS[4090:]),
        ("bytes=-6", 206, WEIGHTS[-6:]),
        ("bytes=4096-", 416, b""),
        ("nonsense", 200, WEIGHTS),
    ],
)
def test_ranges(hub: LoopbackHub, asked_range: str, status: int, part: bytes) -> None:
    hub.add_repo(CATS, {"weights.bin": WEIGHTS})
    answer = get_session().get(f"{hub.endpoint}/{CATS}/resolve/main/weights.bin", headers={"Range": asked_range})
    assert (answer.status_code, answer.content) == (status, part)


def test_sixteen_downloads_at_once(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.add_repo(CATS, FILES)

    def download(index: int) -> bytes:
        return Path(hf_hub_download(CATS, "model.safetensors", cache_dir=tmp_path / str(index))).read_bytes()

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(download, range(16))) == [WEIGHTS] * 16
    assert sum(request.sent for request in hub.requests) == 16 * len(WEIGHTS)


# Faults


def test_a_status_keeps_the_request_from_the_hub(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES)
    with hub.fault("POST .*/commit/", status=500, body=b'{"error": "on fire"}', headers={"X-Request-Id": "7"}, times=1) as fault:
        with pytest.raises(HfHubHTTPError, match="on fire") as failed:
            commit(api, {"config.json": b"2"})
        assert (status_of(failed), failed.value.request_id) == (500, "7")
        assert fault.hits == 1
        assert hub.read(CATS, "config.json") == FILES["config.json"]
        commit(api, {"config.json": b"2"})
    assert hub.read(CATS, "config.json") == b"2"


def test_a_truncated_answer_to_a_commit_that_was_made(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES)
    with hub.fault("POST .*/commit/", truncate=0), pytest.raises(httpx2.RemoteProtocolError):
        commit(api, {"config.json": b"2"})
    assert hub.read(CATS, "config.json") == b"2"


def test_a_truncated_download_is_tried_again(hub: LoopbackHub) -> None:
    hub.add_repo(CATS, FILES)
    with hub.fault("GET .*/model.safetensors", truncate=1000, times=1) as fault:
        assert Path(hf_hub_download(CATS, "model.safetensors")).read_bytes() == WEIGHTS
    assert fault.hits == 1
    assert [request.sent for request in asked(hub, "GET")] == [1000, len(WEIGHTS)]


@pytest.mark.parametrize("what", [{"reset": True}, {"reset": True, "truncate": 1000}], ids=["at once", "midway"])
def test_a_reset_connection(hub: LoopbackHub, what: dict[str, Any]) -> None:
    hub.add_repo(CATS, FILES)
    with hub.fault("GET .*/model.safetensors", **what), pytest.raises(httpx2.ReadError):
        hf_hub_download(CATS, "model.safetensors")
    with hub.fault("HEAD", reset=True), pytest.raises(httpx2.ReadError):
        hf_hub_download(CATS, "config.json")


def test_the_client_accepts_a_flipped_bit_and_keeps_it(hub: LoopbackHub) -> None:
    hub.add_repo(CATS, FILES)
    with hub.fault("model.safetensors", flip=-1):
        path = Path(hf_hub_download(CATS, "model.safetensors"))
    flipped = path.read_bytes()
    assert flipped == WEIGHTS[:-1] + bytes([WEIGHTS[-1] ^ 1])
    assert Path(hf_hub_download(CATS, "model.safetensors")).read_bytes() == flipped


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_short_body_is_noticed_only_by_a_size_told_before(hub: LoopbackHub, name: str) -> None:
    hub.add_repo(CATS, FILES)
    with hub.fault(f"GET .*/{name}", short=5), pytest.raises(OSError, match="Consistency check failed"):
        hf_hub_download(CATS, name)
    with hub.fault(name, short=5):
        assert Path(hf_hub_download(CATS, name)).read_bytes() == FILES[name][:5]


def test_a_longer_body_is_read_to_its_end(hub: LoopbackHub) -> None:
    hub.add_repo(CATS, FILES)
    with hub.fault("GET .*/model.safetensors", extra=7), pytest.raises(OSError, match=f"but has size {len(WEIGHTS) + 7}"):
        hf_hub_download(CATS, "model.safetensors")


def test_a_delayed_answer_waits_for_its_event(hub: LoopbackHub) -> None:
    hub.add_repo(CATS, FILES)
    go = threading.Event()
    with hub.fault("HEAD", delay=go), ThreadPoolExecutor(1) as pool:
        with pytest.raises(httpx2.ReadTimeout):
            get_hf_file_metadata(hf_hub_url(CATS, "config.json"), timeout=0.05)
        download = pool.submit(hf_hub_download, CATS, "config.json")
        go.set()
        assert Path(download.result(10)).read_bytes() == FILES["config.json"]


def test_headers_are_replaced_added_and_removed(hub: LoopbackHub) -> None:
    hub.add_repo(CATS, FILES)
    url = hf_hub_url(CATS, "config.json", endpoint=hub.endpoint)
    with hub.fault("HEAD", headers={"etag": '"../../evil"', "X-Repo-Commit": "../main", "X-Xet-Hash": "0" * 64}):
        metadata = get_hf_file_metadata(url)
        assert (metadata.etag, metadata.commit_hash) == ("../../evil", "../main")
    with hub.fault("HEAD", headers={"X-Repo-Commit": None}), pytest.raises(LocalEntryNotFoundError, match="X-Repo-Commit"):
        hf_hub_download(CATS, "config.json")


def test_a_body_is_rewritten(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES)

    def hostile(body: bytes) -> bytes:
        return json.dumps({**json.loads(body), "siblings": [{"rfilename": "/etc/\0\x1b[2J"}]}).encode()

    with hub.fault("GET /api/models/", rewrite=hostile):
        assert [sibling.rfilename for sibling in api.model_info(CATS).siblings or []] == ["/etc/\0\x1b[2J"]


@pytest.mark.parametrize("name", ["../evil", "{tmp}/evil", "a/../../evil", "evil\0"])
def test_hostile_names_reach_the_client(hub: LoopbackHub, api: HfApi, tmp_path: Path, name: str) -> None:
    name = name.format(tmp=tmp_path)
    hub.add_repo(CATS, {name: b"evil"})
    assert [entry.path for entry in api.list_repo_tree(CATS, recursive=True) if hasattr(entry, "blob_id")] == [name]
    with pytest.raises((ValueError, EntryNotFoundError)):
        snapshot_download(CATS, cache_dir=tmp_path / "deep" / "cache")
    assert not list(tmp_path.rglob("*evil*"))


def test_the_last_fault_that_matches_strikes(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES)

    def authorized(request: Request) -> bool:
        return request.authorized

    with hub.fault(authorized, status=418) as outer, hub.fault("/nothing/like/it", status=507) as inner:
        with pytest.raises(HfHubHTTPError) as teapot:
            api.model_info(CATS)
        assert status_of(teapot) == 418
        api.model_info(CATS, token=False)
    assert (outer.hits, inner.hits) == (1, 0)
    api.model_info(CATS)


def test_a_client_killed_within_an_upload_leaves_the_old_repository(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.add_repo(CATS, FILES)
    before = hub.commits(CATS)
    source = f"""
import os, sys
from huggingface_hub import CommitOperationAdd, HfApi
files = [CommitOperationAdd("model.safetensors", b"new"), CommitOperationAdd("config.json", b"new")]
print(os.getpid(), flush=True)
HfApi().create_commit("{CATS}", files, commit_message="new")
"""
    where = {**os.environ, **hub.environment(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", source], env=where, stdout=subprocess.PIPE) as client:

        def kill(request: Request) -> None:
            client.kill()
            client.wait()

        with hub.fault("PUT /lfs/", on_request=kill) as fault:
            client.communicate(timeout=60)
    assert fault.hits == 1
    assert hub.commits(CATS) == before


def test_what_a_hook_raises_is_not_lost() -> None:
    def broken(request: Request) -> None:
        raise KeyError("in a hook")

    def ask() -> None:
        with loopback_hub() as hub, hub.fault("", on_request=broken), pytest.raises(httpx2.RemoteProtocolError):
            HfApi(endpoint=hub.endpoint, token=False).model_info(CATS)

    with pytest.raises(ExceptionGroup) as raised:
        ask()
    assert raised.group_contains(KeyError, match="in a hook")


# The Hub itself


def test_the_log_says_what_was_asked(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES)
    api.model_info(CATS, files_metadata=True)
    with pytest.raises(RepositoryNotFoundError):
        api.model_info("zoo/none", token=False)
    first, second = hub.requests
    assert (first.method, first.path, first.status, first.authorized) == ("GET", f"/api/models/{CATS}", 200, True)
    assert dict(first.query) == {"blobs": ["true"]}
    assert first.received == 0 < first.sent
    assert (second.path, second.status, second.authorized) == ("/api/models/zoo/none", 401, False)
    assert hub.token not in repr(hub.requests)


def test_what_is_not_served_says_so(hub: LoopbackHub, api: HfApi) -> None:
    with pytest.raises(HfHubHTTPError, match="the loopback Hub does not serve GET /api/datasets/zoo/cats"):
        api.dataset_info(CATS)


def test_a_client_process_finds_the_hub_and_offline_asks_nothing(hub: LoopbackHub, tmp_path: Path) -> None:
    hub.add_repo(CATS, FILES, private=True)
    source = f"from huggingface_hub import hf_hub_download; print(hf_hub_download('{CATS}', 'config.json'))"
    offline = run(hub, tmp_path, source, HF_HUB_OFFLINE="1")
    assert "LocalEntryNotFoundError" in offline.stderr
    assert not asked(hub, "HEAD") + asked(hub, "GET")
    online = run(hub, tmp_path, source)
    assert Path(online.stdout.strip()).read_bytes() == FILES["config.json"], online.stderr
    assert Path(online.stdout.strip()).is_relative_to(tmp_path)
    assert [request.method for request in hub.requests] == ["HEAD", "GET"]
    assert run(hub, tmp_path, source, HF_HUB_OFFLINE="1").stdout == online.stdout
    assert len(hub.requests) == 2


def test_the_fixture_gives_the_client_what_a_fresh_process_has(hub: LoopbackHub) -> None:
    source = (
        "import json; from huggingface_hub import constants\n"
        "print(json.dumps({name: value for name, value in vars(constants).items() if name.isupper() and isinstance(value, str | int)}))"
    )
    here = {name: value for name, value in vars(constants).items() if name.isupper() and isinstance(value, str | int)}
    fresh = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(fresh.stdout) == here
    assert hub.endpoint == constants.ENDPOINT


def test_nothing_is_left_afterwards() -> None:
    before = threading.enumerate()
    with ThreadPoolExecutor(1) as pool, httpx2.Client(trust_env=False) as idle, httpx2.Client(trust_env=False) as waiting:
        with loopback_hub() as hub, hub.fault("GET /waits", delay=threading.Event()) as fault:
            assert idle.get(hub.endpoint).status_code == 404
            answer = pool.submit(waiting.get, f"{hub.endpoint}/waits", timeout=None)
            _until(lambda: fault.hits == 1)
        assert wait([answer], 10).done
    assert set(threading.enumerate()) <= set(before)
    for endpoint in (hub.endpoint, hub.content_endpoint):
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(endpoint, trust_env=False)


def _until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(1000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("it never happened")


def test_the_kit_imports_no_client(tmp_path: Path) -> None:
    source = "import sys, zoo_core.testing; print({'pytest', 'huggingface_hub'} & set(sys.modules)); import zoo_core.testing.hub"
    source += "; print({'huggingface_hub', 'torch', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["set()", "set()"]
