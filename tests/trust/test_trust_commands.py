"""``zoo keys``, ``zoo publish --sign`` and ``zoo verify`` as programs: lines and exit codes."""

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from zoo_core.cli import doctor, main
from zoo_core.cli.group import zoo
from zoo_core.errors import IntegrityError, TrustError, UsageError, ZooError
from zoo_core.hub.fetch import pull
from zoo_core.hub.verify import verify
from zoo_core.registry import Plugin, Registry, registry, using
from zoo_core.specs import CheckpointSpec, Hub, Pin
from zoo_core.testing import environment, write_fake_plugin, write_plugin
from zoo_core.testing.hub import LoopbackHub

from .helpers import CAT, Author, contents, later, serve, shift, version

pytest_plugins = ["zoo_core.testing.hub"]
pytest.importorskip("cryptography")


def run_zoo(*args: object, site: Path) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "zoo_core.cli", *map(str, args)]
    env = {**environment(site), "ZOO_PLUGINS": "zoo-fake,zoo-cats"}
    return subprocess.run(words, env=env, capture_output=True, text=True, check=False, timeout=300)


def invoke(*args: object) -> tuple[ZooError | None, str]:
    done = CliRunner().invoke(zoo, [*map(str, args)])
    assert done.exception is None or isinstance(done.exception, ZooError), done.exception
    return done.exception, done.stdout


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A folder with the installed distributions zoo-fake and zoo-cats."""
    folder = write_fake_plugin(tmp_path / "site")
    write_plugin(folder, "zoo-cats", "", entry="cats = zoo_cats.plugin")
    (folder / "zoo_cats.py").unlink()
    (folder / "zoo_cats").mkdir()
    (folder / "zoo_cats" / "__init__.py").touch()
    (folder / "zoo_cats" / "plugin.py").touch()
    return folder


@pytest.mark.slow
def test_an_author_and_a_user_from_the_first_key_to_a_refused_forgery(
    run: Path, hub: LoopbackHub, fakes: None, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    steps = [
        ("keys", "new", "root.pem"),
        ("keys", "new", "release.pem"),
        ("keys", "sign", site / "zoo_cats", "--root", "root.pem", "--key", "release.pem.pub", "--repo", "zoo/*"),
        ("publish", f"local:{run}", "--repo", CAT, "--license", "mit", "--sign", "release.pem"),
        ("pull", CAT),
        ("verify", CAT),
    ]
    for words in steps:
        done = run_zoo(*words, site=site)
        assert done.returncode == 0, (words, done.stderr)
    assert "ok         zoo/cat signature (" in done.stdout
    serve(hub, {**contents(hub), "model.safetensors": shift(run, 2.0).joinpath("export/model.safetensors").read_bytes()})
    for words, code in ((("pull", CAT), 5), (("sample", CAT, "-n", "1", "--out", "x.png"), 5)):
        done = run_zoo(*words, site=site)
        # Beside the line of the error there may be one that says that the branch moved.
        assert (done.returncode, done.stderr.count("zoo: error: ")) == (code, 1), done.stderr
        assert done.stderr.count("\n") <= 2, done.stderr
        assert "model.safetensors of zoo/cat at" in done.stderr
    serve(hub, {name: data for name, data in contents(hub).items() if not name.endswith(".sig")})
    done = run_zoo("pull", CAT, site=site)
    assert (done.returncode, done.stdout, done.stderr.count("zoo: error: ")) == (6, "", 1), done.stderr


def test_verify_tells_the_state_of_the_signature(
    author: Author, hub: LoopbackHub, carried: Author, monkeypatch: pytest.MonkeyPatch
) -> None:
    author.release(hub, 1)
    pull(CAT)
    assert [(verdict.file, verdict.state) for verdict in verify(CAT)][-1] == ("signature", "ok")
    later(monkeypatch, 200)
    error, told = invoke("verify", CAT)
    assert isinstance(error, TrustError)
    assert "untrusted  zoo/cat signature" in told.replace("\n           ", " ")
    assert "expired on" in told
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    [verdict] = [verdict for verdict in verify(CAT) if verdict.state != "ok"]
    assert (verdict.state, verdict.why) == ("untrusted", "signatures cannot be checked: cryptography is not installed")


def test_verify_tells_a_signed_file_that_is_another_and_a_signature_that_is_unsafe_to_open(
    author: Author, hub: LoopbackHub, carried: Author
) -> None:
    author.release(hub, 1)
    [files] = pull(CAT)

    def told() -> tuple[str, str]:
        [verdict] = [verdict for verdict in verify(CAT) if verdict.file == "signature"]
        return verdict.state, verdict.why

    assert told() == ("ok", "")
    path = files.folder / "training.json"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data + b" ")
    state, why = told()
    assert state == "differs"
    assert "zoo/cat: the id of training.json is " in why
    before = len(hub.requests)
    key = author.folder / "release.pem.pub"
    assert [verdict.state for verdict in verify(CAT, key=key) if verdict.file == "signature"] == ["differs"]
    error, _ = invoke("verify", CAT)
    assert isinstance(error, IntegrityError)
    assert path.read_bytes() == data + b" "  # neither asked for anew nor replaced
    assert len(hub.requests) == before
    path.write_bytes(data)
    signature = files.folder / "model.sig"
    signature.unlink()
    signature.symlink_to("/etc/hostname")
    assert told() == ("unsafe", "model.sig of zoo/cat is a link out of its folder")


def test_verify_checks_by_a_given_key_and_says_where_none_is_known(
    author: Author, hub: LoopbackHub, carried: Author, tmp_path: Path
) -> None:
    author.release(hub, 1, repo="alone/cat")
    pull("alone/cat")
    [verdict] = [verdict for verdict in verify("alone/cat") if verdict.state != "ok"]
    assert verdict.state == "unchecked"
    assert verdict.why == "no installed plugin carries keys for alone/cat; --key FILE checks it"
    assert invoke("verify", "alone/cat")[0] is None
    key = author.folder / "release.pem.pub"
    assert {verdict.state for verdict in verify("alone/cat", key=key)} == {"ok"}
    author.make("other")
    error, _ = invoke("verify", "alone/cat", "--key", author.folder / "other.pem.pub")
    assert isinstance(error, TrustError)
    for name, data in version(1).items():
        (tmp_path / name).write_bytes(data)
    error, _ = invoke("verify", f"local:{tmp_path}", "--key", key)
    assert isinstance(error, TrustError)
    [why] = [verdict.why for verdict in verify(f"local:{tmp_path}", key=key) if verdict.state != "ok"]
    assert why == f"local:{tmp_path} has no model.sig"  # a folder that nobody signed


def test_verify_says_nothing_of_the_signature_of_what_a_package_pins(author: Author, hub: LoopbackHub, carried: Author) -> None:
    commit = author.release(hub, 1)
    pins = {name: Pin(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in version(1).items()}
    spec = CheckpointSpec(name="pinned", family="fake", files=pins, hub=Hub(repo=CAT, commit=commit))
    far = Plugin(name="far", module="far", dist="zoo-far", version="1.0", specs=(spec,))
    with using(Registry((*registry().plugins, far))):
        pull("pinned")
        assert {verdict.file: verdict.state for verdict in verify("pinned")} == dict.fromkeys(version(1), "ok")


def test_the_doctor_tells_the_keys_that_plugins_carry(author: Author, carried: Author, monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> list[tuple[str, str]]:
        return [(finding.state, finding.text) for finding in doctor._trust()]

    [(state, text)] = told()
    assert (state, text.partition(" (")[0]) == ("ok", "zoo-cats carries 1 key for zoo/*")
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    [(state, text), ok] = told()
    assert (state, ok) == ("problem", ("ok", ok[1]))
    assert text == "signatures cannot be checked: cryptography is not installed; what plugins carry keys for is refused"
    assert [finding.hint for finding in doctor._trust()] == ["pip install 'zoo-core[sign]'", ""]


def test_the_doctor_tells_a_list_of_keys_that_every_fetch_would_refuse(author: Author, carried: Author) -> None:
    def problems() -> list[str]:
        return [finding.text for finding in doctor._trust() if finding.state == "problem"]

    assert problems() == []
    root = author.package / "root.pub"
    root.write_text(author.public("another-root").pem)
    [text] = problems()
    assert text.startswith("keys.sig of zoo-cats is signed by key ")
    root.unlink()
    [text] = problems()
    assert text.startswith(f"cannot read {root}: ")
    (author.package / "keys.sig").write_text("{}")
    [text] = problems()
    assert text.startswith("keys.sig of zoo-cats is not a signature file: ")


def test_a_list_that_is_refused_leaves_no_root_key_behind(author: Author, fakes: None) -> None:
    for name in ("keys.sig", "root.pub"):
        (author.package / name).unlink()
    key, root = author.folder / "release.pem.pub", author.folder / "root.pem"
    args = ("keys", "sign", author.package, "--root")
    for words, told in (
        ((root,), "the first list needs keys and repositories"),
        ((root, "--key", key, "--repo", "*"), "--repo '*' is not ORG/NAME or ORG/*"),
        ((root, "--key", root, "--repo", "zoo/*"), "root.pem holds a private key, and a public one is needed"),
        ((key, "--key", key, "--repo", "zoo/*"), "release.pem.pub holds a public key, and a private one is needed"),
        ((author.folder / "none.pem", "--key", key, "--repo", "zoo/*"), "cannot read"),
    ):
        error, _ = invoke(*args, *words)
        assert error
        assert told in error.what
        assert [path.name for path in author.package.iterdir()] == ["plugin.py"]
    assert invoke(*args, root, "--key", key, "--key", key, "--repo", "zoo/*")[1].count("key ") == 1
    assert (author.package / "root.pub").read_text() == author.public("root").pem


def test_a_broken_list_is_not_followed_by_one_of_a_lower_version(author: Author, fakes: None) -> None:
    (author.package / "keys.sig").write_text("{}")
    error, _ = invoke("keys", "sign", author.package, "--root", author.folder / "root.pem")
    assert isinstance(error, UsageError)
    assert error.hint == "put back the keys.sig of the last release, whose version goes on"
    assert (author.package / "keys.sig").read_text() == "{}"


def test_public_keys_are_shown_by_their_ids(author: Author, fakes: None) -> None:
    (author.package / "root.pub").write_text(author.public("root").pem + author.public("spare").pem)
    for path, names in ((author.package / "root.pub", ("root", "spare")), (author.folder / "release.pem.pub", ("release",))):
        assert invoke("keys", "show", path) == (None, "".join(f"key {author.public(name).id}\n" for name in names))


def test_a_wrong_file_of_keys_is_told_before_anything_is_read(author: Author, hub: LoopbackHub, carried: Author) -> None:
    author.release(hub, 1)
    pull(CAT)
    for path, code in ((author.folder / "none.pub", 8), (author.make("release"), 3), (author.package / "keys.sig", 3)):
        error, told = invoke("verify", CAT, "--key", path)
        assert error
        assert (error.exit_code, told) == (code, "")
        assert str(path) in error.what


def test_publishing_says_that_nobody_has_the_keys_and_what_days_are_of(
    run: Path, author: Author, hub: LoopbackHub, fakes: None, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    words = ["publish", str(run), "--repo", "alone/cat", "--license", "mit", "--dry-run"]
    for more, code, told in (
        (["--sign", str(author.make("release"))], 0, "no installed plugin carries keys for alone/cat: only `zoo verify --key` will check"),
        (["--days", "3"], 2, "--days is of a signature, and without --sign there is none"),
        (["--days", "3", "--space"], 2, "--sign and --days mean nothing to a Space"),
    ):
        with pytest.raises(SystemExit) as done:
            main([*words, *more])
        assert (done.value.code, told in capsys.readouterr().err + caplog.text) == (code, True)


def test_keys_are_listed_shown_and_renewed(author: Author, fakes: None) -> None:
    (author.package / "keys.sig").unlink()
    folder = author.folder
    error, told = invoke("keys", "sign", author.package, "--root", folder / "root.pem")
    assert error
    assert "the first list needs keys and repositories" in error.what
    args = ("keys", "sign", author.package, "--root", folder / "root.pem")
    error, told = invoke(*args, "--key", folder / "release.pem.pub", "--repo", "zoo/*", "--repo", "other/cat")
    assert error is None
    assert told.splitlines()[0].startswith("version 1, until ")
    error, told = invoke(*args, "--days", "3")
    assert told.splitlines()[0].startswith("version 2, until ")
    assert told == invoke("keys", "show", author.package)[1]
    assert f"key {author.public('release').id}" in told
    assert "for other/cat" in told
    for words, wrong in (
        ((*args, "--repo", "no/such/name"), "--repo 'no/such/name' is not ORG/NAME or ORG/*"),
        (("keys", "sign", author.package, "--root", folder / "release.pem"), "is none of the root keys"),
        (("keys", "sign", folder, "--root", folder / "root.pem"), "is not the package of a plugin"),
    ):
        error, _ = invoke(*words)
        assert error
        assert wrong in error.what
