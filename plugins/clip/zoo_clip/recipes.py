"""The named recipes of the clip family."""

from collections.abc import Sequence
from dataclasses import replace

from zoo_clip.config import CLIPConfig, CLIPTrainerConfig
from zoo_core.data.captioned_sets import CaptionedFashionMNISTConfig, CaptionedMNISTConfig
from zoo_core.data.captions import CLOTHES, DIGITS, NUMBERS, Caption, Noun
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe

__all__ = ["CAPTIONED_FASHION_MNIST", "CAPTIONED_MNIST"]


def _classes(nouns: Sequence[Noun]) -> tuple[tuple[str, ...], ...]:
    """The texts of each class: one object, and two of them."""
    return tuple(tuple(Caption(kind=kind, number=number).text(nouns) for number in NUMBERS) for kind in range(len(nouns)))


CAPTIONED_MNIST = Recipe(
    model=CLIPConfig(classes=_classes(DIGITS)),
    trainer=CLIPTrainerConfig(),
    fit=FitConfig(
        steps=1800,
        batch_size=256,
        optimizer=OptimizerConfig(name="adamw", lr=2e-3, weight_decay=0.01),
        lr_schedule="cosine",
        warmup=100,
        clip_norm=1.0,
        ema=EMAConfig(decay=0.99, warmup=True),
        precision="auto",
        sample_every=0,
        save_every=200,
    ),
    data=CaptionedMNISTConfig(),
)
"""Digits in colours and places: seven and a half epochs."""

CAPTIONED_FASHION_MNIST = replace(CAPTIONED_MNIST, model=CLIPConfig(classes=_classes(CLOTHES)), data=CaptionedFashionMNISTConfig())
"""Clothes in colours and places."""
