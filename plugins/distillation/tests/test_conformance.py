"""The trainers pass zoo_core's conformance checks on families of two other plugins, and the sampler passes those of samplers."""

from zoo_core.interfaces import Teacher
from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_ddpm.config import DDPMConfig
from zoo_distillation.config import ConsistencyConfig, ProgressiveConfig
from zoo_distillation.samplers import Consistency
from zoo_ncsn_langevin.config import NCSNConfig

CATS = DDPMConfig(dim=8, multipliers=(1, 2), linear_attention=(), heads=2, prediction="v")
POINTS = NCSNConfig(shape=(2,), net="mlp", width=8, blocks=1)


@parametrize_checks("ddpm", config=CATS, capabilities={"denoise"}, trainer=ProgressiveConfig(teacher=Teacher(reference="ddpm-afhq-cat")))
def test_progressive_distillation_of_a_ddpm_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "ncsn-langevin",
    config=POINTS,
    trainer=ProgressiveConfig(teacher=Teacher(reference="ncsn-gaussian-mixture"), solver="heun", first_steps=4, substeps=3),
)
def test_progressive_distillation_of_a_score_network_conforms(check: Check) -> None:
    check()


@parametrize_checks("ddpm", config=CATS, capabilities={"denoise"}, trainer=ConsistencyConfig(teacher=Teacher(reference="ddpm-afhq-cat")))
def test_consistency_distillation_of_a_ddpm_conforms(check: Check) -> None:
    check()


@parametrize_checks("ncsn-langevin", config=POINTS, trainer=ConsistencyConfig(levels=8))
def test_consistency_training_of_a_score_network_conforms(check: Check) -> None:
    check()


@parametrize_checks(Consistency(steps=2))
def test_the_sampler_conforms(check: Check) -> None:
    check()
