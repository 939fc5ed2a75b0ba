"""The config of a checkpoint, and its family, default sampler and class names.

All errors of a config are detected here, before torch is imported.
"""

from dataclasses import dataclass
from typing import Any, cast

from zoo_core.capabilities import supports
from zoo_core.checkpoint.files import CARD, CONFIG, TRAINING, Files
from zoo_core.config import check_range, decode, encode
from zoo_core.errors import CapabilityError, CardError, ConfigError, UnknownNameError
from zoo_core.interfaces import ModelConfig, Sampler, Scheduler
from zoo_core.recipes import check_length
from zoo_core.registry import registry
from zoo_core.samplers.factory import as_sampler
from zoo_core.specs import ModelSpec, SamplerSpec

__all__ = [
    "FORMAT",
    "CheckpointConfig",
    "class_names",
    "default_sampler",
    "family_of",
    "family_sampler",
    "plain_sampler",
    "plugin_hint",
    "read_config",
]

FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointConfig:
    """The content of config.json.

    >>> from zoo_core.testing.fake_config import FakeConfig
    >>> CheckpointConfig(format=FORMAT, weights_version=1, model=FakeConfig()).model.shape
    (2,)

    Args:
        format: version of the format of config.json.
        weights_version: version of the family's weights.
        model: config of the model.
        sampler: default sampler; None for that of the family.
        scheduler: places the noise levels for the default sampler; None for those that the model was trained on.

    Raises:
        ConfigError: if a version is out of range, or the sampler takes more than 10,000 steps.
    """

    format: int
    weights_version: int
    model: ModelConfig
    sampler: Sampler | None = None
    scheduler: Scheduler | None = None

    def __post_init__(self) -> None:
        check_range(self, format=(FORMAT, FORMAT), weights_version=(1, 10**6))
        check_length(self.sampler)


def read_config(files: Files) -> CheckpointConfig:
    """Reads and checks the config of a checkpoint.

    Raises:
        ConfigError: if it is wrong; names the path of the field.
        UnknownNameError: if no installed plugin has its family.
    """
    data = files.json(CONFIG)
    if type(data.get("format")) is int and data["format"] > FORMAT:
        raise ConfigError(
            f"{files.reference} has format {data['format']}, and this zoo-core reads {FORMAT}", "pip install --upgrade zoo-core"
        )
    try:
        return decode(CheckpointConfig, data, CONFIG, prefer=files.dist)
    except UnknownNameError as error:
        raise UnknownNameError(f"{files.reference}: {error.what}", plugin_hint(files) or error.hint) from error


def plugin_hint(files: Files) -> str:
    """Returns a hint for people with the distribution that the card names for its family. It is unverified, and no code acts on it.

    It is empty if the card names none, or that distribution is installed and broken.
    """
    from zoo_core.cards.card import named_plugin, parse

    try:
        plugin = named_plugin(parse(files.read(CARD)).metadata)[1] if CARD in files.names else ""
    except CardError:
        plugin = ""
    broken = {failed.dist for failed in registry().failures}
    return f"its card (unverified) says: pip install {plugin}" if plugin and plugin not in broken else ""


def class_names(files: Files) -> tuple[str, ...]:
    """Returns the names of the classes of the training data; empty if the training record has none."""
    data = files.json(TRAINING).get("data") if TRAINING in files.names else None
    names = data.get("classes") if isinstance(data, dict) else None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def family_of(config: CheckpointConfig) -> ModelSpec:
    """Returns the family of a config."""
    spec = registry().claim_of(ModelSpec.kind, type(config.model)).spec
    assert isinstance(spec, ModelSpec)
    return spec


def default_sampler(config: CheckpointConfig) -> Sampler:
    """Returns the checkpoint's own sampler, or that of its family; raises as :func:`family_sampler` does."""
    return family_sampler(config.model) if config.sampler is None else config.sampler


def family_sampler(model: ModelConfig) -> Sampler:
    """Returns the default sampler of a model's family, or else the first registered sampler that the family supports.

    Raises:
        CapabilityError: if no sampler supports it.
    """
    claim = registry().claim_of(ModelSpec.kind, type(model))
    family = cast(ModelSpec, claim.spec)
    samplers = [each for named in registry().claims(SamplerSpec).values() for each in named]
    names = [each.name for each in samplers if isinstance(each.spec, SamplerSpec) and supports(family.capabilities, each.spec.requires)]
    if not (family.sampler or names):
        raise CapabilityError(f"no installed sampler can sample the family {family.name}", _other_use(family))
    return as_sampler(family.sampler or names[0], prefer=claim.plugin.dist)


def _other_use(family: ModelSpec) -> str:
    """A hint: what a family is for that draws no samples."""
    if "fill" in family.capabilities:
        return "it fills in pictures: `zoo figure REF inpaint --image FILE`, or model.inpaint(x, mask)"
    if "classify" in family.capabilities:
        return "it classifies samples: model.classify(x), or `zoo evaluate REF --metrics accuracy`"
    return "`zoo list samplers` shows what each of them requires"


def plain_sampler(config: CheckpointConfig) -> dict[str, Any] | None:
    """Returns the default sampler as plain values; None if no sampler supports the model, such as a classifier."""
    try:
        plain: dict[str, Any] = encode(default_sampler(config))
    except CapabilityError:
        return None
    return plain
