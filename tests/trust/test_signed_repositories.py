"""A server that lies about a signed repository is refused, each lie with its own line; what the author signed is taken."""

import sys

import pytest

from zoo_core.errors import IntegrityError, TrustError
from zoo_core.hub.fetch import fetch, pull
from zoo_core.testing.hub import LoopbackHub

from .helpers import CAT, WEIGHTS, Author, commit_of, contents, edited, later, serve, version

pytest_plugins = ["zoo_core.testing.hub"]
pytest.importorskip("cryptography")
pytestmark = pytest.mark.usefixtures("carried")


@pytest.fixture
def first(author: Author, hub: LoopbackHub, carried: Author) -> str:
    """The first signed version, which is here already."""
    author.release(hub, 1)
    return commit_of()


def test_a_signed_update_is_taken_without_a_new_package(author: Author, hub: LoopbackHub, first: str) -> None:
    second = author.release(hub, 2)
    [files] = pull(CAT)
    assert files.hub
    assert files.hub.commit == second != first
    assert {name: files.read(name) for name in version(2)} == version(2)
    old = fetch(f"{CAT}@{first}")  # by its commit
    assert {name: old.read(name) for name in version(1)} == version(1)


def test_an_old_commit_is_refused_by_the_history(author: Author, hub: LoopbackHub, first: str) -> None:
    author.release(hub, 2)
    pull(CAT)
    hub.repos[CAT].commits.pop()
    with pytest.raises(TrustError, match="went back to an older commit"):
        fetch(CAT)


def test_an_old_version_is_refused_by_its_serial_where_the_history_is_forged(author: Author, hub: LoopbackHub, first: str) -> None:
    old = contents(hub)
    author.release(hub, 2)
    second = commit_of()
    serve(hub, old)
    for _ in range(2):  # the refusal does not wear off
        with pytest.raises(TrustError, match=rf"zoo/cat went back to serial 1, and serial 2 was seen here -- zoo/cat@{second} is what"):
            fetch(CAT)
    with pytest.raises(TrustError, match="went back to serial"):
        pull(CAT, accept_move=True)
    assert commit_of(f"{CAT}@{second}") == second


