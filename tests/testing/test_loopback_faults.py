"""Faults of the loopback Hub: each reaches the real client as it is."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import (
    HfApi,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
)

from zoo_core.testing.hub import LoopbackHub, Request, loopback_hub

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


# Faults


def test_a_status_keeps_the_request_from_the_hub(hub: LoopbackHub, api: HfApi, commit: Callable[..., str]) -> None:
    hub.add_repo(CATS, FILES)
    with hub.fault("POST .*/commit/", status=500, body=b'{"error": "on fire"}', headers={"X-Request-Id": "7"}, times=1) as fault:
        with pytest.raises(HfHubHTTPError, match="on fire") as failed:
            commit({"config.json": b"2"})
        assert (status_of(failed), failed.value.request_id) == (500, "7")
        assert fault.hits == 1
        assert hub.read(CATS, "config.json") == FILES["config.json"]
        commit({"config.json": b"2"})
    assert hub.read(CATS, "config.json") == b"2"


def test_a_truncated_answer_to_a_commit_that_was_made(hub: LoopbackHub, api: HfApi, commit: Callable[..., str]) -> None:
    hub.add_repo(CATS, FILES)
    with hub.fault("POST .*/commit/", truncate=0), pytest.raises(httpx2.RemoteProtocolError):
        commit({"config.json": b"2"})
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
