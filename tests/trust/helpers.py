"""The keys of an author, signed versions of a checkpoint, and the lies of a server."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from zoo_core import cards
from zoo_core.config import dump_json, load_json
from zoo_core.hub.fetch import fetch
from zoo_core.publishing import Published, publish
from zoo_core.testing.hub import LoopbackHub
from zoo_core.trust import envelope
from zoo_core.trust.envelope import after, now, read, sign
from zoo_core.trust.index import Index
from zoo_core.trust.keys import KeyList, PrivateKey, PublicKey, new_key
from zoo_core.trust.manifest import statement_of

CAT = "zoo/cat"
WEIGHTS = "model.safetensors"
TRAINING = {
    "recipe": {"model": {"name": "fake"}, "data": {"name": "folder", "path": "cats"}, "fit": {"steps": 10, "seed": 3}},
    "command": "zoo train fake --out runs/cat",
    "commit": "ab" * 20,
    "steps": 10,
    "versions": {"python": "3.11.7", "zoo-core": "0.1.0", "torch": "2.15.0", "timm": "not installed"},
    "processor": "a CPU, 1 thread",
    "data": {"count": 500, "digest": "cd" * 32, "classes": ["cat"]},
}


class Author:
    """The author of zoo-cats, whose private keys lie in ``folder`` and whose package in ``folder/zoo_cats``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "zoo_cats"
        self.package.mkdir(parents=True)
        (self.package / "plugin.py").touch()
        self.make("root")
        (self.package / "root.pub").write_text(self.public("root").pem)

    def make(self, name: str) -> Path:
        """The path of a private key, which is made when it is first named."""
        path = self.folder / f"{name}.pem"
        if not path.exists():
            new_key(path)
        return path

    def public(self, name: str) -> PublicKey:
        [key] = PublicKey.load_all(self.make(name).with_name(f"{name}.pem.pub"))
        return key

    def list_keys(
        self, *names: str, version: int = 1, days: int = 700, root: str = "root", repositories: tuple[str, ...] = ("zoo/*",)
    ) -> bytes:
        """Lists keys in the package, as ``zoo keys sign`` does; returns the list."""
        keys = tuple(map(self.public, names))
        listed = KeyList(version=version, expires=after(days), keys=keys, repositories=repositories)
        data = listed.signed(PrivateKey.load(self.make(root)))
        (self.package / "keys.sig").write_bytes(data)
        return data

    def sign(self, value: int, *, key: str = "release", repo: str = CAT, serial: int = 0, days: float = 180) -> dict[str, bytes]:
        """The files of version ``value``, and their signatures."""
        private, files = PrivateKey.load(self.make(key)), version(value)
        signature = sign(statement_of("cat", {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}), private)
        digest = hashlib.sha256(signature).hexdigest()
        index = Index(repo=repo, serial=serial or value, expires=after(days), signature=digest)
        return {**files, "model.sig": signature, "index.sig": index.signed(private), "keys.sig": (self.package / "keys.sig").read_bytes()}

    def release(self, hub: LoopbackHub, value: int, *, repo: str = CAT, **options: Any) -> str:
        """Puts a signed version into a repository without the client; returns the commit."""
        return serve(hub, self.sign(value, repo=repo, **options), repo)

    def publish(self, run: Path, key: str = "release", repo: str = CAT, **options: Any) -> Published:
        return publish(str(run), repo, license="mit", sign=self.make(key), **options)


@lru_cache
def version(value: int) -> dict[str, bytes]:
    """The files of a checkpoint, of which the weights and the record differ from those of another value."""
    header = json.dumps({"shift": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes([0, 0, value, 0])
    training = dump_json({**TRAINING, "steps": value}).encode()
    card = b"---\nlicense: mit\ntags: [zoo-core]\n---\n\n# cat\n\nA cat.\n"
    return {"README.md": card, "config.json": b'{"format": 1}', WEIGHTS: weights, "training.json": training}


def write_run(run: Path) -> Path:
    """Writes a finished run with a draft card; returns the folder of its checkpoint."""
    from zoo_core.testing import write_checkpoint
    from zoo_core.testing.fake import Fake
    from zoo_core.testing.fake_config import FakeConfig

    config = FakeConfig(shape=(3, 8, 8), bounded=True)
    folder = write_checkpoint(run / "export", Fake(config), config)
    (run / "recipe.json").write_text("{}")
    (folder / "training.json").write_text(dump_json(TRAINING))
    (folder / "README.md").write_text(cards.draft(run.name, load_json(folder / "config.json"), TRAINING))
    return folder


def shift(run: Path, value: float) -> Path:
    """Changes the weights of a run, and its record."""
    from safetensors.torch import load, save

    folder = run / "export"
    state = load((folder / WEIGHTS).read_bytes())
    state["shift"].fill_(value)
    (folder / WEIGHTS).write_bytes(save(state))
    (folder / "training.json").write_text(dump_json({**TRAINING, "steps": int(value)}))
    return run


def commit_of(reference: str = CAT) -> str:
    files = fetch(reference)
    assert files.hub
    return files.hub.commit


def contents(hub: LoopbackHub, repo: str = CAT, commit: str = "main") -> dict[str, bytes]:
    return {name: hub.read(repo, name, commit) for name in hub.repos[repo].at(commit).files}


def serve(hub: LoopbackHub, files: dict[str, bytes], repo: str = CAT) -> str:
    """A server that shows these files, and no others, as a new commit that follows the last one."""
    if repo not in hub.repos:
        return hub.add_repo(repo, files)
    commit = hub.commit(repo, files)
    head = hub.repos[repo].head.files
    assert isinstance(head, dict)
    for name in set(head) - set(files):
        del head[name]
    return commit


def predicate(data: bytes) -> dict[str, Any]:
    return dict(read(data, "a signature").predicate)


def later(monkeypatch: Any, days: float) -> None:
    """Lets days pass."""
    before: Callable[[], Any] = now
    monkeypatch.setattr(envelope, "now", lambda: before() + timedelta(days=days))


def edited(data: bytes, change: Callable[[dict[str, Any]], object]) -> bytes:
    """A signature file with a changed bundle."""
    bundle = json.loads(data)
    change(bundle)
    return json.dumps(bundle).encode()
