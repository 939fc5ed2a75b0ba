"""Real samples of an evaluation: read when they are first needed, or known by their statistics alone."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from zoo_core.config import encode
from zoo_core.data.dataset import Data, load_data
from zoo_core.datasets import FolderConfig, HubDatasetConfig
from zoo_core.errors import ConfigError
from zoo_core.evaluation.statistics import Moments
from zoo_core.interfaces import DatasetConfig
from zoo_core.registry import registry

__all__ = ["RealData"]


class RealData:
    """Real samples.

    Args:
        config: config of the data set.
        shape: shape that its samples must have, (*event.shape).
        data: samples, if they are in memory already.
        digest: digest of the samples, if they are not read.
        recorded: config that records show, if the data is read from another place; None for ``config`` itself.

    Attributes:
        moments: moments of all samples that are known without reading them, by the digest of the feature space.
        stored: moments from a checkpoint, which must agree with those of the samples when they are read; or None.

    >>> from zoo_core.datasets import MoonsConfig
    >>> real = RealData(MoonsConfig(count=100), (2,))
    >>> real.dataset, len(real.data)
    ('moons', 100)
    """

    def __init__(
        self,
        config: DatasetConfig,
        shape: Sequence[int],
        *,
        data: Data | None = None,
        digest: str = "",
        recorded: DatasetConfig | None = None,
    ) -> None:
        self.config = config
        self.shape = tuple(shape)
        self._digest = digest
        self.recorded = config if recorded is None else recorded
        self.moments: dict[str, Moments] = {}
        self.stored: Moments | None = None
        if data is not None:
            self.__dict__["data"] = data

    @cached_property
    def data(self) -> Data:
        """The samples.

        Raises:
            ConfigError: if they are not where the config says, or have another shape.
        """
        data = load_data(self.config)
        if data.event.shape != self.shape:
            hint = "choose other --data" if data.vocabulary is None else f"-o data.length={self.shape[0]}"
            raise ConfigError(f"the data has samples of {list(data.event.shape)}, the model of {list(self.shape)}", hint)
        if self._digest and data.digest != self._digest:
            self.moments.clear()  # they are moments of other data
        return data

    @property
    def dataset(self) -> str:
        """The name of the data set; with the path of a folder under a variable, ``folder:$AFHQ/train``, or the repository on the Hub."""
        name = registry().name_of("dataset", type(self.recorded))
        if isinstance(self.recorded, FolderConfig) and self.recorded.path.startswith("$"):
            return f"{name}:{self.recorded.path}"
        if isinstance(self.recorded, HubDatasetConfig):
            return f"{name}:{self.recorded.repo}"
        return name

    @property
    def facts(self) -> Mapping[str, Any]:
        """The fields of a record that describe the data."""
        split = getattr(self.recorded, "split", "")
        digest = self.data.digest if "data" in self.__dict__ else self._digest
        data = {"config": encode(self.recorded), **({"digest": digest} if digest else {})}
        return {"dataset": self.dataset, **({"split": split} if split else {}), "data": data}
