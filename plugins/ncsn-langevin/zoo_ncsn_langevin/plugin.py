"""The ncsn-langevin plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import Spec, family


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return family(
        "ncsn-langevin",
        package="zoo_ncsn_langevin",
        model="NCSN",
        trainer="NCSNTrainer",
        capabilities={"denoise"},
        sampler="langevin",
        paper="arXiv:1907.05600",
        summary="score networks: the gradient of the log-density of noisy data",
        training="denoising, implicit or sliced score matching at random noise levels",
        recipes={
            "mnist": ("MNIST", "digits, two hours on one CPU core"),
            "gaussian-mixture": ("GAUSSIAN_MIXTURE", "two Gaussians in the plane, minutes on one CPU core"),
            "paper-v1": ("PAPER_V1", "CIFAR-10 as in Song & Ermon 2019, 10 levels"),
            "paper-v2": ("PAPER_V2", "CIFAR-10 as in Song & Ermon 2020, 232 levels"),
        },
    )
