"""The families realnvp and maf pass zoo_core's conformance checks."""

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_realnvp.config import MAFConfig, RealNVPConfig


@parametrize_checks("realnvp", config=RealNVPConfig(shape=(1, 8, 8), scales=2, couplings=1, blocks=1, width=4))
def test_a_realnvp_of_images_conforms(check: Check) -> None:
    check()


@parametrize_checks("realnvp", config=RealNVPConfig(shape=(3,), couplings=3, blocks=1, width=8, norm="act"))
def test_a_realnvp_of_points_conforms(check: Check) -> None:
    check()


@parametrize_checks("maf", config=MAFConfig(shape=(3,), layers=2, width=8))
def test_a_maf_of_points_conforms(check: Check) -> None:
    check()


@parametrize_checks("maf", config=MAFConfig(shape=(1, 4, 4), layers=2, hidden=1, width=20, order="random", norm="act"))
def test_a_maf_of_images_conforms(check: Check) -> None:
    check()
