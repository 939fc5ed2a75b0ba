"""Conformance: what every part of the zoo must do so that the others can use it without knowing it.

    @parametrize_checks("ddpm", config=DDPMConfig(dim=8), expected_failures={"encode_inverts_decode": "the paper's posterior is not exact"})
    def test_ddpm_conforms(check):
        check()

    @parametrize_checks(Heun(steps=4))
    def test_heun_conforms(check):
        check()

A family is named; a sampler, a metric or the config of a data set is given as it is. The checks themselves are the functions of
:mod:`zoo_core.testing.checks`, ``trainer_checks``, ``sampler_checks``, ``metric_checks`` and ``parts``. Use a small config: they build a
family some forty times, and load a data set four times.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from zoo_core.errors import UnknownNameError, UsageError
from zoo_core.evaluation.metrics import DataMetric, Metric
from zoo_core.interfaces import DatasetConfig, ModelConfig, Sampler, TrainerConfig
from zoo_core.registry import registry, resolve
from zoo_core.specs import ModelSpec
from zoo_core.testing import checks as bodies
from zoo_core.testing import metric_checks, parts, sampler_checks, trainer_checks
from zoo_core.testing.parts import Part, part
from zoo_core.testing.subject import Subject

if TYPE_CHECKING:
    import pytest

__all__ = ["CHECKS", "DATA_CHECKS", "DATA_METRIC_CHECKS", "METRIC_CHECKS", "SAMPLER_CHECKS", "Check", "checks_of", "parametrize_checks"]

_ALL: tuple[tuple[Callable[[Subject], None], set[str]], ...] = (
    (bodies.check_plugin_is_light, set()),
    (bodies.check_targets_resolve, set()),
    (bodies.check_config_round_trips, set()),
    (bodies.check_config_is_strict, set()),
    (bodies.check_capabilities_are_there, set()),
    (bodies.check_loads_from_meta, set()),
    (bodies.check_weights_survive_safetensors, set()),
    (bodies.check_models_can_be_copied_and_pickled, set()),
    (bodies.check_denoises, {"denoise"}),
    (bodies.check_noise_levels_fit, {"denoise"}),
    (bodies.check_decodes, {"decode"}),
    (bodies.check_encode_gives_latents, {"decode", "encode"}),
    (bodies.check_encode_inverts_decode, {"decode", "encode", "density"}),
    (bodies.check_log_prob_is_well_formed, {"density"}),
    (bodies.check_more_draws_make_no_bound_worse, {"density"}),
    (bodies.check_density_is_that_of_decode, {"decode", "density"}),
    (bodies.check_labels_matter, {"labels"}),
    (bodies.check_gives_features, {"features"}),
    (bodies.check_classifies, {"classify"}),
    (bodies.check_rows_do_not_depend_on_their_batch, set()),
    (bodies.check_inputs_are_left_alone, set()),
    (bodies.check_global_generators_are_left_alone, set()),
    (trainer_checks.check_trainer_splits_parameters, {"trainer"}),
    (trainer_checks.check_trainer_gives_gradients, {"trainer"}),
    (trainer_checks.check_trainer_draws_from_its_rng, {"trainer"}),
    (trainer_checks.check_trainer_takes_the_mean_over_rows, {"trainer"}),
    (trainer_checks.check_critic_judges_each_row, {"trainer"}),
)

CHECKS: Mapping[str, tuple[Callable[[Subject], None], frozenset[str]]] = MappingProxyType(
    {body.__name__.removeprefix("check_"): (body, frozenset(needs)) for body, needs in _ALL}
)
"""Every check by its name, with the capabilities that it needs; ``trainer`` stands for a trainer."""


_OPTIONS = (parts.check_options_come_back, parts.check_options_are_strict)

SAMPLER_CHECKS = (
    *_OPTIONS,
    sampler_checks.check_requires_is_declared,
    sampler_checks.check_noise_levels_fit,
    sampler_checks.check_draws_samples,
    sampler_checks.check_levels_may_be_left_out,
    sampler_checks.check_rows_do_not_depend_on_their_batch,
    sampler_checks.check_global_generators_are_left_alone,
    sampler_checks.check_steps_are_told,
    sampler_checks.check_starts_where_it_is_told,
    sampler_checks.check_labels_are_passed_on,
    sampler_checks.check_rises_with_fresh_noise,
)
"""What samplers are checked for."""

DATA_CHECKS = (*_OPTIONS, parts.check_samples_are_well_formed, parts.check_labels_fit_their_classes, parts.check_it_is_the_same_every_time)
"""What data sets are checked for."""

METRIC_CHECKS = (
    *_OPTIONS,
    metric_checks.check_gives_an_estimate,
    metric_checks.check_few_samples_are_refused_or_enough,
    metric_checks.check_number_is_the_same_every_time,
    metric_checks.check_better_is_told_right,
)
"""What metrics of samples are checked for."""

DATA_METRIC_CHECKS = (
    *_OPTIONS,
    metric_checks.check_answers_for_every_sample,
    metric_checks.check_answers_do_not_depend_on_their_batch,
    metric_checks.check_answers_are_the_same_every_time,
    metric_checks.check_models_that_cannot_answer_are_refused,
)
"""What metrics of data are checked for."""

Checked = str | Sampler | Metric | DataMetric | DatasetConfig
"""What there are checks of: a family by its name; a sampler, a metric or a data set by an instance, or by its config."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check of one subject; calling it raises AssertionError where that does not conform."""

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
    """The checks that apply to something that an installed plugin offers.

    Args:
        what: the name of a family; or a sampler, a metric or the config of a data set, small ones, as instances.
        config: of a small model of the family; the defaults of its class when None.
        trainer: config of the family's trainer; the defaults of its class when None.
        capabilities: what a model of that config can do; all that the family declares when None.

    Raises:
        UnknownNameError: no installed plugin offers it.
        UsageError: there are no checks of such a thing; or a config, a trainer or capabilities are given for what is no family.
    """
    if not isinstance(what, str):
        if config is not None or trainer is not None or capabilities is not None:
            raise UsageError(
                "config, trainer and capabilities are of families", "give the sampler, metric or config as it is to be checked"
            )
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


