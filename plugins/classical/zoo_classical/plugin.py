"""The classical plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import FigureSpec, MetricSpec, ModelSpec, RecipeSpec, Spec, TrainerSpec, checkpoints


def _family(name: str, target: str, capabilities: set[str], summary: str, training: str) -> tuple[Spec, Spec]:
    model = ModelSpec(
        name=name,
        target=f"zoo_classical.model:{target}",
        config=f"zoo_classical.config:{target}Config",
        trainer=name,
        sampler="latent",
        capabilities=frozenset(capabilities),
        summary=summary,
    )
    trainer = TrainerSpec(
        name=name,
        target=f"zoo_classical.trainer:{target}Trainer",
        config=f"zoo_classical.config:{target}TrainerConfig",
        summary=training,
    )
    return model, trainer


def _recipe(family: str, name: str, target: str, summary: str) -> RecipeSpec:
    return RecipeSpec(name=name, family=family, target=f"zoo_classical.recipes:{target}", summary=summary)


def _figure(name: str, target: str, n: int, summary: str) -> FigureSpec:
    return FigureSpec(name=name, target=f"zoo_classical.figures:{target}", requires="encode", n=n, summary=summary)


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    able = {"decode", "encode"}
    return [
        *_family(
            "pca",
            "PCA",
            able | {"density"},
            "principal components and isotropic noise: a Gaussian in closed form",
            "the closed form of maximum likelihood, or incremental PCA over batches",
        ),
        *_family(
            "gmm",
            "GaussianMixture",
            able | {"density"},
            "a mixture of Gaussians, in all dimensions or in a principal subspace: an exact density",
            "steps of expectation maximisation",
        ),
        *_family(
            "kmeans",
            "KMeans",
            able,
            "cluster centres: vector quantisation by one codebook",
            "steps of Lloyd's algorithm from the centres of k-means++",
        ),
        _recipe("pca", "mnist", "PCA_MNIST", "digits by 40 principal components, a minute on one CPU core"),
        _recipe("gmm", "mnist", "GMM_MNIST", "digits by 50 Gaussians in 40 dimensions, minutes on one CPU core"),
        _recipe("gmm", "2d", "GMM_MOONS", "two moons by 16 Gaussians, a minute on one CPU core"),
        _recipe("kmeans", "mnist", "KMEANS_MNIST", "digits by 100 centres, two minutes on one CPU core"),
        MetricSpec(
            name="purity",
            target="zoo_classical.metrics:Purity",
            better="higher",
            summary="share of samples that have the commonest label of their cluster",
        ),
        _figure("principal-axes", "principal_axes", 24, "mean and principal axes of a PCA as images"),
        _figure("explained-variance", "explained_variance", 40, "variance along the principal axes of a PCA, and its sum"),
        _figure("centres", "centres", 100, "centres of clusters or Gaussians; in the plane, with ellipses of two standard deviations"),
        *checkpoints("zoo_classical"),
    ]
