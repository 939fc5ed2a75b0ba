"""Classifier-free guidance is a denoiser around a denoiser."""

import pytest
import torch
from torch import Tensor

from zoo_core.errors import UsageError
from zoo_core.rng import ImageRng
from zoo_core.samplers import Ancestral, Guided
from zoo_core.testing.fake import FakeDenoiser
from zoo_core.testing.fake_config import FakeDenoiserConfig


def labelled() -> FakeDenoiser:
    """The exact denoiser of Gaussians, of which class y has the mean y."""
    model = FakeDenoiser(FakeDenoiserConfig(classes=3)).double().requires_grad_(False)
    model.means.copy_(torch.arange(3.0)[:, None].expand(3, 2))
    return model


def test_scale_0_ignores_the_label_and_scale_1_is_the_conditional_model_each_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    model, labels = labelled(), torch.arange(16) % 3
    x, sigma = model.start(ImageRng(0, range(16)), 2.0).double(), torch.full((16,), 2.0, dtype=torch.float64)
    free, conditional = model.denoise(x, sigma), model.denoise(x, sigma, labels)
    passes: list[Tensor | None] = []
    denoise = model.denoise

    def counting(x: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        passes.append(labels)
        return denoise(x, sigma, labels)

    monkeypatch.setattr(model, "denoise", counting)
    assert torch.equal(Guided(model, 0.0).denoise(x, sigma, labels), free)
    assert torch.equal(Guided(model, 1.0).denoise(x, sigma, labels), conditional)
    assert passes == [None, labels]
    torch.testing.assert_close(Guided(model, 3.0).denoise(x, sigma, labels), 3 * conditional - 2 * free)
    assert len(passes) == 4


def test_guidance_is_a_denoiser_like_any_other() -> None:
    model, labels = labelled(), torch.ones(16, dtype=torch.int64)
    guided = Guided(model, 1.0)
    assert (guided.event, guided.sigma_range, guided.scheduler) == (model.event, model.sigma_range, model.scheduler)
    sampler = Ancestral(eta=0.0)
    got = sampler(guided, ImageRng(0, range(16)), sigmas=sampler.noise_levels(guided, None), labels=labels)
    plain = sampler(model, ImageRng(0, range(16)), sigmas=sampler.noise_levels(model, None), labels=labels)
    torch.testing.assert_close(got, plain, atol=1e-4, rtol=1e-4)


def test_guidance_without_labels_is_refused() -> None:
    with pytest.raises(UsageError, match="needs labels"):
        Guided(labelled(), 2.0).denoise(torch.zeros(1, 2), torch.ones(1, dtype=torch.float64))
