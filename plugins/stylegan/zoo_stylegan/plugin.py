"""The stylegan plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import FigureSpec, Spec, family


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    figure = FigureSpec(
        name="style-mixing",
        target="zoo_stylegan.figures:style_mixing",
        requires="decode",
        n=6,
        summary="coarse styles of one image with the fine styles of another",
    )
    specs = family(
        "stylegan",
        package="zoo_stylegan",
        model="StyleGAN",
        trainer="StyleGANTrainer",
        capabilities={"decode"},
        sampler="latent",
        paper="arXiv:1912.04958",
        summary="style-based generators with modulated convolutions, and progressive growing by option",
        training="the non-saturating loss with lazy R1 and path-length penalties, style mixing and growing",
        recipes={
            "fashion-mnist": ("FASHION_MNIST", "articles of clothing, small enough for a CPU core"),
            "afhq-cat": ("AFHQ_CAT", "32x32 faces of cats, small enough for a CPU core"),
            "paper": ("PAPER", "1024x1024 faces of a folder, configuration F of Karras et al. 2020"),
        },
    )
    return (*specs, figure)
