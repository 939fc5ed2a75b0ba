"""The named recipe of the unclip family, whose CLIP is of a family of another plugin."""

from dataclasses import replace

from zoo_core.config import decode, encode
from zoo_core.data.captions import DIGITS, NUMBERS, Caption, caption_vocabulary
from zoo_core.interfaces import ModelConfig
from zoo_text_to_image import recipes
from zoo_text_to_image.unclip_config import UnCLIPConfig, UnCLIPTrainerConfig

__all__ = ["CAPTIONED_MNIST"]

_CLIP = {
    "name": "clip",
    "vocabulary": encode(caption_vocabulary(DIGITS)),
    "classes": [[Caption(kind=kind, number=number).text(DIGITS) for number in NUMBERS] for kind in range(len(DIGITS))],
}

CAPTIONED_MNIST = replace(
    recipes.CAPTIONED_MNIST,
    model=UnCLIPConfig(clip=decode(ModelConfig, _CLIP, "clip")),
    trainer=UnCLIPTrainerConfig(),
    fit=replace(recipes.CAPTIONED_MNIST.fit, steps=9_500),
)
"""Digits in colours and places. It needs a trained CLIP, ``-o trainer.clip.reference=REF``: that of ``zoo train clip``."""
