"""The classical families pass zoo_core's conformance checks, on images and on points."""

from zoo_classical.config import GaussianMixtureConfig, GaussianMixtureTrainerConfig, KMeansConfig, KMeansTrainerConfig, PCAConfig
from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check


@parametrize_checks("pca", config=PCAConfig(shape=(1, 3, 3), components=2))
def test_pca_of_images_conforms(check: Check) -> None:
    check()


@parametrize_checks("pca", config=PCAConfig(shape=(3,), components=1))
def test_pca_of_points_conforms(check: Check) -> None:
    check()


@parametrize_checks("gmm", config=GaussianMixtureConfig(shape=(1, 3, 3), components=2, subspace=3))
def test_a_mixture_in_a_subspace_of_images_conforms(check: Check) -> None:
    check()


@parametrize_checks("gmm", config=GaussianMixtureConfig(shape=(2,), components=3), trainer=GaussianMixtureTrainerConfig(floor=1e-3))
def test_a_mixture_of_points_conforms(check: Check) -> None:
    check()


@parametrize_checks("kmeans", config=KMeansConfig(shape=(1, 3, 3), clusters=3))
def test_centres_of_images_conform(check: Check) -> None:
    check()


@parametrize_checks("kmeans", config=KMeansConfig(shape=(2,), clusters=2), trainer=KMeansTrainerConfig(memory=1.0))
def test_centres_of_points_conform(check: Check) -> None:
    check()
