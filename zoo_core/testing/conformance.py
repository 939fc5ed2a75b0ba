"""Conformance: what every family must do so that samplers, trainers and the command line can use it without knowing it.

    @parametrize_checks("ddpm", config=DDPMConfig(dim=8), expected_failures={"encode_inverts_decode": "the paper's posterior is not exact"})
    def test_ddpm_conforms(check):
        check()

The checks themselves are the functions of :mod:`zoo_core.testing.checks`. Use a small config: they build it some thirty times.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from zoo_core.errors import UnknownNameError
from zoo_core.interfaces import ModelConfig, TrainerConfig
from zoo_core.registry import registry, resolve
from zoo_core.specs import ModelSpec
from zoo_core.testing import checks as bodies
from zoo_core.testing.subject import Subject

if TYPE_CHECKING:
    import pytest

__all__ = ["CHECKS", "Check", "checks_of", "parametrize_checks"]

_ALL: tuple[tuple[Callable[[Subject], None], set[str]], ...] = (
    (bodies.check_plugin_is_light, set()),
    (bodies.check_targets_resolve, set()),
    (bodies.check_config_round_trips, set()),
    (bodies.check_config_is_strict, set()),
    (bodies.check_capabilities_are_there, set()),
    (bodies.check_loads_from_meta, set()),
    (bodies.check_weights_survive_safetensors, set()),
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
    (bodies.check_global_generators_are_left_alone, set()),
    (bodies.check_trainer_splits_parameters, {"trainer"}),
    (bodies.check_trainer_gives_gradients, {"trainer"}),
    (bodies.check_trainer_draws_from_its_rng, {"trainer"}),
)

CHECKS: Mapping[str, tuple[Callable[[Subject], None], frozenset[str]]] = MappingProxyType(
    {body.__name__.removeprefix("check_"): (body, frozenset(needs)) for body, needs in _ALL}
)
"""Every check by its name, with the capabilities that it needs; ``trainer`` stands for a trainer."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check of one subject; calling it raises AssertionError where the family does not conform."""

    name: str
    body: Callable[[Subject], None]
    subject: Subject

    def __call__(self) -> None:
        self.body(self.subject)


def checks_of(
    family: str,
    *,
    config: ModelConfig | None = None,
    trainer: TrainerConfig | None = None,
    capabilities: Iterable[str] | None = None,
) -> tuple[Check, ...]:
    """The checks that apply to a registered family.

    Args:
        family: its name.
        config: of a small model; the defaults of its class when None.
        trainer: config of the family's trainer; the defaults of its class when None.
        capabilities: what a model of that config can do; all that the family declares when None.

    Raises:
        UnknownNameError: no installed plugin offers the family.
    """
    claim = registry().claim(ModelSpec, family)
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


def parametrize_checks(
    family: str,
    *,
    config: ModelConfig | None = None,
    trainer: TrainerConfig | None = None,
    capabilities: Iterable[str] | None = None,
    expected_failures: Mapping[str, str] = MappingProxyType({}),
) -> "pytest.MarkDecorator":
    """Decorates a test of one argument, ``check``, to run once for each check that applies, under the check's name.

    Args:
        family: its name.
        config: of a small model; the defaults of its class when None.
        trainer: config of the family's trainer; the defaults of its class when None.
        capabilities: what a model of that config can do; all that the family declares when None.
        expected_failures: reasons by name of check; a test whose check passes all the same fails.

    Raises:
        UnknownNameError: no installed plugin offers the family, or no check that applies is called so.
    """
    import pytest

    found = checks_of(family, config=config, trainer=trainer, capabilities=capabilities)
    for name in expected_failures:
        if name not in {check.name for check in found}:
            raise UnknownNameError.of("check", name, [check.name for check in found])
    marks = {name: [pytest.mark.xfail(reason=reason, strict=True)] for name, reason in expected_failures.items()}
    return pytest.mark.parametrize("check", [pytest.param(check, id=check.name, marks=marks.get(check.name, ())) for check in found])
