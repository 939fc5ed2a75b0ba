"""The guidance scale as an input of the net (Meng et al. 2023, arXiv:2210.03142)."""

import pytest
import torch
from torch import Tensor

from zoo_core.errors import ConfigError
from zoo_core.rng import ImageRng
from zoo_core.samplers import Guided, Heun
from zoo_ddpm.config import DDPMConfig
from zoo_ddpm.model import DDPM

SMALL = {"image_size": 8, "dim": 8, "multipliers": (1, 2), "linear_attention": (), "num_classes": 3}


def pair() -> tuple[DDPM, DDPM]:
    """A net without the input and one with it, of the same weights otherwise."""
    torch.manual_seed(0)
    plain = DDPM(DDPMConfig(**SMALL)).requires_grad_(False)
    for parameter in plain.parameters():
        parameter.normal_(std=0.1)
    scaled = DDPM(DDPMConfig(**SMALL, guidance_embeds=True)).requires_grad_(False)
    missing = scaled.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert missing == ["net.guidance.weight"]
    return plain, scaled


def test_a_new_net_ignores_the_scale_and_a_trained_one_is_that_of_scale_1_by_default() -> None:
    plain, scaled = pair()
    x, sigma, labels = ImageRng(0, range(4)).normal(3, 8, 8), torch.full((4,), 2.0), torch.tensor([0, 1, 2, 0])
    expected = plain.denoise(x, sigma, labels)
    for guidance in (None, 1.0, 5.0, torch.tensor([1.0, 2.0, 3.0, 4.0])):
        assert torch.equal(scaled.denoise(x, sigma, labels, guidance=guidance), expected)
    assert scaled.net.guidance is not None
    scaled.net.guidance.weight.normal_()
    assert torch.equal(scaled.denoise(x, sigma, labels), scaled.denoise(x, sigma, labels, guidance=1.0))
    rows = scaled.denoise(x, sigma, labels, guidance=torch.tensor([1.0, 2.0, 3.0, 4.0]))
    torch.testing.assert_close(rows[2], scaled.denoise(x, sigma, labels, guidance=3.0)[2])
    assert not torch.allclose(rows[2], scaled.denoise(x, sigma, labels)[2])


def test_guidance_is_one_pass_a_step_with_the_scale_as_an_input() -> None:
    _, scaled = pair()
    calls: list[object] = []
    original = scaled.denoise

    def denoise(x: Tensor, sigma: Tensor, labels: Tensor | None = None, *, guidance: float | None = None) -> Tensor:
        calls.append(guidance)
        return original(x, sigma, labels, guidance=guidance)

    scaled.denoise = denoise  # type: ignore[method-assign, assignment]  # counts the passes
    Heun(steps=3)(Guided(scaled, 2.5), ImageRng(0, range(2)), labels=torch.tensor([0, 1]))
    assert calls == [2.5] * 5


def test_a_net_without_classes_takes_no_scale() -> None:
    with pytest.raises(ConfigError, match="guidance_embeds needs classes"):
        DDPMConfig(**{**SMALL, "num_classes": 0}, guidance_embeds=True)
