"""Publishing over the work of others: merged if it can be, refused otherwise, and shown by a dry run."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo_core.errors import HubError, LoginError, UsageError
from zoo_core.hub import client
from zoo_core.publishing.changes import merge
from zoo_core.testing import fake_zoo
from zoo_core.testing.hub import LoopbackHub, loopback_hub

from .helpers import CAT, files_of, put, write_run

pytest_plugins = ["zoo_core.testing.hub"]
pytestmark = pytest.mark.usefixtures("fakes")


def edit_on_hub(hub: LoopbackHub, old: str, new: str) -> None:
    text = hub.read(CAT, "README.md").decode()
    assert old in text
    hub.commit(CAT, {"README.md": text.replace(old, new).encode()}, "Update README.md")


def test_an_edited_card_and_a_new_version_become_one_card(folder: Path, hub: LoopbackHub) -> None:
    put(folder.parent)
    title = hub.read(CAT, "README.md").decode().split("\n# ")[1].split("\n")[0]
    edit_on_hub(hub, "license: mit\n", "license: mit\nlanguage: en\n")
    card = folder / "README.md"
    card.write_text(card.read_text().rstrip() + "\n\n## Limits\n\nIt draws cats alone.\n")
    done = put(folder.parent)
    text = hub.read(CAT, "README.md").decode()
    assert "language: en" in text
    assert "It draws cats alone." in text
    assert f"# {title}" in text
    assert done.changes is not None
    assert done.changes["README.md"] == "merge"
    assert done.files["README.md"].size == len(text.encode())


def test_an_edited_card_stays_where_the_new_version_changes_the_same_lines(folder: Path, hub: LoopbackHub) -> None:
    put(folder.parent)
    card = folder / "README.md"
    line = next(line for line in card.read_text().splitlines() if line.startswith("# "))
    edit_on_hub(hub, line, "# Lions")
    card.write_text(card.read_text().replace(line, "# Tigers"))
    before = files_of(hub)
    with pytest.raises(UsageError, match=r"zoo/cat holds work of others that would be replaced: README\.md -- .*force=True"):
        put(folder.parent)
    assert files_of(hub) == before
    put(folder.parent, force=True)
    assert "# Tigers" in hub.read(CAT, "README.md").decode()


def test_a_repository_of_others_is_not_replaced(folder: Path, hub: LoopbackHub) -> None:
    theirs = {"README.md": b"---\nlicense: mit\n---\n\n# Bert\n\nA language model.\n", "config.json": b"{}", "LICENSE": b"theirs"}
    hub.add_repo(CAT, {".gitattributes": b"", **theirs})
    with pytest.raises(UsageError, match=r"work of others that would be replaced: README\.md, config\.json"):
        put(folder.parent)
    assert files_of(hub) == theirs
    put(folder.parent, force=True)
    assert files_of(hub)["LICENSE"] == b"theirs"  # nothing of ours: not deleted either


def test_another_checkpoint_is_not_replaced(folder: Path, hub: LoopbackHub, tmp_path: Path) -> None:
    put(folder.parent)
    dog = write_run(tmp_path / "runs" / "dog", "dog")
    with pytest.raises(UsageError, match="zoo/cat holds another checkpoint, cat"):
        put(dog.parent)
    put(dog.parent, force=True)
    assert hub.commits(CAT)[0].title.startswith("dog, ")


def test_weights_that_somebody_else_put_there_are_not_replaced(folder: Path, hub: LoopbackHub) -> None:
    put(folder.parent)
    hub.commit(CAT, {"model.safetensors": b"better ones"}, "Better weights")
    with pytest.raises(UsageError, match=r"model\.safetensors"):
        put(folder.parent)


def test_what_somebody_else_added_stays_and_what_the_zoo_left_is_deleted(folder: Path, hub: LoopbackHub) -> None:
    (folder / "LICENSE").write_text("ours")
    put(folder.parent)
    hub.commit(CAT, {"notes.txt": b"theirs"}, "Notes")
    (folder / "LICENSE").unlink()
    done = put(folder.parent)
    assert done.deleted == ("LICENSE",)
    assert done.kept == ("notes.txt",)
    assert "LICENSE" not in files_of(hub)


@pytest.mark.parametrize("token", [True, False])
def test_a_dry_run_tells_what_would_change_file_by_file_and_sends_nothing(
    folder: Path, hub: LoopbackHub, token: bool, monkeypatch: pytest.MonkeyPatch, zoo: Callable[..., Any]
) -> None:
    put(folder.parent)
    hub.commit(CAT, {"notes.txt": b"theirs"}, "Notes")
    (folder / "LICENSE").write_text("ours")
    before = len(hub.requests)
    if not token:
        monkeypatch.delenv("HF_TOKEN")
    with fake_zoo():
        done = zoo("publish", str(folder.parent), "--repo", CAT, "--license", "mit", "--dry-run")
    assert done.code == 0, done.err
    assert [line.split() for line in done.err.splitlines() if line.split()[0] in ("add", "keep")] == [
        ["add", "LICENSE"],
        ["keep", "notes.txt"],
    ]
    assert '"model.safetensors": "unchanged"' in done.out
    assert {request.method for request in hub.requests[before:]} == {"GET"}


def test_a_dry_run_without_the_hub_says_that_it_does_not_know(
    folder: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert put(folder.parent, dry_run=True).changes is None
    assert "the changes in zoo/cat are unknown: " in caplog.text


def test_an_error_says_that_the_new_repository_is_still_empty(folder: Path, hub: LoopbackHub) -> None:
    with (
        hub.fault("POST .*/commit/", status=403),
        pytest.raises(HubError, match="zoo/cat was made and is still empty: another run fills it"),
    ):
        put(folder.parent)
    put(folder.parent)
    assert "model.safetensors" in files_of(hub)


def test_a_page_instead_of_an_answer_is_no_reason_to_run_it_again(folder: Path, hub: LoopbackHub) -> None:
    page = {"rewrite": lambda body: b"<html>Log in</html>", "headers": {"Content-Type": "text/html"}}
    with hub.fault("GET /api/models", **page), pytest.raises(HubError, match=r"is not JSON -- is HF_ENDPOINT .* page to log in first"):
        put(folder.parent)


def test_a_token_that_cannot_be_read_is_a_login_error(folder: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise PermissionError(13, "Permission denied", os.path.join(os.environ["HF_HOME"], "token"))

    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", refuse)
    with pytest.raises(LoginError, match=r"cannot read .*token: Permission denied -- log in again"):
        put(folder.parent)


@pytest.mark.parametrize(
    ("ours", "theirs", "merged"),
    [
        ("a\nb\nc\nd\n", "a\nb\nc\nd\n", "a\nb\nc\nd\n"),
        ("A\nb\nc\nd\n", "a\nb\nc\nD\n", "A\nb\nc\nD\n"),
        ("A\nb\nc\nd\n", "A\nb\nc\nd\n", "A\nb\nc\nd\n"),
        ("a\nb\nc\nd\ne\n", "x\na\nb\nc\nd\n", "x\na\nb\nc\nd\ne\n"),
        ("b\nc\nd\n", "a\nb\nc\n", "b\nc\n"),
        ("A\nb\nc\nd\n", "B\nb\nc\nd\n", None),
        ("A\nb\nc\nd\n", "a\nB\nc\nd\n", None),
        ("a\nb\nc\nd\ne\n", "a\nb\nc\nd\nf\n", None),
    ],
)
def test_a_merge_holds_the_changes_of_both_or_is_none(ours: str, theirs: str, merged: str | None) -> None:
    assert merge("a\nb\nc\nd\n", ours, theirs) == merged
    assert merge("a\nb\nc\nd\n", theirs, ours) == merged


# A Hub that means ill


def test_the_history_is_asked_for_no_further_than_it_is_needed(folder: Path) -> None:
    with loopback_hub(page_size=1) as hub, pytest.MonkeyPatch.context() as patched:
        for name, value in hub.environment(folder / "home").items():
            patched.setenv(name, value)
        put(folder.parent)
        for number in range(4):
            hub.commit(CAT, {"notes.txt": b"%d" % number}, "a note")
        before = len(hub.requests)
        put(folder.parent)
        assert sum("/commits/" in request.path for request in hub.requests[before:]) == 5


@pytest.mark.parametrize("page", [b"[]", b'[{"id": "%s", "title": "a note"}]' % (b"0" * 40)])
def test_a_history_without_end_is_left(page: bytes, folder: Path, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_MAX_PAGES", 3)
    put(folder.parent)
    again = {"Link": f'<{hub.endpoint}/api/models/{CAT}/commits/main?p=1>; rel="next"'}
    with (
        hub.fault("GET /api/.*/commits/", rewrite=lambda body: page, headers=again, times=10) as fault,
        pytest.raises(HubError, match="about the commits of zoo/cat has no end"),
    ):
        put(folder.parent)
    assert fault.hits == 3


def test_the_next_page_of_a_history_is_at_the_same_server(folder: Path, hub: LoopbackHub) -> None:
    put(folder.parent)
    with loopback_hub() as other:
        elsewhere = {"Link": f'<{other.endpoint}/api/models/{CAT}/commits/main>; rel="next"'}
        with (
            hub.fault("GET /api/.*/commits/", rewrite=lambda body: b"[]", headers=elsewhere),
            pytest.raises(HubError, match="goes on at another server"),
        ):
            put(folder.parent)
        assert other.requests == ()


def test_a_card_on_the_hub_that_has_no_end_is_left(folder: Path, hub: LoopbackHub) -> None:
    put(folder.parent)
    edit_on_hub(hub, "# cat", "# A cat")
    (folder / "README.md").write_text((folder / "README.md").read_text() + "\nMore.\n")
    with hub.fault("GET /zoo/cat/resolve/", extra=9 << 20), pytest.raises(HubError, match=r"about README\.md of zoo/cat has no end"):
        put(folder.parent)


@pytest.mark.parametrize("lines", [100_000, 1_000_000])
def test_texts_of_many_equal_lines_are_merged_at_once_or_not_at_all(lines: int) -> None:
    base = "\n" * lines
    assert merge(base, f"a\n{base}", f"{base}b\n") == f"a\n{base}b\n"
    assert merge(base, "a\n" * 3 + "\n" * (lines // 2) + "a\n", base) is None
