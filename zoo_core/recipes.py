"""A recipe: everything that makes a training run repeatable.

:class:`FitConfig` has the options of the loop: steps, batches, accumulation, moving averages, checkpoints to keep.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from zoo_core.config import check_range, decode, encode
from zoo_core.errors import ConfigError, PluginError
from zoo_core.interfaces import DatasetConfig, ModelConfig, Sampler, Scheduler, TrainerConfig
from zoo_core.registry import registry, resolve
from zoo_core.registry.faults import HINT
from zoo_core.specs import RecipeSpec

__all__ = ["EMAConfig", "FitConfig", "ModelLossConfig", "OptimizerConfig", "Recipe", "check_length", "load_recipe", "with_precision"]

_MOST_STEPS = 10_000
_LENGTHS = (("steps", 1), ("steps_per_level", 1), ("corrections", 0))


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """An optimizer by its name in timm, with timm's options of that optimizer.

    >>> OptimizerConfig(name="adamw", lr=2e-4, options={"betas": (0.9, 0.99)}).lr
    0.0002

    Args:
        name: ``adam``, ``adamw``, ``sgd``, ``lion``, ...
        lr: learning rate.
        weight_decay: decoupled weight decay, for optimizers that have it.
        options: further keywords of that optimizer.
    """

    name: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        check_range(self, lr=(0.0, 100.0), weight_decay=(0.0, 100.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class EMAConfig:
    """Exponential moving average of the published model's weights.

    With ``warmup`` the decay grows as 1 - (1 + step)^(-2/3) up to ``decay``, so that the initial weights are forgotten in a short run too.

    >>> EMAConfig(decay=0.999)
    EMAConfig(decay=0.999, warmup=True)

    Args:
        decay: weight of the old average in each step, in [0, 1].
        warmup: whether the decay grows at the beginning.
    """

    decay: float = 0.9999
    warmup: bool = True

    def __post_init__(self) -> None:
        check_range(self, decay=(0.0, 1.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class FitConfig:
    """Options of the training loop.

    >>> FitConfig(steps=2000, batch_size=128, ema=None).precision
    'no'

    Args:
        steps: number of training steps; a step is one batch.
        batch_size: number of rows of a batch, over all processes.
        optimizer: optimizer of every phase.
        optimizers: other optimizers, by the name of their phase.
        lr_schedule: ``constant``, or ``linear`` or ``cosine`` decay to 0 over ``steps``.
        lr_cycles: number of equal parts of the run, each with the whole schedule and its warm-up.
        warmup: number of steps over which the learning rate rises linearly from 0.
        clip_norm: largest norm of a phase's gradient; None for no clipping.
        simultaneous: whether the gradients of all phases of a step are taken at the weights before it: simultaneous descent-ascent. If
            not, each phase sees the weights that the phases before it left.
        ema: moving average of the weights; None publishes the raw weights.
        precision: ``no`` is float32; ``bf16`` and ``fp16`` run the forward pass under autocast, fp16 with a loss that is scaled up.
            ``auto`` is ``bf16`` where the hardware computes it natively and ``no`` elsewhere; the run records the choice.
        accumulate: number of parts of a batch that are computed one after the other and whose gradients are added: less memory, the
            same step.
        compile: whether to compile the nets for which the family allows it.
        channels_last: whether the nets' 4-D tensors have the channels-last memory layout; changes speed only.
        seed: seed of initialisation, data order, augmentation and noise.
        save_every: number of steps between checkpoints.
        keep: number of newest checkpoints to keep.
        sample_every: number of steps between sample sheets; 0 for none.
        log_every: number of steps between lines of metrics.jsonl.
        export_dtype: dtype of the floating-point tensors of the exported weights; they are float32 again when they are loaded. It
            may change when a finished run is resumed, which exports it anew.
    """

    steps: int = 10_000
    batch_size: int = 64
    optimizer: OptimizerConfig = OptimizerConfig()
    optimizers: Mapping[str, OptimizerConfig] = field(default_factory=dict, hash=False)
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    lr_cycles: int = 1
    warmup: int = 0
    clip_norm: float | None = None
    simultaneous: bool = False
    ema: EMAConfig | None = EMAConfig()
    precision: Literal["auto", "no", "bf16", "fp16"] = "no"
    accumulate: int = 1
    compile: bool = False
    channels_last: bool = False
    seed: int = 0
    save_every: int = 1000
    keep: int = 2
    sample_every: int = 1000
    log_every: int = 10
    export_dtype: Literal["float32", "float16", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        check_range(self, steps=(1, 10**9), batch_size=(1, 10**6), warmup=(0, 10**9), clip_norm=(1e-12, 1e12), seed=(0, 2**64 - 1))
        check_range(
            self,
            lr_cycles=(1, self.steps),
            accumulate=(1, 10**6),
            save_every=(1, 10**9),
            keep=(1, 10**6),
            sample_every=(0, 10**9),
            log_every=(1, 10**9),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelLossConfig(TrainerConfig):
    """The trainer of a model that computes its own loss, by its method ``loss(batch, rng)``. It has no options.

    >>> from zoo_core.config import encode
    >>> encode(ModelLossConfig())
    {'name': 'model-loss'}
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All settings of a training run. The model's tag is the family.

    >>> from zoo_core.testing.fake_config import FakeConfig, FakeTrainerConfig
    >>> recipe = Recipe(model=FakeConfig(), trainer=FakeTrainerConfig(), fit=FitConfig(steps=100))
    >>> recipe.fit.steps
    100

    Args:
        model: config of the model.
        trainer: config of the trainer; by default that of models that compute their own loss.
        fit: options of the training loop.
        data: config of the data set.
        sampler: default sampler of the checkpoint; None for that of the family.
        scheduler: places the noise levels for the sampler; None for those that the model is trained on.
        start_from: reference of a checkpoint whose weights the model begins with; None initialises it from the seed.

    Raises:
        ConfigError: if the sampler takes more than 10,000 steps; see :func:`check_length`.
    """

    model: ModelConfig
    trainer: TrainerConfig = ModelLossConfig()
    fit: FitConfig = FitConfig()
    data: DatasetConfig | None = None
    sampler: Sampler | None = None
    scheduler: Scheduler | None = None
    start_from: str | None = None

    def __post_init__(self) -> None:
        check_length(self.sampler)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "recipe", *, prefer: str = "") -> "Recipe":
        """Builds a recipe from plain JSON values; arguments and errors are those of :func:`zoo_core.config.decode`."""
        return decode(cls, data, where, prefer=prefer)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, with all defaults."""
        plain: dict[str, Any] = encode(self)
        return plain


