"""The ncsn-langevin plugin: what ``zoo`` reads of it before anything is used."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, TrainerSpec, checkpoints

FAMILY, PAPER = "ncsn-langevin", "arXiv:1907.05600"


def _recipe(name: str, target: str, summary: str) -> RecipeSpec:
    return RecipeSpec(name=name, family=FAMILY, target=f"zoo_ncsn_langevin.recipes:{target}", summary=summary)


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name=FAMILY,
            target="zoo_ncsn_langevin.model:NCSN",
            config="zoo_ncsn_langevin.config:NCSNConfig",
            trainer=FAMILY,
            sampler="langevin",
            capabilities=frozenset({"denoise"}),
            paper=PAPER,
            summary="score networks: the gradient of the log-density of noisy data",
        ),
        TrainerSpec(
            name=FAMILY,
            target="zoo_ncsn_langevin.trainer:NCSNTrainer",
            config="zoo_ncsn_langevin.config:NCSNTrainerConfig",
            paper=PAPER,
            summary="denoising, implicit or sliced score matching at random noise levels",
        ),
        _recipe("mnist", "MNIST", "digits, two hours on one CPU core"),
        _recipe("gaussian-mixture", "GAUSSIAN_MIXTURE", "two Gaussians in the plane, minutes on one CPU core"),
        _recipe("paper-v1", "PAPER_V1", "CIFAR-10 as in Song & Ermon 2019, 10 levels"),
        _recipe("paper-v2", "PAPER_V2", "CIFAR-10 as in Song & Ermon 2020, 232 levels"),
        *checkpoints("zoo_ncsn_langevin"),
    ]
