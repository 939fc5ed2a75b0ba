"""The realnvp plugin: what ``zoo`` reads of it before anything is used."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import ModelSpec, RecipeSpec, Spec, TrainerSpec, checkpoints

FLOW = frozenset({"decode", "encode", "density"})
PAPER, MAF_PAPER = "arXiv:1605.08803", "arXiv:1705.07057"


def _recipe(family: str, name: str, target: str, summary: str) -> RecipeSpec:
    return RecipeSpec(name=name, family=family, target=f"zoo_realnvp.recipes:{target}", summary=summary)


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        ModelSpec(
            name="realnvp",
            target="zoo_realnvp.model:RealNVP",
            config="zoo_realnvp.config:RealNVPConfig",
            trainer="realnvp",
            sampler="latent",
            capabilities=FLOW,
            paper=PAPER,
            summary="a normalizing flow of affine couplings: exact densities, one pass in both directions",
        ),
        ModelSpec(
            name="maf",
            target="zoo_realnvp.model:MAF",
            config="zoo_realnvp.config:MAFConfig",
            trainer="realnvp",
            sampler="latent",
            capabilities=FLOW,
            paper=MAF_PAPER,
            summary="a masked autoregressive flow: exact densities, one pass; samples, one for each dimension",
        ),
        TrainerSpec(
            name="realnvp",
            target="zoo_realnvp.trainer:FlowTrainer",
            config="zoo_realnvp.config:FlowTrainerConfig",
            paper=PAPER,
            summary="maximum likelihood, for images of dequantised pixels",
        ),
        _recipe("realnvp", "mnist", "MNIST", "digits, an hour on one CPU core"),
        _recipe("realnvp", "2d", "MOONS", "two moons in the plane, minutes on one CPU core"),
        _recipe("realnvp", "paper", "PAPER_CIFAR10", "CIFAR-10 as in Dinh et al. 2017"),
        _recipe("maf", "2d", "MAF_MOONS", "two moons in the plane, minutes on one CPU core"),
        *checkpoints("zoo_realnvp"),
    ]
