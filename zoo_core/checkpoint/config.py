"""What is known of a checkpoint without its weights: its config, family, sampler and card.

Everything that a config can get wrong is found here, before torch is imported.
"""

from dataclasses import dataclass
from typing import Any

from zoo_core.checkpoint.files import CARD, CONFIG, TRAINING, Files
from zoo_core.config import check_range, decode, encode
from zoo_core.errors import CapabilityError, CardError, ConfigError, UnknownNameError
from zoo_core.interfaces import ModelConfig, Sampler, Scheduler
from zoo_core.recipes import check_length
from zoo_core.registry import registry
from zoo_core.samplers.choice import as_sampler
from zoo_core.specs import ModelSpec, SamplerSpec

__all__ = [
    "FORMAT",
    "CheckpointConfig",
    "class_names",
    "default_sampler",
    "family_of",
    "plain_sampler",
    "plugin_hint",
    "read_config",
]

FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointConfig:
    """config.json: the versions of its format and of the family's weights, the model's config, and the default sampler.

    ``scheduler`` places the noise levels that this sampler walks along; None for those that the model was trained on.
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
    """The config of a checkpoint, read and checked.

    Raises:
        ConfigError: it is wrong, with the path of the field.
        UnknownNameError: no installed plugin has its family.
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
    """What a card says of the distribution that its family comes with, as a hint for people. Nobody vouches for it; nothing acts on it.

    Empty where it says nothing, or where that distribution is installed and broken.
    """
    from zoo_core.cards.card import named_plugin, parse

    try:
        plugin = named_plugin(parse(files.read(CARD)).metadata)[1] if CARD in files.names else ""
    except CardError:
        plugin = ""
    broken = {each.dist for each in registry().failures}
    return f"its card (unverified) says: pip install {plugin}" if plugin and plugin not in broken else ""


def class_names(files: Files) -> tuple[str, ...]:
    """The names of the classes of the data that a checkpoint was trained on; empty where its training record has none."""
    data = files.json(TRAINING).get("data") if TRAINING in files.names else None
    names = data.get("classes") if isinstance(data, dict) else None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else ()


def family_of(config: CheckpointConfig) -> ModelSpec:
    """The family whose config this is."""
    spec = registry().claim_of(ModelSpec.kind, type(config.model)).spec
    assert isinstance(spec, ModelSpec)
    return spec


def default_sampler(config: CheckpointConfig, family: ModelSpec) -> Sampler:
    """The checkpoint's own sampler, or its family's, or the first registered one that the family can be sampled by.

    Raises:
        CapabilityError: nothing can sample it.
    """
    if config.sampler is not None:
        return config.sampler
    claims = [claim for named in registry().claims(SamplerSpec).values() for claim in named]
    names = [claim.name for claim in claims if isinstance(claim.spec, SamplerSpec) and claim.spec.requires in family.capabilities]
    if not (family.sampler or names):
        raise CapabilityError(
            f"no installed sampler can sample the family {family.name}", "`zoo list samplers` shows what each of them requires"
        )
    return as_sampler(family.sampler or names[0], prefer=registry().claim_of(ModelSpec.kind, type(config.model)).plugin.dist)


def plain_sampler(config: CheckpointConfig, family: ModelSpec) -> dict[str, Any] | None:
    """The default sampler as plain values; None for what nothing can sample, such as a classifier."""
    try:
        plain: dict[str, Any] = encode(default_sampler(config, family))
    except CapabilityError:
        return None
    return plain