def load_recipe(name: str, *, prefer: str = "") -> Recipe:
    """Returns the recipe of a name that ``zoo list recipes`` shows.

    >>> load_recipe("realnvp/2d").fit.batch_size
    256

    Args:
        name: ``[DIST:]FAMILY/RECIPE``, such as ``ddpm/course``.
        prefer: distribution whose claim counts where several plugins claim the name.

    Raises:
        UnknownNameError: if there is no such recipe.
        PluginError: if the plugin gives something else for it.
    """
    claim = registry().claim(RecipeSpec, name, prefer=prefer)
    assert isinstance(claim.spec, RecipeSpec)
    recipe = resolve(claim.spec.target)
    if not isinstance(recipe, Recipe):
        raise PluginError(f"in {claim.plugin.dist}: {claim.spec.target} is not a Recipe", HINT)
    return recipe


def check_length(sampler: Sampler | None) -> None:
    """Checks that the default sampler of a checkpoint takes at most 10,000 steps: more would sample for hours unasked.

    Raises:
        ConfigError: if its options ``steps``, ``steps_per_level`` and ``corrections`` amount to more.
    """
    options = ((getattr(sampler, name, default), default) for name, default in _LENGTHS)
    steps, repeated, corrections = (value if isinstance(value, int) else default for value, default in options)
    if (length := steps * repeated * (1 + corrections)) > _MOST_STEPS:
        message = f"sampler: {length:,} steps by default, more than {_MOST_STEPS:,}"
        raise ConfigError(message, "make fewer the default; `zoo sample -o` takes more")


def with_precision(recipe: Recipe, precision: str) -> Recipe:
    """Returns the recipe with ``precision`` in place of ``auto``; any other precision stays."""
    return replace(recipe, fit=replace(recipe.fit, precision=precision)) if recipe.fit.precision == "auto" else recipe  # type: ignore[arg-type]
