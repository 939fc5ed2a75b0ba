"""A repository with the files of a checkpoint, for tests of the hub."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zoo_core.registry import Plugin, Registry, using
from zoo_core.specs import CheckpointSpec
from zoo_core.testing import environment, write_fake_plugin
from zoo_core.testing.hub import LoopbackHub

CATS = "zoo/cats"
WEIGHTS = "model.safetensors"
ZOO = (sys.executable, "-m", "zoo_core.cli")
Contents = Mapping[str, bytes]


def registered(plugins: Registry, *specs: CheckpointSpec) -> Any:
    """A context in which a plugin offers checkpoints."""
    return using(Registry((*plugins.plugins, Plugin(name="far", module="far", dist="zoo-far", version="1.0", specs=specs))))


def asked(hub: LoopbackHub) -> list[str]:
    """The requests that a Hub got, such as ``GET /api/models/zoo/cats/revision/main``."""
    return [str(request) for request in hub.requests]


def below(folder: Path) -> dict[str, bytes]:
    """Every file below a folder that could be taken for data: no locks, and no links."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink() and ".locks" not in path.parts]
    # Other tests leave sparse files of a terabyte there.
    return {str(path.relative_to(folder)): path.read_bytes() if path.stat().st_size < 1 << 20 else b"large" for path in paths}


def blobs(folder: Path) -> list[Path]:
    """The blobs of all repositories in the cache below ``HF_HOME``."""
    return sorted((folder / "hub").glob("models--*/blobs/*"))


def home() -> Path:
    """The folder ``HF_HOME`` of this test."""
    return Path(os.environ["HF_HOME"])


def run(*args: str, site: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs ``zoo`` in a process of its own, with the fake families installed."""
    env = {**environment(write_fake_plugin(site)), "ZOO_PLUGINS": "zoo-fake", **variables}
    return subprocess.run([*ZOO, *args], env=env, capture_output=True, text=True, check=False, timeout=60)


def changed(**values: Any) -> Callable[[bytes], bytes]:
    """Changes keys in the description of a repository; a function is applied to the value there."""

    def rewrite(body: bytes) -> bytes:
        data = json.loads(body)
        return json.dumps({**data, **{key: value(data[key]) if callable(value) else value for key, value in values.items()}}).encode()

    return rewrite


def other_family(cats: Contents, plugin: object = "zoo-wgan") -> Contents:
    """The files of a checkpoint whose family is not installed, and whose card names a plugin for it."""
    config = {**json.loads(cats["config.json"]), "model": {"name": "os.system"}}
    card = f"---\nlicense: mit\ntags: [zoo-core]\nzoo: {json.dumps({'family': 'os.system', 'plugin': plugin})}\n---\n\n# X\n\nA card.\n"
    return {**cats, "config.json": json.dumps(config).encode(), "README.md": card.encode()}
