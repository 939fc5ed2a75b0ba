"""The loopback Hub: the real client takes it for a Hub, with accounts, revisions and lists."""

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
    HfApi,
    close_session,
    constants,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from zoo_core.testing.hub import LoopbackHub, Request, loopback_hub

pytest_plugins = ["zoo_core.testing.hub"]

CARD = b"---\nlibrary_name: zoo\nlicense: mit\ntags:\n- zoo-model\n---\n# Cats\n"
WEIGHTS = bytes(range(256)) * 16
FILES = {"README.md": CARD, "config.json": b'{"format": 1}', "model.safetensors": WEIGHTS}
CATS = "zoo/cats"


@pytest.fixture
def paged() -> Iterator[LoopbackHub]:
    """A Hub whose lists have two entries a page."""
    with loopback_hub(page_size=2) as hub:
        yield hub
        close_session()


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


def test_only_the_owner_changes_anything(hub: LoopbackHub, api: HfApi, commit: Callable[..., str]) -> None:
    hub.add_repo(CATS, FILES)
    for token, status in ((hub.visitor_token, 403), (False, 401)):
        for change in (
            lambda token: api.create_repo("zoo/dogs", token=token),
            lambda token: api.create_tag(CATS, tag="v1", token=token),
            lambda token: api.delete_repo(CATS, token=token),
            lambda token: commit({"config.json": b"{}"}, token=token),
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


def test_history_is_the_newest_first(hub: LoopbackHub, api: HfApi, commit: Callable[..., str]) -> None:
    first = hub.add_repo(CATS, FILES)
    second = commit({"config.json": b"2"}, commit_description="why")
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
    with pytest.raises(HfHubHTTPError, match="the loopback Hub does not serve GET /api/collections/zoo/cats-1"):
        api.get_collection("zoo/cats-1")


def test_a_data_set_is_beside_the_model_of_its_name(hub: LoopbackHub, api: HfApi) -> None:
    hub.add_repo(CATS, FILES)
    commit = hub.add_repo(f"datasets/{CATS}", {"train.parquet": b"PAR1"})
    info = api.dataset_info(CATS)
    assert (info.id, info.sha, [file.rfilename for file in info.siblings or ()]) == (CATS, commit, ["train.parquet"])
    assert Path(api.hf_hub_download(CATS, "train.parquet", repo_type="dataset")).read_bytes() == b"PAR1"
    assert [model.id for model in api.list_models()] == [CATS]


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
