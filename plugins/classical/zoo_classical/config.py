"""Configs of the families pca, gmm and kmeans."""

from dataclasses import dataclass
from math import prod

from zoo_core.config import check_range
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, TrainerConfig

__all__ = [
    "GaussianMixtureConfig",
    "GaussianMixtureTrainerConfig",
    "KMeansConfig",
    "KMeansTrainerConfig",
    "PCAConfig",
    "PCATrainerConfig",
]


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) not in (1, 3):
        raise ConfigError("shape must be (channels, height, width) of images, or (dimension,) of points")


@dataclass(frozen=True, kw_only=True, slots=True)
class PCAConfig(ModelConfig):
    """Probabilistic principal component analysis (Tipping & Bishop 1999), whose limit without noise is PCA.

    Args:
        shape: shape of a sample: (channels, height, width) of images, (dimension,) of points.
        components: number of principal components; less than the number of dimensions, since the noise fills the others.

    Raises:
        ConfigError: if a value is out of range.

    Example:
        >>> PCAConfig(components=2).shape
        (1, 28, 28)
    """

    shape: tuple[int, ...] = (1, 28, 28)
    components: int = 40

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 4096), components=(1, 65_536))
        _check_shape(self.shape)
        if self.components >= prod(self.shape):
            raise ConfigError(f"components must be less than the {prod(self.shape)} dimensions of a sample, not {self.components}")


@dataclass(frozen=True, kw_only=True, slots=True)
class GaussianMixtureConfig(ModelConfig):
    """A mixture of Gaussians with full covariances, in all dimensions or in a subspace with isotropic noise around it.

    Args:
        shape: shape of a sample: (channels, height, width) of images, (dimension,) of points.
        components: number of Gaussians.
        subspace: dimension of the subspace, which the first principal components span; None for all dimensions.

    Raises:
        ConfigError: if a value is out of range.

    Example:
        >>> GaussianMixtureConfig(components=16).subspace is None
        True
    """

    shape: tuple[int, ...] = (2,)
    components: int = 16
    subspace: int | None = None

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 4096), components=(1, 65_536), subspace=(1, 65_536))
        _check_shape(self.shape)
        dims = prod(self.shape)
        if self.subspace is not None and self.subspace >= dims:
            raise ConfigError(f"subspace must be less than the {dims} dimensions of a sample, not {self.subspace}", "null is all of them")
        if self.components * (self.subspace or dims) ** 2 > 10**9:
            raise ConfigError("the covariances have more than 1,000,000,000 numbers", "set fewer components, or a smaller subspace")


@dataclass(frozen=True, kw_only=True, slots=True)
class KMeansConfig(ModelConfig):
    """Clusters around centres (Lloyd 1982).

    Args:
        shape: shape of a sample: (channels, height, width) of images, (dimension,) of points.
        clusters: number of centres.

    Raises:
        ConfigError: if a value is out of range.

    Example:
        >>> KMeansConfig(clusters=10).shape
        (1, 28, 28)
    """

    shape: tuple[int, ...] = (1, 28, 28)
    clusters: int = 100

    def __post_init__(self) -> None:
        check_range(self, shape=(1, 4096), clusters=(1, 65_536))
        _check_shape(self.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class PCATrainerConfig(TrainerConfig):
    """The closed form of maximum likelihood: one step on all of the data, or incremental PCA over batches. It has no options.

    Example:
        >>> PCATrainerConfig()
        PCATrainerConfig()
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class GaussianMixtureTrainerConfig(TrainerConfig):
    """Steps of expectation maximisation (Dempster et al. 1977), one for each batch; the batch should be all of the data.

    Args:
        floor: variance that is added to the diagonal of every covariance.

    Raises:
        ConfigError: if floor is out of range.

    Example:
        >>> GaussianMixtureTrainerConfig().floor
        1e-06
    """

    floor: float = 1e-6

    def __post_init__(self) -> None:
        check_range(self, floor=(0.0, 1e3))


@dataclass(frozen=True, kw_only=True, slots=True)
class KMeansTrainerConfig(TrainerConfig):
    """Steps of Lloyd's algorithm, one for each batch, from the centres of k-means++ (Arthur & Vassilvitskii 2007).

    Args:
        memory: weight of the rows of earlier batches in the mean of a cluster, for one of this batch: 0 takes Lloyd's steps, on batches
            of all of the data, and 1 those of mini-batch k-means (Sculley 2010).

    Raises:
        ConfigError: if memory is out of range.

    Example:
        >>> KMeansTrainerConfig(memory=1.0).memory
        1.0
    """

    memory: float = 0.0

    def __post_init__(self) -> None:
        check_range(self, memory=(0.0, 1.0))
