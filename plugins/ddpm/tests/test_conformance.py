"""The ddpm family passes zoo_core's conformance checks."""

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_ddpm.config import DDPMConfig

TINY = {"image_size": 8, "dim": 8, "multipliers": (1, 2), "attention": (4,), "linear_attention": (8,), "heads": 2}


@parametrize_checks("ddpm", config=DDPMConfig(**TINY), capabilities={"denoise"})  # type: ignore[arg-type]
def test_ddpm_conforms(check: Check) -> None:
    check()


@parametrize_checks("ddpm", config=DDPMConfig(num_classes=3, prediction="x0", **TINY))  # type: ignore[arg-type]
def test_ddpm_with_classes_conforms(check: Check) -> None:
    check()
