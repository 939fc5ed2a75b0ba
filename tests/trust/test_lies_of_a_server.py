"""What ``zoo pull`` prints, and its exit code, for each lie of a server about a signed repository: one line each, no two the same."""

import re
from collections.abc import Callable

import pytest

from zoo_core.cli import main
from zoo_core.testing.hub import LoopbackHub

from .helpers import CAT, WEIGHTS, Author, commit_of, contents, later, serve

pytest_plugins = ["zoo_core.testing.hub"]
pytest.importorskip("cryptography")


class Scene:
    """A user who has version 1, an author who released version 2, and the server, which may have shown it to the user or not."""

    def __init__(self, author: Author, hub: LoopbackHub, patch: pytest.MonkeyPatch) -> None:
        self.author, self.hub, self.patch = author, hub, patch
        author.release(hub, 1)
        commit_of()
        self.old = contents(hub)
        author.release(hub, 2)
        self.new = contents(hub)

    def replays_an_old_commit(self) -> None:
        commit_of()
        self.hub.repos[CAT].commits.pop()

    def replays_old_files_in_a_new_commit(self) -> None:
        commit_of()
        serve(self.hub, self.old)

    def freezes(self) -> None:
        self.hub.repos[CAT].commits.pop()
        later(self.patch, 181)

    def serves_an_expired_index_at_the_first_fetch(self) -> None:
        self.author.release(self.hub, 1, repo="zoo/late", days=1)
        later(self.patch, 2)

    def mixes_weights_of_two_commits(self) -> None:
        serve(self.hub, {**self.new, WEIGHTS: self.old[WEIGHTS]})

    def mixes_a_small_file_of_two_commits(self) -> None:
        serve(self.hub, {**self.new, "training.json": self.old["training.json"]})

    def mixes_signatures_of_two_commits(self) -> None:
        serve(self.hub, {**self.new, "model.sig": self.old["model.sig"]})

    def leaves_a_signed_file_out(self) -> None:
        serve(self.hub, {name: data for name, data in self.new.items() if name != "training.json"})

    def signs_with_another_key(self) -> None:
        thief = Author(self.author.folder / "thief")
        thief.list_keys("release")
        serve(self.hub, thief.sign(3))

    def strips_the_signature(self) -> None:
        serve(self.hub, {name: data for name, data in self.new.items() if not name.endswith(".sig")})

    def strips_the_index(self) -> None:
        serve(self.hub, {name: data for name, data in self.new.items() if name != "index.sig"})

    def serves_another_repository(self) -> None:
        self.author.release(self.hub, 9, repo="zoo/dog")
        serve(self.hub, contents(self.hub, "zoo/dog"))

    def breaks_the_signature(self) -> None:
        serve(self.hub, {**self.new, "model.sig": b"{}"})


LIES: dict[Callable[[Scene], None], tuple[int, str]] = {
    Scene.replays_an_old_commit: (6, "main of zoo/cat on HOST went back to an older commit: "),
    Scene.replays_old_files_in_a_new_commit: (6, "zoo/cat went back to serial 1, and serial 2 was seen here"),
    Scene.freezes: (6, "the index of zoo/cat (serial 1) expired on "),
    Scene.serves_an_expired_index_at_the_first_fetch: (6, "the index of zoo/late (serial 1) expired on "),
    Scene.mixes_weights_of_two_commits: (5, "model.safetensors of zoo/cat at COMMIT is not the one that its author signed"),
    Scene.mixes_a_small_file_of_two_commits: (5, "training.json of zoo/cat at COMMIT is not the one that its author signed"),
    Scene.mixes_signatures_of_two_commits: (5, "model.sig of zoo/cat is that of another version than index.sig names"),
    Scene.leaves_a_signed_file_out: (5, "zoo/cat at COMMIT has no training.json, which its author signed"),
    Scene.signs_with_another_key: (6, "model.sig of zoo/cat is signed by key "),
    Scene.strips_the_signature: (6, "zoo/cat at COMMIT has no model.sig, and zoo-cats carries the keys of its author"),
    Scene.strips_the_index: (6, "zoo/cat at COMMIT has no index.sig, and zoo-cats carries the keys of its author"),
    Scene.serves_another_repository: (6, "index.sig of zoo/cat is that of zoo/dog"),
    Scene.breaks_the_signature: (6, "model.sig of zoo/cat is not a signature file: "),
}


@pytest.fixture
def scene(author: Author, hub: LoopbackHub, carried: Author, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(author, hub, monkeypatch)


def pull(capsys: pytest.CaptureFixture[str], reference: str) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as done:
        main(["pull", reference])
    told = capsys.readouterr()
    assert isinstance(done.value.code, int)
    return done.value.code, told.out, told.err


def test_the_honest_update_passes(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = pull(capsys, CAT)
    assert code == 0
    assert out.strip().endswith(scene.hub.repos[CAT].head.id)
    assert re.search(r"zoo/cat: 7 files, .*, are signed by their author; from ", err)


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_each_lie_is_refused_with_its_line_and_exit_code(
    scene: Scene, hub: LoopbackHub, capsys: pytest.CaptureFixture[str], lie: Callable[[Scene], None]
) -> None:
    code, line = LIES[lie]
    lie(scene)
    reference = "zoo/late" if "zoo/late" in line else CAT
    for _ in range(2):  # the refusal does not wear off
        was, out, err = pull(capsys, reference)
        [told] = [each for each in err.splitlines() if each.startswith("zoo: error: ")]
        commit = hub.repos[reference].head.id[:12]
        told = told.replace(hub.endpoint.partition("//")[2], "HOST").replace(commit, "COMMIT")
        assert (was, out) == (code, ""), err
        assert told.startswith(f"zoo: error: {line}")
        assert " -- " in told


def test_no_two_lies_have_one_line() -> None:
    assert len(set(LIES.values())) == len(LIES)
