"""The ncsn-langevin family passes zoo_core's conformance checks, in every form and with every loss."""

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_ncsn_langevin.config import NCSNConfig, NCSNTrainerConfig

SMALL = {"shape": (1, 8, 8), "width": 4, "multipliers": (1, 2), "dilations": (1, 1), "blocks": 1, "levels": 4}


@parametrize_checks("ncsn-langevin", config=NCSNConfig(**SMALL), trainer=NCSNTrainerConfig(weight="output", noise="log-normal"))  # type: ignore[arg-type]
def test_a_preconditioned_net_conforms(check: Check) -> None:
    check()


@parametrize_checks("ncsn-langevin", config=NCSNConfig(form="score", **{**SMALL, "dilations": (1, 2)}))  # type: ignore[arg-type]
def test_a_net_of_the_first_paper_conforms(check: Check) -> None:
    check()


@parametrize_checks(
    "ncsn-langevin", config=NCSNConfig(form="scaled", **{**SMALL, "shape": (3, 8, 8)}), trainer=NCSNTrainerConfig(loss="ssm")
)  # type: ignore[arg-type]
def test_a_net_of_the_second_paper_conforms_with_sliced_score_matching(check: Check) -> None:
    check()


@parametrize_checks("ncsn-langevin", config=NCSNConfig(shape=(2,), net="mlp", width=8, blocks=1), trainer=NCSNTrainerConfig(loss="ism"))
def test_a_net_for_points_conforms_with_implicit_score_matching(check: Check) -> None:
    check()
