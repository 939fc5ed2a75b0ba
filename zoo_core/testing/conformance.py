"""Conformance: the checks that every part of the zoo must pass, so that the others can rely on it.

    @parametrize_checks("ddpm", config=DDPMConfig(dim=8), expected_failures={"encode_inverts_decode": "the paper's posterior is not exact"})
    def test_ddpm_conforms(check):
        check()

    @parametrize_checks(Heun(steps=4))
    def test_heun_conforms(check):
        check()

A family is passed by its name; a sampler, a scheduler, a metric or the config of a data set as an instance, and a command as the object
of click. The checks are the functions of :mod:`zoo_core.testing.checks`, ``capability_checks``, ``text_checks``, ``trainer_checks``,
``sampler_checks``, ``scheduler_checks``, ``metric_checks``, ``command_checks`` and ``tested_part``. Use a small config: they
build a family about forty times, and load a data set four times.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import click

from zoo_core.errors import UnknownNameError, UsageError
from zoo_core.evaluation.metrics import DataMetric, Metric
from zoo_core.interfaces import DatasetConfig, ModelConfig, Sampler, Scheduler, TrainerConfig
from zoo_core.registry import registry, resolve
from zoo_core.specs import ModelSpec
from zoo_core.testing import (
    capability_checks,
    checks,
    command_checks,
    metric_checks,
    sampler_checks,
    scheduler_checks,
    tested_part,
    text_checks,
    trainer_checks,
)
from zoo_core.testing.tested_family import Subject
from zoo_core.testing.tested_part import Part, part

if TYPE_CHECKING:
    import pytest

__all__ = [
    "CHECKS",
    "COMMAND_CHECKS",
    "DATA_CHECKS",
    "DATA_METRIC_CHECKS",
    "METRIC_CHECKS",
    "SAMPLER_CHECKS",
    "SCHEDULER_CHECKS",
    "Check",
    "checks_of",
    "parametrize_checks",
]

_ALL: tuple[tuple[Callable[[Subject], None], set[str]], ...] = (
    (checks.check_plugin_is_light, set()),
    (checks.check_targets_resolve, set()),
    (checks.check_config_round_trips, set()),
    (checks.check_config_is_strict, set()),
    (checks.check_capabilities_are_there, set()),
    (checks.check_loads_from_meta, set()),
    (checks.check_weights_survive_safetensors, set()),
    (checks.check_models_can_be_copied_and_pickled, set()),
    (capability_checks.check_denoises, {"denoise"}),
    (capability_checks.check_noise_levels_fit, {"denoise"}),
    (capability_checks.check_has_latents, {"latent"}),
    (capability_checks.check_takes_conditions, {"condition"}),
    (capability_checks.check_fills, {"fill"}),
    (capability_checks.check_decodes, {"decode"}),
    (capability_checks.check_encode_gives_latents, {"decode", "encode"}),
    (capability_checks.check_encode_inverts_decode, {"decode", "encode", "density"}),
    (capability_checks.check_log_prob_is_well_formed, {"density"}),
    (capability_checks.check_more_draws_make_no_bound_worse, {"density"}),
    (capability_checks.check_density_is_that_of_decode, {"decode", "density"}),
    (capability_checks.check_labels_matter, {"labels"}),
    (capability_checks.check_gives_features, {"features"}),
    (capability_checks.check_classifies, {"classify"}),
    (text_checks.check_unmasks, {"unmask"}),
    (text_checks.check_has_categories, {"text"}),
    (text_checks.check_reads_what_it_shows, {"text"}),
    (checks.check_rows_do_not_depend_on_their_batch, set()),
    (checks.check_inputs_are_left_alone, set()),
    (checks.check_global_generators_are_left_alone, set()),
    (trainer_checks.check_trainer_splits_parameters, {"trainer"}),
    (trainer_checks.check_trainer_gives_gradients, {"trainer"}),
    (trainer_checks.check_trainer_draws_from_its_rng, {"trainer"}),
    (trainer_checks.check_trainer_takes_the_mean_over_rows, {"trainer"}),
    (trainer_checks.check_steps_without_an_optimizer_are_of_the_state_alone, {"trainer"}),
    (trainer_checks.check_frozen_nets_are_left_alone, {"trainer"}),
    (trainer_checks.check_critic_judges_each_row, {"trainer"}),
)

CHECKS: Mapping[str, tuple[Callable[[Subject], None], frozenset[str]]] = MappingProxyType(
    {body.__name__.removeprefix("check_"): (body, frozenset(needs)) for body, needs in _ALL}
)
"""The checks of families by name, with the capabilities that they need; ``trainer`` stands for a trainer."""


_OPTIONS = (tested_part.check_options_come_back, tested_part.check_options_are_strict)

SAMPLER_CHECKS = (
    *_OPTIONS,
    sampler_checks.check_requires_is_declared,
    sampler_checks.check_noise_levels_fit,
    sampler_checks.check_draws_samples,
    sampler_checks.check_levels_may_be_left_out,
    sampler_checks.check_rows_do_not_depend_on_their_batch,
    sampler_checks.check_global_generators_are_left_alone,
    sampler_checks.check_steps_are_reported,
    sampler_checks.check_starts_at_x,
    sampler_checks.check_labels_are_passed_on,
    sampler_checks.check_rises_with_fresh_noise,
)
"""The checks of samplers."""

SCHEDULER_CHECKS = (
    *_OPTIONS,
    scheduler_checks.check_levels_are_plain_floats,
    scheduler_checks.check_levels_end_at_zero,
    scheduler_checks.check_levels_decrease_within_their_bounds,
    scheduler_checks.check_there_are_as_many_levels_as_steps,
    scheduler_checks.check_levels_are_the_same_every_time,
)
"""The checks of schedulers."""

DATA_CHECKS = (
    *_OPTIONS,
    tested_part.check_samples_are_well_formed,
    tested_part.check_labels_fit_their_classes,
    tested_part.check_it_is_the_same_every_time,
)
"""The checks of data sets."""

METRIC_CHECKS = (
    *_OPTIONS,
    metric_checks.check_gives_an_estimate,
    metric_checks.check_few_samples_are_refused_or_enough,
    metric_checks.check_number_is_the_same_every_time,
    metric_checks.check_better_is_right,
    metric_checks.check_real_samples_may_be_sorted,
)
"""The checks of metrics of samples."""

DATA_METRIC_CHECKS = (
    *_OPTIONS,
    metric_checks.check_answers_for_every_sample,
    metric_checks.check_answers_do_not_depend_on_their_batch,
    metric_checks.check_answers_are_the_same_every_time,
    metric_checks.check_models_that_cannot_answer_are_refused,
)
"""The checks of metrics of data."""

COMMAND_CHECKS = (
    command_checks.check_command_is_listed,
    command_checks.check_options_are_explained,
    command_checks.check_help_is_light,
    command_checks.check_wrong_options_are_one_line,
)
"""The checks of commands."""

_Part = Sampler | Scheduler | Metric | DataMetric | DatasetConfig | click.Command
Checked = str | _Part
"""A subject of checks: the name of a family, an instance of a sampler, a scheduler, a metric or a data set's config, or a command."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check of one subject; a call raises AssertionError if the subject does not conform.

    >>> from zoo_core.samplers import Heun
    >>> light, *others = checks_of(Heun(steps=4))
    >>> light.name
    'plugin_is_light'

    Args:
        name: name of the check.
        body: function that checks a subject.
        subject: family, or other part, to check.
    """

    name: str
    body: Callable[[Any], None]
    subject: Subject | Part

    def __call__(self) -> None:
        self.body(self.subject)


def checks_of(
    what: Checked,
    *,
    config: ModelConfig | None = None,
    trainer: TrainerConfig | None = None,
    capabilities: Iterable[str] | None = None,
) -> tuple[Check, ...]:
    """The checks that apply to a family, sampler, scheduler, metric, data set or command of an installed plugin.

    Args:
        what: name of a family; a small instance of a sampler, a scheduler, a metric or a data set's config; or a click command.
        config: config of a small model of the family; the defaults of its class when None.
        trainer: config of the trainer to check, which may be another plugin's; the family's own one with its defaults when None.
        capabilities: capabilities of a model of that config; all that the family declares when None.

    Raises:
        UnknownNameError: if no installed plugin offers it.
        UsageError: if there are no checks of its kind; or a config, a trainer or capabilities are given for another part than a family.
    """
    if not isinstance(what, str):
        if config is not None or trainer is not None or capabilities is not None:
            raise UsageError("config, trainer and capabilities are options of families", "pass the sampler, metric or config alone")
        return _checks_of_part(what)
    claim = registry().claim(ModelSpec, what)
    spec = cast(ModelSpec, claim.spec)
    subject = Subject(
        spec=spec,
        plugin=claim.plugin,
        config=resolve(spec.config)() if config is None else config,
        capabilities=spec.capabilities if capabilities is None else frozenset(capabilities),
        training=trainer,
    )
    has = subject.capabilities | ({"trainer"} if spec.trainer else set())
    return tuple(Check(name=name, body=body, subject=subject) for name, (body, needs) in CHECKS.items() if needs <= has)


def _checks_of_part(value: _Part) -> tuple[Check, ...]:
    bodies_of: dict[type, tuple[Callable[[Part], None], ...]] = {Sampler: SAMPLER_CHECKS, Scheduler: SCHEDULER_CHECKS}
    bodies_of |= {Metric: METRIC_CHECKS, DataMetric: DATA_METRIC_CHECKS}
    bodies_of |= {DatasetConfig: DATA_CHECKS, click.Command: COMMAND_CHECKS}
    bodies = next((own for base, own in bodies_of.items() if isinstance(value, base)), None)
    if bodies is None:
        hint = "name a family, or pass a sampler, a scheduler, a metric, a data set's config or a command"
        raise UsageError(f"there are no checks of {type(value).__name__}", hint)
    subject = part(value)
    light = Check(name="plugin_is_light", body=checks.check_plugin_is_light, subject=subject)
    return (light, *(Check(name=body.__name__.removeprefix("check_"), body=body, subject=subject) for body in bodies))


def parametrize_checks(
    what: Checked,
    *,
    config: ModelConfig | None = None,
    trainer: TrainerConfig | None = None,
    capabilities: Iterable[str] | None = None,
    expected_failures: Mapping[str, str] = MappingProxyType({}),
) -> "pytest.MarkDecorator":
    """A decorator of a test with the argument ``check``: it runs once for each check that applies, under the check's name.

    Args:
        what, config, trainer, capabilities: as :func:`checks_of` takes them.
        expected_failures: reasons by the name of the check; the test fails if such a check passes.

    Raises:
        UnknownNameError: if no installed plugin offers it, or no check that applies has the name of an expected failure.
        UsageError: as :func:`checks_of` raises it.
    """
    import pytest

    applying = checks_of(what, config=config, trainer=trainer, capabilities=capabilities)
    for name in expected_failures:
        if name not in {check.name for check in applying}:
            raise UnknownNameError.of("check", name, [check.name for check in applying])
    marks = {name: [pytest.mark.xfail(reason=reason, strict=True)] for name, reason in expected_failures.items()}
    return pytest.mark.parametrize("check", [pytest.param(check, id=check.name, marks=marks.get(check.name, ())) for check in applying])
