"""The ddpm plugin: what ``zoo`` reads of it before anything is used."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, TrainerSpec, checkpoints

PAPER = "arXiv:2006.11239"


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name="ddpm",
            target="zoo_ddpm.model:DDPM",
            config="zoo_ddpm.config:DDPMConfig",
            trainer="ddpm",
            sampler="ancestral",
            capabilities=frozenset({"denoise", "labels"}),
            paper=PAPER,
            summary="denoising diffusion: a U-Net that predicts the noise",
        ),
        TrainerSpec(
            name="ddpm",
            target="zoo_ddpm.trainer:DDPMTrainer",
            config="zoo_ddpm.config:DDPMTrainerConfig",
            paper=PAPER,
            summary="L1 or squared error of the noise at random levels",
        ),
        RecipeSpec(
            name="course", family="ddpm", target="zoo_ddpm.recipes:COURSE", summary="32x32 photographs, an hour and a half on one CPU core"
        ),
        RecipeSpec(
            name="paper", family="ddpm", target="zoo_ddpm.recipes:PAPER", summary="CIFAR-10 as in Ho et al. 2020, 35.7 M parameters"
        ),
        *checkpoints("zoo_ddpm"),
    ]
