"""The named recipes of the family."""

from zoo_core.datasets import FolderConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import DPMSolver2M
from zoo_core.schedulers import Karras
from zoo_super_resolution.config import SuperResolutionConfig, SuperResolutionTrainerConfig

__all__ = ["AFHQ_CAT"]

AFHQ_CAT = Recipe(
    model=SuperResolutionConfig(),
    trainer=SuperResolutionTrainerConfig(),
    fit=FitConfig(
        steps=4000,
        batch_size=16,
        optimizer=OptimizerConfig(name="adam", lr=2e-3, options={"fused": True}),
        lr_schedule="cosine",
        warmup=100,
        clip_norm=1.0,
        ema=EMAConfig(decay=0.999, warmup=True),
        precision="auto",
        channels_last=False,
    ),
    data=FolderConfig(path="$AFHQ/train", classes=("cat",), size=64, flip=True),
    sampler=DPMSolver2M(steps=8),
    scheduler=Karras(sigma_max=2.0),
)
"""Photographs of 32x32 pixels to 64x64. The largest level of the scheduler is some twenty times the spread of what is estimated."""