def test_a_server_that_freezes_is_refused_once_the_index_has_expired(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    later(monkeypatch, 179)
    assert commit_of() == first
    later(monkeypatch, 181)
    match = rf"the index of zoo/cat \(serial \d+\) expired on .*: a newer version may be kept from you -- zoo/cat@{first} is what you had"
    with pytest.raises(TrustError, match=match):
        fetch(CAT)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(TrustError, match="expired on"):
        fetch(CAT)
    assert commit_of(f"{CAT}@{first}") == first


def test_an_expired_index_is_refused_at_the_first_fetch_before_the_weights(
    author: Author, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    author.release(hub, 1, days=1)
    later(monkeypatch, 2)
    with pytest.raises(TrustError, match=r"the index of zoo/cat .* expired on .* -- do not use it"):
        fetch(CAT)
    assert not any(WEIGHTS in str(request) and request.method == "GET" for request in hub.requests)


@pytest.mark.parametrize("name", [WEIGHTS, "training.json", "model.sig", "index.sig"])
def test_files_of_two_commits_are_refused(author: Author, hub: LoopbackHub, first: str, name: str) -> None:
    old = contents(hub)
    author.release(hub, 2)
    new = contents(hub)
    assert old[name] != new[name]
    serve(hub, {**new, name: old[name]})
    with pytest.raises((IntegrityError, TrustError)) as caught:
        fetch(CAT)
    told = {
        "model.sig": "model.sig of zoo/cat is that of another version than index.sig names",
        "index.sig": "model.sig of zoo/cat is that of another version than index.sig names",
    }.get(name, f"{name} of zoo/cat at {hub.repos[CAT].head.id[:12]} is not the one that its author signed")
    assert (caught.value.what, caught.value.exit_code) == (told, 5)


def test_a_signature_by_another_key_is_refused(author: Author, hub: LoopbackHub, first: str) -> None:
    thief = Author(author.folder / "thief")
    thief.list_keys("release")
    forged = thief.sign(2)
    serve(hub, forged)
    match = f"model.sig of zoo/cat is signed by key '{thief.public('release').id[:12]}', and the keys of zoo-cats are "
    with pytest.raises(TrustError, match=f"{match}{author.public('release').id[:12]}"):
        fetch(CAT)

    def claim(bundle: dict[str, dict[str, dict[str, str]]]) -> None:
        bundle["verificationMaterial"]["publicKey"]["hint"] = author.public("release").id

    serve(hub, {**forged, "model.sig": edited(forged["model.sig"], claim)})
    with pytest.raises(TrustError, match="its signature is not that of a key of zoo-cats, or what it signs was changed"):
        fetch(CAT)


@pytest.mark.parametrize("names", [("model.sig",), ("index.sig",), ("model.sig", "index.sig", "keys.sig")])
def test_a_removed_signature_is_refused(hub: LoopbackHub, first: str, names: tuple[str, ...]) -> None:
    serve(hub, {name: data for name, data in contents(hub).items() if name not in names})
    match = f"zoo/cat at .* has no {names[0]}, and zoo-cats carries the keys of its author -- .* its signature was removed"
    with pytest.raises(TrustError, match=match):
        fetch(CAT)


def test_a_removed_list_of_keys_does_no_harm(hub: LoopbackHub, first: str) -> None:
    second = serve(hub, {name: data for name, data in contents(hub).items() if name != "keys.sig"})
    assert commit_of() == second


def test_a_version_of_another_repository_of_the_author_is_refused(author: Author, hub: LoopbackHub, first: str) -> None:
    author.release(hub, 2, repo="zoo/dog")
    serve(hub, contents(hub, "zoo/dog"))
    with pytest.raises(TrustError, match=r"index\.sig of zoo/cat is that of zoo/dog"):
        fetch(CAT)


def test_a_missing_file_is_named_and_one_that_nobody_signed_is_left_out(
    hub: LoopbackHub, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    signed = contents(hub)
    serve(hub, {**signed, "banner.png": b"theirs", "metrics.json": b'{"metrics": []}'})
    files = fetch(CAT)
    assert set(files.names) == set(signed)
    assert "'banner.png', 'metrics.json'" in caplog.text
    serve(hub, {name: data for name, data in signed.items() if name != "training.json"})
    with pytest.raises(IntegrityError, match=r"has no training\.json, which its author signed"):
        fetch(CAT)


def test_what_another_tool_cached_is_checked_too(hub: LoopbackHub, author: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import snapshot_download

    author.release(hub, 1)
    serve(hub, {name: data for name, data in contents(hub).items() if not name.endswith(".sig")})
    snapshot_download(CAT)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(TrustError, match=r"has no model\.sig"):
        fetch(CAT)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b'{"mediaType": 1, "verificationMaterial": {}, "dsseEnvelope": {}}'])
def test_a_malformed_signature_is_refused_in_one_line(hub: LoopbackHub, first: str, data: bytes) -> None:
    serve(hub, {**contents(hub), "model.sig": data})
    with pytest.raises(TrustError, match=r"model\.sig of zoo/cat is not a signature file") as caught:
        fetch(CAT)
    assert "\n" not in str(caught.value)


def test_without_the_extra_nothing_is_passed(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    for reference in (CAT, f"{CAT}@{first}"):
        with pytest.raises(TrustError, match=r"cannot be checked: cryptography is not installed -- pip install 'zoo-core\[sign\]'"):
            fetch(reference)


def test_names_in_another_case_are_the_same_repository(hub: LoopbackHub, first: str) -> None:
    serve(hub, {name: data for name, data in contents(hub).items() if name != "model.sig"})
    hub.add_repo("Zoo/Cat", contents(hub))
    with pytest.raises(TrustError, match=r"has no model\.sig"):
        fetch("Zoo/Cat")


@pytest.mark.parametrize(
    ("repo", "near"),
    [
        ("zo0/cat", "zoo/*"),
        ("z0o/dog", "zoo/*"),
        ("zooo/cat", "zoo/*"),
        ("others/cats", "others/cat"),
        ("others/dog", ""),
        ("yoga/cat", ""),
    ],
)
def test_a_name_that_is_nearly_a_signed_one_is_warned_of(
    author: Author, hub: LoopbackHub, caplog: pytest.LogCaptureFixture, repo: str, near: str
) -> None:
    author.list_keys("release", repositories=("zoo/*", "others/cat"))
    hub.add_repo(repo, version(1))
    fetch(repo)
    told = f"{repo} is nearly {near}, for which zoo-cats carries keys; make sure which one you mean"
    assert (told in caplog.text, "is nearly" in caplog.text) == (bool(near), bool(near))


def test_a_signed_name_is_not_warned_of_though_it_is_nearly_another(
    author: Author, hub: LoopbackHub, caplog: pytest.LogCaptureFixture
) -> None:
    author.list_keys("release", repositories=("zoo/cats", "zoo/cat"))
    author.release(hub, 1)
    fetch(CAT)
    assert "is nearly" not in caplog.text


def test_a_repository_that_no_keys_are_for_is_trusted_as_before(hub: LoopbackHub, first: str) -> None:
    files = {name: data for name, data in contents(hub).items() if not name.endswith(".sig")}
    hub.add_repo("others/cat", files)
    assert set(fetch("others/cat").names) == set(files)
