"""Uploads to the loopback Hub and downloads from it, by the real client."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    get_session,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
)
from huggingface_hub.file_download import http_get

from zoo_core.testing.hub import LoopbackHub, Request, loopback_hub
from zoo_core.testing.hub.store import is_lfs, make_blob

pytest_plugins = ["zoo_core.testing.hub"]

CARD = b"---\nlibrary_name: zoo\nlicense: mit\ntags:\n- zoo-model\n---\n# Cats\n"
WEIGHTS = bytes(range(256)) * 16
FILES = {"README.md": CARD, "config.json": b'{"format": 1}', "model.safetensors": WEIGHTS}
CATS = "zoo/cats"


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


# Uploads


def test_a_card_is_validated_before_anything_is_uploaded(hub: LoopbackHub, api: HfApi, commit: Callable[..., str]) -> None:
    hub.add_repo(CATS, FILES)
    with pytest.raises(ValueError, match=r"Invalid metadata in README\.md"):
        commit({"README.md": b"---\ntags: [\n---\n", "model.safetensors": b"new"})
    assert [str(request) for request in hub.requests] == ["POST /api/validate-yaml"]
    with pytest.warns(UserWarning, match="empty or missing yaml metadata"):
        commit({"README.md": b"# Cats\n"})


def test_a_commit_holds_regular_and_large_files(hub: LoopbackHub, api: HfApi, commit: Callable[..., str]) -> None:
    api.create_repo(CATS)
    made = commit(FILES)
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


def test_a_large_file_goes_to_the_other_address_without_the_token(hub: LoopbackHub, api: HfApi, commit: Callable[..., str]) -> None:
    hub.add_repo(CATS, {})
    commit({"model.safetensors": WEIGHTS})
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


def test_the_same_content_again_makes_no_commit_and_sends_no_large_file(hub: LoopbackHub, api: HfApi, commit: Callable[..., str]) -> None:
    hub.add_repo(CATS, FILES)
    before = hub.commits(CATS)
    assert commit(FILES) == before[0].id
    assert hub.commits(CATS) == before
    hub.add_repo("zoo/copy", {})
    api.create_commit("zoo/copy", [CommitOperationAdd("other.safetensors", WEIGHTS)], commit_message="the same weights")
    assert hub.read("zoo/copy", "other.safetensors") == WEIGHTS
    assert not asked(hub, "PUT")


def test_a_stale_parent_is_refused(hub: LoopbackHub, api: HfApi, commit: Callable[..., str]) -> None:
    first = hub.add_repo(CATS, FILES)
    second = commit({"config.json": b"2"}, parent_commit=first)
    with pytest.raises(HfHubHTTPError, match="A commit has happened since") as stale:
        commit({"config.json": b"3"}, parent_commit=first)
    assert status_of(stale) == 412
    assert hub.read(CATS, "config.json") == b"2"
    commit({"config.json": b"3"}, parent_commit=second[:7])
    assert hub.read(CATS, "config.json") == b"3"


def test_of_two_commits_at_once_one_is_stale(hub: LoopbackHub, api: HfApi, commit: Callable[..., str]) -> None:
    first = hub.add_repo(CATS, FILES)

    def publish(name: str) -> int:
        try:
            commit({"config.json": name.encode()}, parent_commit=first)
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


def test_a_large_object_is_what_its_address_says(hub: LoopbackHub, api: HfApi, commit: Callable[..., str]) -> None:
    hub.add_repo(CATS, {})
    oid = hashlib.sha256(WEIGHTS).hexdigest()
    refused = get_session().put(f"{hub.content_endpoint}/lfs/{oid}", content=b"others")
    assert refused.status_code == 400
    commit({"model.safetensors": WEIGHTS})
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
