"""Branches and tags that moved since they were last fetched: updates are taken, and steps back are not."""

from dataclasses import replace
from pathlib import Path

import pytest

from zoo_core.errors import IntegrityError, TrustError
from zoo_core.hub.fetch import fetch, pull
from zoo_core.testing.hub import LoopbackHub, loopback_hub

from .helpers import CATS, Contents, changed, run

pytest_plugins = ["zoo_core.testing.hub"]


def update(hub: LoopbackHub, cats: Contents, text: str = "more") -> str:
    """Commits another card, and returns the commit."""
    return hub.commit(CATS, {**cats, "README.md": cats["README.md"] + text.encode()})


@pytest.fixture
def first(hub: LoopbackHub, cats: Contents) -> str:
    """The commit that was fetched first."""
    hub.add_repo(CATS, cats)
    [files] = pull(CATS)
    assert files.hub
    return files.hub.commit


def commit_of(reference: str) -> str:
    files = fetch(reference)
    assert files.hub
    return files.hub.commit


def test_an_update_is_taken_and_told(hub: LoopbackHub, cats: Contents, first: str, caplog: pytest.LogCaptureFixture) -> None:
    update(hub, cats)
    last = update(hub, cats, "and more")
    assert commit_of(CATS) == last
    assert f"main of {CATS} moved from {first[:12]} to {last[:12]} since it was last fetched" in caplog.text
    caplog.clear()
    assert commit_of(CATS) == last
    assert caplog.text == ""


def test_a_branch_that_went_back_is_refused_until_the_user_accepts_it(hub: LoopbackHub, cats: Contents, first: str) -> None:
    second = update(hub, cats)
    assert commit_of(CATS) == second
    hub.repos[CATS].commits.pop()
    for _ in range(2):  # the refusal does not wear off
        with pytest.raises(TrustError, match=f"main of {CATS} .* went back to an older commit: {second[:12]} before, {first[:12]} now"):
            fetch(CATS)
    assert commit_of(f"{CATS}@{second}") == second  # what was there is still there
    [files] = pull(CATS, accept_move=True)
    assert files.hub
    assert files.hub.commit == first
    assert commit_of(CATS) == first


def test_a_step_back_to_a_commit_that_was_never_here_is_refused(hub: LoopbackHub, cats: Contents) -> None:
    hub.add_repo(CATS, cats)
    update(hub, cats)
    pull(CATS)
    hub.repos[CATS].commits.pop()
    with pytest.raises(TrustError, match=r"went back to an older commit|has another history now"):
        fetch(CATS)


def test_a_branch_with_another_history_is_refused(hub: LoopbackHub, cats: Contents, first: str) -> None:
    repo = hub.repos[CATS]
    repo.commits[:] = [replace(repo.head, id="f" * 40)]
    with pytest.raises(TrustError, match=f"has another history now.* -- {CATS}@{first} is what you had"):
        fetch(CATS)


def test_a_history_that_the_hub_does_not_tell_is_no_update(hub: LoopbackHub, cats: Contents, first: str) -> None:
    update(hub, cats)
    with hub.fault("/commits/", status=404), pytest.raises(TrustError, match="has another history now"):
        fetch(CATS)


def test_a_history_without_an_end_is_left_after_some_pages(commit: str, cats: Contents) -> None:
    with loopback_hub(page_size=1) as paged, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_ENDPOINT", paged.endpoint)
        paged.add_repo("zoo/long", cats)
        fetch("zoo/long")
        for number in range(30):
            paged.commit("zoo/long", {"README.md": cats["README.md"] + b"%d" % number})
        before = len(paged.requests)
        with pytest.raises(TrustError, match="has another history now"):
            fetch("zoo/long")
        assert len(paged.requests) - before < 50


def test_a_tag_that_moved_is_refused(hub: LoopbackHub, cats: Contents, first: str) -> None:
    hub.repos[CATS].refs["v1"] = first
    assert commit_of(f"{CATS}@v1") == first
    hub.repos[CATS].refs["v1"] = update(hub, cats)
    with pytest.raises(TrustError, match=r"v1 of zoo/cats .* is a tag, and moved"):
        fetch(f"{CATS}@v1")


def test_other_files_of_the_same_commit_are_refused(hub: LoopbackHub, cats: Contents, first: str) -> None:
    def replaced(siblings: list[dict[str, object]]) -> list[dict[str, object]]:
        return [{**each, "blobId": "0" * 40} if each["rfilename"] == "config.json" else each for each in siblings]

    match = f"lists another config.json of {CATS} at {first[:12]} than when it was first fetched"
    with hub.fault(f"{CATS}/revision/", rewrite=changed(siblings=replaced)), pytest.raises(IntegrityError, match=match):
        fetch(CATS)


def test_the_command_refuses_with_one_line_and_takes_the_flag(hub: LoopbackHub, cats: Contents, first: str, tmp_path: Path) -> None:
    update(hub, cats)
    pull(CATS)
    hub.repos[CATS].commits.pop()
    refused = run("pull", CATS, site=tmp_path)
    assert refused.returncode == TrustError.exit_code
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert "`zoo pull --accept-move zoo/cats@main` takes the other" in refused.stderr
    accepted = run("pull", "--accept-move", f"{CATS}@main", site=tmp_path)
    assert accepted.returncode == 0
    assert first in accepted.stdout
