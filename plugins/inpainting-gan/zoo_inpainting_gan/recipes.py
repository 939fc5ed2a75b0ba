"""The named recipes of the family."""

from dataclasses import replace

from zoo_core.datasets import FolderConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_inpainting_gan.config import InpaintingGANConfig, InpaintingGANTrainerConfig

__all__ = ["AFHQ_CAT", "RECONSTRUCTION"]

AFHQ_CAT = Recipe(
    model=InpaintingGANConfig(),
    trainer=InpaintingGANTrainerConfig(),
    fit=FitConfig(
        steps=6000,
        batch_size=16,
        optimizer=OptimizerConfig(name="adam", lr=5e-4, options={"betas": [0.5, 0.99], "fused": True}),
        lr_schedule="cosine",
        warmup=100,
        ema=EMAConfig(decay=0.999, warmup=True),
        precision="auto",
        channels_last=False,
    ),
    data=FolderConfig(path="$AFHQ/train", classes=("cat",), size=32, flip=True),
)
"""32x32 photographs with halves, boxes and strokes hidden."""

RECONSTRUCTION = replace(AFHQ_CAT, trainer=InpaintingGANTrainerConfig(adversarial=0.0))
"""The same by the squared error alone, which gives the mean of all that fits: blurred."""
