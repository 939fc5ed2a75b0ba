"""Fixtures of the tests of the test kit: copies of the fake families with a fault, and a client of the loopback Hub."""

from collections.abc import Callable
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from zoo_core.testing import write_plugin
from zoo_core.testing.hub import LoopbackHub


def _write_broken(
    folder: Path,
    *,
    denoiser: bool = False,
    text: bool = False,
    top: str = "",
    hook: str = "",
    config_top: str = "",
    config: str = "",
    model: str = "",
    trainer: str = "",
) -> Path:
    """Writes the distribution zoo-broken with the family ``broken``: lines at the top of its modules, or in the bodies of its classes."""
    fake = "FakeDenoiser" if denoiser else "FakeText" if text else "Fake"
    able, sampler = ("{'denoise'}", "ancestral") if denoiser else ("{'decode', 'encode', 'density', 'labels'}", "latent")
    able, sampler = ("{'unmask', 'density', 'text'}", "unmask") if text else (able, sampler)
    trains = "Fake" if text else fake
    (folder / "zoo_broken_config.py").write_text(
        f"{config_top}\nfrom collections.abc import Mapping\nfrom dataclasses import dataclass\nfrom typing import Any\n"
        f"from zoo_core.recipes import Recipe\nfrom zoo_core.testing.fake_config import *\n\n"
        f"@dataclass(frozen=True, kw_only=True, slots=True)\nclass Config({fake}Config):\n{indent(config or 'pass', '    ')}\n\n"
        f"@dataclass(frozen=True, kw_only=True, slots=True)\nclass TrainerConfig({trains}TrainerConfig):\n    pass\n\n"
        "RECIPE = Recipe(model=Config(), trainer=TrainerConfig())\n"
    )
    (folder / "zoo_broken_model.py").write_text(
        "import random\nfrom dataclasses import replace\nimport numpy as np\nimport torch\nfrom torch import nn\n"
        "from zoo_core.interfaces import *\nfrom zoo_core.testing.fake import *\n"
        "from zoo_core.testing.fake_text import *\nfrom zoo_core.training.trainer import Loss\n\n"
        f"class Model({fake}):\n{indent(model or 'pass', '    ')}\n\n"
        f"class Trainer({trains}Trainer):\n{indent(trainer or 'pass', '    ')}\n"
    )
    source = (
        f"{top}\nfrom zoo_core.hookspecs import hookimpl\nfrom zoo_core.specs import *\n\n"
        "@hookimpl\ndef zoo_specs():\n"
        "    model = dict(name='broken', target='zoo_broken_model:Model', config='zoo_broken_config:Config', trainer='broken',\n"
        f"                 capabilities={able}, sampler={sampler!r})\n"
        "    trainer = dict(name='broken', target='zoo_broken_model:Trainer', config='zoo_broken_config:TrainerConfig')\n"
        "    recipe = dict(name='tiny', family='broken', target='zoo_broken_config:RECIPE')\n"
        f"{indent(hook, '    ')}\n"
        "    return [ModelSpec(**model), TrainerSpec(**trainer), RecipeSpec(**recipe)]\n"
    )
    return write_plugin(folder, "zoo-broken", source)


@pytest.fixture
def write_broken() -> Callable[..., Path]:
    """``write_broken(folder, model="def decode(self, z): ...")`` writes that plugin, and gives the folder."""
    return _write_broken


@pytest.fixture
def api(hub: LoopbackHub) -> HfApi:
    """A client with the owner's token."""
    return HfApi(endpoint=hub.endpoint, token=hub.token)


@pytest.fixture
def commit(api: HfApi) -> Callable[..., str]:
    """``commit(files)`` commits to the repository zoo/cats through the client, and gives the commit's id."""

    def commit(files: dict[str, bytes], **arguments: Any) -> str:
        operations = [CommitOperationAdd(path, data) for path, data in files.items()]
        return api.create_commit("zoo/cats", operations, commit_message="a commit", **arguments).oid

    return commit
