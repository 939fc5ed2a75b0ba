"""Theorems about downloads, with torchvision's own downloader and a local server."""

import hashlib
import http.server
import socket
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo_core.data import readers
from zoo_core.data.loaders import cifar10, mnist
from zoo_core.datasets import CIFAR10Config, MNISTConfig
from zoo_core.errors import HubError, ResourceError, UsageError

from .helpers import BATCHES, LABELS, ONES, binary, write, write_cifar, write_idx


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str, list[str]]]:
    """A folder, the address at which it is served, and the paths asked for so far."""
    files, asked = tmp_path / "served", list[str]()
    files.mkdir()
    monkeypatch.setenv("no_proxy", "*")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(files))

        def log_message(self, format: str, *arguments: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield files, f"http://127.0.0.1:{server.server_port}/", asked
        server.shutdown()


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def tiny_mnist(served: tuple[Path, str, list[str]], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """MNIST as torchvision knows it, but tiny and of ours; of its mirrors, one has everything."""
    from torchvision.datasets import MNIST

    files, address, asked = served
    write_idx(files, "train")
    write_idx(files, "t10k", count=5)
    monkeypatch.setattr(MNIST, "mirrors", [f"{address}nothing/", address, f"{address}nothing/"])
    monkeypatch.setattr(MNIST, "resources", [(path.name, md5(path)) for path in sorted(files.iterdir())])
    return files, asked


def test_a_download_puts_the_files_where_torchvision_keeps_them_and_is_not_repeated(
    tmp_path: Path, tiny_mnist: tuple[Path, list[str]]
) -> None:
    files, asked = tiny_mnist
    config = MNISTConfig(root=str(tmp_path / "new"), download=True)
    first = mnist(config)
    assert np.array_equal(first.x[:, 0].numpy(), write_idx(tmp_path / "same")[0])
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"MNIST"}
    assert {path.name for path in (tmp_path / "new" / "MNIST" / "raw").iterdir()} == {path.name for path in files.iterdir()}
    asked.clear()
    assert mnist(config).digest == first.digest
    assert len(mnist(replace(config, split="test"))) == 5
    assert asked == []


def test_a_download_that_is_not_the_published_file_leaves_nothing(tmp_path: Path, tiny_mnist: tuple[Path, list[str]]) -> None:
    files, _ = tiny_mnist
    write(files / f"{LABELS}.gz", ONES)
    with pytest.raises(HubError, match=r"cannot download MNIST/raw"):
        mnist(MNISTConfig(root=str(tmp_path / "new"), download=True))
    assert list((tmp_path / "new").iterdir()) == []
    assert socket.getdefaulttimeout() is None


def test_a_download_without_a_server_is_one_error_of_the_network(
    tmp_path: Path, tiny_mnist: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.datasets import MNIST

    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{unused.getsockname()[1]}/"])
        with pytest.raises(HubError, match="cannot download"):
            mnist(MNISTConfig(root=str(tmp_path / "new"), download=True))


def test_a_download_to_where_nothing_can_be_written_says_so(tmp_path: Path, tiny_mnist: tuple[Path, list[str]]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResourceError, match=r"cannot write to .*/file/new"):
        mnist(MNISTConfig(root=str(tmp_path / "file" / "new"), download=True))


def test_cifar10_is_downloaded_as_the_version_without_pickles(
    tmp_path: Path, served: tuple[Path, str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    files, address, _ = served
    x, _ = write_cifar(tmp_path / "made" / "cifar-10-batches-bin", [f"{name}.bin" for name in BATCHES], binary)
    with tarfile.open(files / "cifar-10-binary.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "made" / "cifar-10-batches-bin", "cifar-10-batches-bin")
    monkeypatch.setattr(readers, "_CIFAR10", f"{address}cifar-10-binary.tar.gz")
    monkeypatch.setattr(readers, "_CIFAR10_MD5", md5(files / "cifar-10-binary.tar.gz"))
    assert np.array_equal(cifar10(CIFAR10Config(root=str(tmp_path / "new"), download=True)).x.numpy(), x)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["cifar-10-batches-bin"]
    assert {path.suffix for path in (tmp_path / "new" / "cifar-10-batches-bin").iterdir()} == {".bin"}


def test_a_download_without_torchvision_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(UsageError, match=r"needs torchvision.*zoo-core\[train\]"):
        mnist(MNISTConfig(root=str(tmp_path), download=True))
