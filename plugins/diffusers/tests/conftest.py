"""Tiny random models of diffusers in its own layout. Without diffusers, the tests of this plugin are skipped."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("diffusers")
    from diffusers.models.unets.unet_2d import UNet2DModel

Write = Callable[..., Path]
UNET: dict[str, Any] = {
    "sample_size": 8,
    "block_out_channels": (8, 8),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4,
    "layers_per_block": 1,
    "attention_head_dim": 4,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))  # of numpy's, in diffusers
            item.add_marker(pytest.mark.filterwarnings("ignore::FutureWarning"))  # of diffusers, about its own names


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """A function that writes a pipeline's folder: a tiny random net, a scheduler, and further components by name."""

    def write(scheduler: Any, options: dict[str, Any] | None = None, name: str = "tiny", **components: Any) -> Path:
        folder = tmp_path / name
        with torch.random.fork_rng():
            torch.manual_seed(0)
            parts = {"unet": UNet2DModel(**{**UNET, **(options or {})}), "scheduler": scheduler, **components}
        for key, part in parts.items():
            part.save_pretrained(folder / key)
        index = {key: ["diffusers", type(part).__name__] for key, part in parts.items()}
        (folder / "model_index.json").write_text(json.dumps({"_class_name": "DDIMPipeline", "_diffusers_version": "0.35.0", **index}))
        return folder

    return write
