"""A checkpoint is published in one commit: the repository is the old version or the complete new one."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch

import zoo_core
from zoo_core.errors import (
    HubError,
    UsageError,
)
from zoo_core.publishing import prepare, publish
from zoo_core.publishing.upload import send
from zoo_core.testing.hub import LoopbackHub, Request

from .helpers import CAT, OURS, files_of, put, weights

pytest_plugins = ["zoo_core.testing.hub"]
pytestmark = pytest.mark.usefixtures("fakes")


def test_a_checkpoint_is_published_in_one_commit(folder: Path, run: str, hub: LoopbackHub) -> None:
    done = put(run)
    assert set(files_of(hub)) == {"README.md", "config.json", "model.safetensors", "samples.png", "training.json"} == set(done.sent)
    assert all(files_of(hub)[name] == (folder / name).read_bytes() for name in done.files if name != "README.md")
    assert {name: (pin.sha256, pin.size) for name, pin in done.files.items()} == {
        name: (hashlib.sha256(data).hexdigest(), len(data)) for name, data in files_of(hub).items()
    }
    head, first = hub.commits(CAT)
    assert (head.id, head.parent) == (done.commit, first.id)
    assert not hub.repos[CAT].private
    assert done.url == f"{hub.endpoint}/{CAT}"


def test_what_was_published_is_loaded_by_its_repository(run: str, hub: LoopbackHub) -> None:
    put(run, tag="v1")
    images = zoo_core.load(f"local:{run}").sample(2, seed=0)
    assert torch.equal(zoo_core.load(CAT).sample(2, seed=0), images)
    assert torch.equal(zoo_core.load(f"{CAT}@v1").sample(2, seed=0), images)


def test_publishing_again_makes_no_commit_and_sends_no_file(run: str, hub: LoopbackHub) -> None:
    first, before, asked = put(run), hub.commits(CAT), len(hub.requests)
    again = put(run)
    assert (again.commit, again.sent, again.deleted, again.files) == (first.commit, (), (), first.files)
    assert hub.commits(CAT) == before
    assert {request.method for request in hub.requests[asked:]} == {"GET"}


def test_a_new_version_replaces_what_changed_deletes_what_is_gone_and_leaves_what_is_not_ours(
    folder: Path, run: str, hub: LoopbackHub
) -> None:
    put(run)
    hub.commit(CAT, {"LICENSE": b"old", "golden.safetensors": b"old"}, OURS)
    hub.commit(CAT, {"banner.png": b"theirs", "old.bin": b"theirs"})
    weights(lambda state: state["shift"].fill_(2.0))(folder)
    before = len(hub.commits(CAT))
    done = put(run)
    assert len(hub.commits(CAT)) == before + 1
    assert (done.sent, set(done.deleted), set(done.kept)) == (
        ("model.safetensors",),
        {"LICENSE", "golden.safetensors"},
        {"banner.png", "old.bin"},
    )
    assert set(files_of(hub)) == {*done.files, *done.kept}
    assert files_of(hub)["model.safetensors"] == (folder / "model.safetensors").read_bytes()


def test_unlisted_files_stay_at_home(folder: Path, run: str, hub: LoopbackHub) -> None:
    (folder / "notes.md").write_text("x")
    (folder / "logs").mkdir()
    (folder / "logs" / "log.txt").write_text("x")
    assert put(run).left_out == ("logs/log.txt", "notes.md")
    assert not {"notes.md", "logs/log.txt"} & set(files_of(hub))


def test_a_private_repository_is_private_or_nothing_is_sent(run: str, hub: LoopbackHub) -> None:
    put(run, private=True)
    assert hub.repos[CAT].private
    put(run)
    assert hub.repos[CAT].private
    hub.add_repo("zoo/public", {})
    with pytest.raises(UsageError, match="not private"):
        publish(run, "zoo/public", license="mit", private=True)
    assert files_of(hub, "zoo/public") == {}


def test_a_tag_names_the_version_and_stays_there(folder: Path, run: str, hub: LoopbackHub) -> None:
    first = put(run, tag="v1")
    assert hub.repos[CAT].refs == {"v1": first.commit}
    assert put(run, tag="v1").commit == first.commit
    weights(lambda state: state["shift"].fill_(2.0))(folder)
    with pytest.raises(HubError, match="tag v1 already"):
        put(run, tag="v1")
    assert hub.commits(CAT)[0].id == first.commit
    assert hub.repos[CAT].refs == {"v1": first.commit, "v2": put(run, tag="v2").commit}


# Others publish too


def test_of_two_versions_on_one_parent_one_is_refused_and_goes_through_later(folder: Path, run: str, hub: LoopbackHub) -> None:
    put(run)
    weights(lambda state: state["shift"].fill_(2.0))(folder)

    def theirs(request: Request) -> None:
        hub.commit(CAT, {"config.json": b"theirs"}, OURS)

    with hub.fault("POST .*/commit/", on_request=theirs, times=1), pytest.raises(HubError, match=r"meanwhile.*run it again"):
        put(run)
    assert files_of(hub)["config.json"] == b"theirs"
    assert files_of(hub)["model.safetensors"] != (folder / "model.safetensors").read_bytes()
    assert put(run).sent == ("config.json", "model.safetensors")


@pytest.mark.parametrize("alike", [True, False])
def test_of_two_publishers_at_once_one_wins(alike: bool, folder: Path, run: str, hub: LoopbackHub) -> None:
    put(run)
    bundles = []
    for value in (2.0, 2.0 if alike else 3.0):
        weights(lambda state, value=value: state["shift"].fill_(value))(folder)  # type: ignore[misc]
        bundles.append(prepare(run, CAT, license="mit"))
    both, before = Barrier(2), len(hub.commits(CAT))

    def outcome(bundle: Any) -> str:
        try:
            return "sent" if send(bundle).sent else "there"
        except HubError as error:
            return error.what

    with hub.fault("POST .*/commit/", on_request=lambda request: both.wait(20), times=2), ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(outcome, bundles))
    assert outcomes[0] == "sent"
    assert "meanwhile" in outcomes[1]
    assert len(hub.commits(CAT)) == before + 1
    assert files_of(hub)["model.safetensors"] in [bundle.files["model.safetensors"] for bundle in bundles]
    # Once more, one after the other: what is there makes no commit.
    again = [outcome(bundle) for bundle in bundles]
    assert again in ([["there", "there"]] if alike else [["there", "sent"], ["sent", "sent"]])


def test_the_facade_keeps_the_function() -> None:
    assert zoo_core.publish is publish
    __import__("zoo_core.publishing.upload")
    assert zoo_core.publish is publish