def _checks_of_part(value: Sampler | Metric | DataMetric | DatasetConfig) -> tuple[Check, ...]:
    bodies_of = {Sampler: SAMPLER_CHECKS, Metric: METRIC_CHECKS, DataMetric: DATA_METRIC_CHECKS, DatasetConfig: DATA_CHECKS}
    found = next((checks for base, checks in bodies_of.items() if isinstance(value, base)), None)
    if found is None:
        raise UsageError(
            f"there are no checks of {type(value).__name__}", "name a family, or give a sampler, a metric or a data set's config"
        )
    subject = part(value)
    light = Check(name="plugin_is_light", body=bodies.check_plugin_is_light, subject=subject)
    return (light, *(Check(name=body.__name__.removeprefix("check_"), body=body, subject=subject) for body in found))


def parametrize_checks(
    what: Checked,
    *,
    config: ModelConfig | None = None,
    trainer: TrainerConfig | None = None,
    capabilities: Iterable[str] | None = None,
    expected_failures: Mapping[str, str] = MappingProxyType({}),
) -> "pytest.MarkDecorator":
    """Decorates a test of one argument, ``check``, to run once for each check that applies, under the check's name.

    Args:
        what, config, trainer, capabilities: as :func:`checks_of` takes them.
        expected_failures: reasons by name of check; a test whose check passes all the same fails.

    Raises:
        UnknownNameError: no installed plugin offers it, or no check that applies is called so.
        UsageError: as :func:`checks_of` raises it.
    """
    import pytest

    found = checks_of(what, config=config, trainer=trainer, capabilities=capabilities)
    for name in expected_failures:
        if name not in {check.name for check in found}:
            raise UnknownNameError.of("check", name, [check.name for check in found])
    marks = {name: [pytest.mark.xfail(reason=reason, strict=True)] for name, reason in expected_failures.items()}
    return pytest.mark.parametrize("check", [pytest.param(check, id=check.name, marks=marks.get(check.name, ())) for check in found])
