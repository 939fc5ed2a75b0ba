"""The real samples of an evaluation: read when they are first needed, or known by their statistics alone."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from zoo_core.config import encode
from zoo_core.data.dataset import Data, load_data
from zoo_core.datasets import FolderConfig
from zoo_core.errors import ConfigError
from zoo_core.evaluation.statistics import Moments
from zoo_core.interfaces import DatasetConfig
from zoo_core.registry import registry

__all__ = ["Real"]


class Real:
    """Real samples.

    Args:
        config: of the data set.
        shape: that its samples must have, (*event.shape).
        data: the samples, where they are in memory already.
        digest: of samples that are not there.
        told: the config by which records call the data, where it is read from another place; ``config`` itself when None.

    Attributes:
        moments: of all samples, by the digest of the feature space: what is known of them without reading them.
        carried: moments that somebody says they have, which whoever reads them must find.
    """

    def __init__(
        self, config: DatasetConfig, shape: Sequence[int], *, data: Data | None = None, digest: str = "", told: DatasetConfig | None = None
    ) -> None:
        self.config, self.shape, self._digest = config, tuple(shape), digest
        self.told = config if told is None else told
        self.moments: dict[str, Moments] = {}
        self.carried: Moments | None = None
        if data is not None:
            self.__dict__["data"] = data

    @cached_property
    def data(self) -> Data:
        """The samples.

        Raises:
            ConfigError: they are not where the config says, or have another shape.
        """
        data = load_data(self.config)
        if data.event.shape != self.shape:
            raise ConfigError(f"the data has samples of {list(data.event.shape)}, the model of {list(self.shape)}", "choose other --data")
        if self._digest and data.digest != self._digest:
            self.moments.clear()  # of other data
        return data

    @property
    def dataset(self) -> str:
        """What it is called: the name of the data set; of a folder in a variable's place, that too: ``folder:$AFHQ/train``."""
        name = registry().name_of("dataset", type(self.told))
        public = isinstance(self.told, FolderConfig) and self.told.path.startswith("$")
        return f"{name}:{self.told.path}" if public and isinstance(self.told, FolderConfig) else name

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a record says of it."""
        split = getattr(self.told, "split", "")
        digest = self.data.digest if "data" in self.__dict__ else self._digest
        data = {"config": encode(self.told), **({"digest": digest} if digest else {})}
        return {"dataset": self.dataset, **({"split": split} if split else {}), "data": data}
