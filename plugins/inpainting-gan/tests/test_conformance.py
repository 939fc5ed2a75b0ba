"""The family and its trainer pass zoo_core's conformance checks."""

from zoo_core.testing import parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_inpainting_gan.config import InpaintingGANConfig, InpaintingGANTrainerConfig

SMALL = InpaintingGANConfig(image_size=8, dim=8, multipliers=(1, 2), attention=(4,))


@parametrize_checks("inpainting-gan", config=SMALL, trainer=InpaintingGANTrainerConfig(critic_width=4))
def test_a_net_with_a_critic_conforms(check: Check) -> None:
    check()


@parametrize_checks("inpainting-gan", config=SMALL, trainer=InpaintingGANTrainerConfig(adversarial=0.0))
def test_a_net_without_a_critic_conforms(check: Check) -> None:
    check()
