"""The family, its trainers and the scheduler pass zoo_core's conformance checks."""

from zoo_core.interfaces import Teacher
from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_ddpm.config import DDPMConfig
from zoo_flow_matching.config import FlowMatchingConfig, FlowMatchingTrainerConfig, ReflowConfig
from zoo_flow_matching.schedulers import Flow
from zoo_ncsn_langevin.config import NCSNConfig

TINY = {"image_size": 8, "dim": 8, "multipliers": (1, 2), "linear_attention": (8,), "heads": 2}
CATS = DDPMConfig(dim=8, multipliers=(1, 2), linear_attention=(), heads=2, prediction="v")
POINTS = NCSNConfig(shape=(2,), net="mlp", width=8, blocks=1)
SHORT = {"pool": 8, "part": 4, "every": 2}


@parametrize_checks("flow-matching", config=FlowMatchingConfig(num_classes=3, **TINY))  # type: ignore[arg-type]
def test_a_net_of_images_with_classes_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "flow-matching",
    config=FlowMatchingConfig(points=2, dim=8),
    capabilities={"denoise"},
    trainer=FlowMatchingTrainerConfig(times="logit-normal"),
)
def test_a_net_of_points_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "ddpm",
    config=CATS,
    capabilities={"denoise"},
    trainer=ReflowConfig(teacher=Teacher(reference="ddpm-afhq-cat"), **SHORT),  # type: ignore[arg-type]
)
def test_reflow_of_a_ddpm_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "ncsn-langevin",
    config=POINTS,
    trainer=ReflowConfig(teacher=Teacher(reference="ncsn-gaussian-mixture"), scheduler=Flow(), **SHORT),  # type: ignore[arg-type]
)
def test_reflow_of_a_score_network_conforms(check: Check) -> None:
    check()


@parametrize_checks(Flow(shift=3.0))
def test_the_scheduler_conforms(check: Check) -> None:
    check()
