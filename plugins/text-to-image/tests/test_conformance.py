"""The family and its trainer pass zoo_core's conformance checks."""

from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from zoo_clip.config import CLIPConfig
from zoo_clip.model import CLIP
from zoo_core.interfaces import Teacher
from zoo_core.samplers import DPMSolver2M
from zoo_core.testing import parametrize_checks, write_checkpoint
from zoo_core.testing.conformance import Check
from zoo_core.vocabulary import Vocabulary
from zoo_text_to_image.config import TextToImageConfig
from zoo_text_to_image.unclip_config import PriorConfig, UnCLIPConfig, UnCLIPTrainerConfig

WORDS = Vocabulary(unit="word", tokens=("a", "blue", "on", "red", "seven"))
PATCHES = TextToImageConfig(
    image_size=8, dim=8, multipliers=(1, 2), attention=(4,), vocabulary=WORDS, length=6, text_width=8, text_layers=1, text_heads=2
)
GREY = replace(PATCHES, image_size=4, channels=1, patch=1, multipliers=(1,), attention=())


@parametrize_checks("text-to-image", config=PATCHES)
def test_a_model_of_patches_conforms(check: Check) -> None:
    check()


@parametrize_checks("text-to-image", config=GREY)
def test_a_model_of_grey_images_conforms(check: Check) -> None:
    check()


CLIP_CONFIG = CLIPConfig(image_size=8, widths=(8, 8), features=4, vocabulary=WORDS, length=6, text_width=8, text_layers=1, text_heads=2)
FOLDER = TemporaryDirectory()
TRAINER = UnCLIPTrainerConfig(
    clip=Teacher(reference=f"local:{write_checkpoint(Path(FOLDER.name) / 'clip', CLIP(CLIP_CONFIG), CLIP_CONFIG)}")
)
UNCLIP = UnCLIPConfig(
    clip=CLIP_CONFIG,
    prior=PriorConfig(width=8, layers=1, heads=2, sampler=DPMSolver2M(steps=2)),
    **{item.name: getattr(PATCHES, item.name) for item in fields(PATCHES)},
)


@parametrize_checks("unclip", config=UNCLIP, trainer=TRAINER)
def test_a_prior_and_a_decoder_conform(check: Check) -> None:
    check()


@parametrize_checks("unclip", config=replace(UNCLIP, captions=False), trainer=TRAINER)
def test_a_decoder_that_sees_embeddings_alone_conforms(check: Check) -> None:
    check()
