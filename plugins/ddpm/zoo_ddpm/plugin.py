"""The ddpm plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import Spec, family


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return family(
        "ddpm",
        package="zoo_ddpm",
        model="DDPM",
        trainer="DDPMTrainer",
        capabilities={"denoise", "labels"},
        sampler="ancestral",
        paper="arXiv:2006.11239",
        summary="denoising diffusion: a U-Net that predicts the noise",
        training="L1 or squared error of the noise at random levels",
        recipes={
            "course": ("COURSE", "32x32 photographs, an hour and a half on one CPU core"),
            "course-l1": ("COURSE_L1", "the same net with the L1 error of the noise and a constant learning rate"),
            "fashion-mnist": ("FASHION_MNIST", "Fashion-MNIST by class with classifier-free guidance, an hour and a half on one CPU core"),
            "paper": ("PAPER", "CIFAR-10 as in Ho et al. 2020, 35.7 M parameters"),
        },
    )
