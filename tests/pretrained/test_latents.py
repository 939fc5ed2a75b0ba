"""Models whose samples are decoded from latents: every call walks in the latents, and decodes at the end."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import zoo_core
from zoo_core import figures
from zoo_core.errors import CapabilityError, UsageError
from zoo_core.evaluation.measurement import count_evaluations
from zoo_core.interfaces import Sampler
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng
from zoo_core.samplers import Ancestral, Guided, Heun
from zoo_core.samplers.factory import as_sampler
from zoo_core.samplers.interpolation import mix
from zoo_core.samplers.latent_space import latent_mask
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import FakeLatent
from zoo_core.testing.fake_config import FakeLatentConfig
from zoo_core.testing.gaussian_mixture import names

SAMPLERS, _ = names()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    config = FakeLatentConfig(classes=3, std=0.3)
    torch.manual_seed(0)
    with fake_zoo():
        yield write_checkpoint(tmp_path / "latents", FakeLatent(config), config, Ancestral(steps=4))


@pytest.fixture
def model(folder: Path) -> Pretrained:
    return zoo_core.load(f"local:{folder}")


def net(model: Pretrained) -> FakeLatent:
    assert isinstance(model.model, FakeLatent)
    return model.model


def drawn(model: Pretrained, sampler: Sampler, images: range, labels: Tensor | None = None) -> Tensor:
    """The samples by the definition: the sampler on the denoiser of latents, and the decoder."""
    latent = net(model).latent
    z = sampler(latent, ImageRng(0, images), sigmas=sampler.noise_levels(latent, None), labels=labels)
    return net(model).decode(z)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_walks_in_the_latents_and_decodes_at_the_end(name: str, model: Pretrained) -> None:
    sampler = as_sampler({"name": name, "steps": 4})
    assert torch.equal(model.sample(5, sampler=sampler), drawn(model, sampler, range(5)))


@pytest.mark.parametrize("name", SAMPLERS)
def test_image_i_does_not_depend_on_batch_size(name: str, model: Pretrained) -> None:
    sampler = as_sampler({"name": name, "steps": 4})
    assert torch.equal(model.sample(7, sampler=sampler), model.sample(7, sampler=sampler, batch_size=2))


def test_steps_show_latents(model: Pretrained) -> None:
    seen: list[Tensor] = []
    x = model.sample(2, on_step=lambda step, sigma, x, x0: seen.append(x))
    assert [tuple(state.shape) for state in seen] == [(2, 3, 4, 4)] * 5
    assert torch.equal(net(model).decode(seen[-1]), x)


def test_labels_and_guidance_reach_the_latents(model: Pretrained) -> None:
    labels = torch.tensor([0, 1, 2])
    assert torch.equal(model.sample(3, labels=[0, 1, 2]), drawn(model, Ancestral(steps=4), range(3), labels))
    guided = Guided(net(model).latent, 3.0)
    z = Ancestral(steps=4)(guided, ImageRng(0, range(3)), labels=labels)
    assert torch.equal(model.sample(3, labels=[0, 1, 2], guidance=3.0), net(model).decode(z))


def test_noise_is_added_to_latents_and_removed_from_there(model: Pretrained) -> None:
    x = model.sample(3, seed=5)
    noisy = model.add_noise(x, 0.05)
    assert noisy.shape == (3, 3, 4, 4)
    assert torch.allclose(noisy, model.encode(x) + 0.05 * (model.add_noise(x, 1.0) - model.encode(x)), atol=1e-6)
    near = model.sample(x=noisy, sigma=0.05, sampler=Heun(steps=4))
    assert (near - x).abs().mean() < 0.05


def test_a_latent_cell_is_known_where_all_of_its_pixels_are() -> None:
    mask = torch.ones(1, 3, 8, 8, dtype=torch.bool)
    mask[0, 1, 2, 5] = False
    known = latent_mask(mask, (4, 4))
    assert known.shape == (1, 1, 4, 4)
    assert (~known).nonzero().tolist() == [[0, 0, 1, 2]]


def test_inpainting_keeps_known_pixels_and_their_latents(model: Pretrained) -> None:
    x = model.sample(2, seed=3)
    shown: list[Tensor] = []
    filled = model.inpaint(x, "left", sampler="heun", steps=4, times=2, on_step=lambda step, sigma, state, x0: shown.append(x0))
    assert torch.equal(filled[..., :4], x[..., :4])
    assert not torch.allclose(filled[..., 4:], x[..., 4:])
    assert torch.allclose(shown[0][..., :2], model.encode(x)[..., :2], atol=1e-6)


def test_unknown_pixels_may_be_anything(model: Pretrained) -> None:
    x = model.sample(2, seed=3)
    hidden = x.clone()
    hidden[..., 4:] = torch.nan
    assert torch.equal(model.inpaint(x, "left", times=1), model.inpaint(hidden, "left", times=1))


def test_a_path_between_numbers_walks_from_mixed_noise(model: Pretrained) -> None:
    path = model.interpolate(0, 4, steps=3)
    ends = model.sample(5, sampler="ddim")[[0, 4]]
    assert torch.allclose(path[[0, -1]], ends, atol=1e-5)


def test_a_path_between_samples_mixes_their_latents(model: Pretrained) -> None:
    a, b = model.sample(2, seed=1)
    path = model.interpolate(a, b, steps=5, spherical=False)
    z = model.encode(torch.stack([a, b]))
    assert torch.allclose(path, net(model).decode(mix(z[0], z[1], torch.linspace(0, 1, 5), False)), atol=1e-6)
    with pytest.raises(UsageError, match="both ends"):
        model.interpolate(a, 1)


def test_reconstruction_encodes_and_decodes(model: Pretrained) -> None:
    x = model.sample(2)
    assert torch.allclose(model.reconstruct(x), x, atol=1e-6)
    assert model.decode(torch.zeros(2, 3, 4, 4)).shape == (2, 3, 8, 8)


def test_a_density_of_samples_is_refused_with_the_reason(model: Pretrained) -> None:
    x = model.sample(2)
    for method in (None, "ode", "bound", "own"):
        with pytest.raises(CapabilityError, match="a decoder lies between its samples and the latents"):
            model.log_prob(x, method=method)
    with pytest.raises(CapabilityError, match="a decoder lies between"):
        model.denoise(x, 1.0)


def test_the_sampler_of_decoders_is_refused(model: Pretrained) -> None:
    with pytest.raises(CapabilityError, match="cannot decode"):
        model.sample(1, sampler="latent")


def test_evaluations_of_the_denoiser_are_counted(model: Pretrained) -> None:
    assert count_evaluations(model, Heun(steps=4)) == 7


def test_figures_of_the_process_show_decoded_latents(model: Pretrained) -> None:
    x = model.sample(2, seed=2)
    states = figures.forward(model, x, [0, 100])
    assert states.shape == (2, 2, 3, 8, 8)
    assert torch.allclose(states[:, 0], model.reconstruct(x), atol=1e-6)
    states, guesses, _ = figures.reverse(model, 2, [100, 0], seed=2)
    assert states.shape == guesses.shape == (2, 2, 3, 8, 8)
    assert torch.allclose(guesses[:, -1], x, atol=1e-6)


@pytest.mark.parametrize("kind", ["forward", "reverse", "inpaint", "interpolate"])
def test_figures_are_drawn_from_the_command_line(kind: str, folder: Path, zoo: Callable[..., Any]) -> None:
    done = zoo("figure", f"local:{folder}", kind, "--out", "figure.png")
    assert done.code == 0, done.err
    assert Path("figure.png").stat().st_size > 0


def test_samples_are_drawn_from_the_command_line(folder: Path, zoo: Callable[..., Any]) -> None:
    done = zoo("sample", f"local:{folder}", "-n", 3, "--labels", "0-2", "--out", "x.png")
    assert done.code == 0, done.err
    refused = zoo("sample", f"local:{folder}", "-n", 3, "--sampler", "latent")
    assert refused.code == 9
    assert refused.err.count("\n") == 1
