"""The named recipes of the flow-matching family."""

from zoo_core.datasets import FolderConfig, MoonsConfig
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Ancestral
from zoo_flow_matching.config import FlowMatchingConfig, FlowMatchingTrainerConfig

__all__ = ["AFHQ_CAT", "MOONS"]

AFHQ_CAT = Recipe(
    model=FlowMatchingConfig(dim=16, multipliers=(1, 2, 4, 8)),
    trainer=FlowMatchingTrainerConfig(),
    fit=FitConfig(
        steps=16_000,
        batch_size=32,
        optimizer=OptimizerConfig(name="adam", lr=1e-3, options={"fused": True}),
        lr_schedule="cosine",
        warmup=200,
        ema=EMAConfig(decay=0.999, warmup=True),
        precision="auto",
    ),
    data=FolderConfig(path="$AFHQ/train", classes=("cat",), size=32, flip=True),
    sampler=Ancestral(steps=20, eta=0.0, clip=False),
)
"""32x32 photographs: the net, data, optimizer, number of steps and batch size of the recipe ``course`` of the family ddpm."""

MOONS = Recipe(
    model=FlowMatchingConfig(points=2, dim=64, blocks=3),
    trainer=FlowMatchingTrainerConfig(),
    fit=FitConfig(
        steps=4000,
        batch_size=256,
        optimizer=OptimizerConfig(name="adam", lr=2e-3),
        lr_schedule="cosine",
        ema=EMAConfig(decay=0.999, warmup=True),
    ),
    data=MoonsConfig(),
    sampler=Ancestral(steps=20, eta=0.0, clip=False),
)
"""Two moons in the plane, in a minute."""
